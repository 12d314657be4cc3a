"""What the buyer is told when an order does not come about. One place, plain words, no blame, and always the money.

Said in the language that is active, or in the one that is asked for.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.utils import translation
from django.utils.translation import gettext, gettext_noop

SENTENCES: Final[Mapping[str, str]] = {
    "out_of_stock": gettext_noop("Out of stock."),
    "payment_declined": gettext_noop("Payment failed: your bank or card declined it."),
    "payment_timeout": gettext_noop("Payment failed: the payment provider did not answer in time."),
    "fraud_rejected": gettext_noop("We could not accept this order."),
    "reservation_expired": gettext_noop("The time to pay ran out, so we gave the units back."),
    "cancelled_by_buyer": gettext_noop("You cancelled this order."),
    "cancelled_by_staff": gettext_noop("Our team cancelled this order."),
    "payment_reversed": gettext_noop("Your bank took the payment back before we could ship, so we stopped this order."),
    "payment_disputed": gettext_noop("Your bank was asked to take the payment back, so we stopped this order."),
    "cannot_ship": gettext_noop("We could not ship this order. That is our mistake, and we are sorry."),
}

# What banks say most, and we when they say nothing. Other sentences of theirs are known in English only.
BANKS: Final = (
    gettext_noop("The card was declined."),
    gettext_noop("The authorization was declined."),
    gettext_noop("There is not enough money on the card."),
    gettext_noop("The payment was not confirmed in time."),
    gettext_noop("The payment could not be completed."),
    gettext_noop("The payment provider did not answer in time."),
    gettext_noop("The bank let the payment lapse."),
)

_GENERAL: Final = gettext_noop("This order could not be completed.")

# By an order's `refund_status`: where the money is.
MONEY: Final[Mapping[str, str]] = {
    "": gettext_noop("No money was taken."),
    "PENDING": gettext_noop("Your refund is on its way."),
    "PARTIALLY_REFUNDED": gettext_noop("Part of your money has been sent back."),
    "REFUNDED": gettext_noop("Your money has been sent back."),
    "REVERSED": gettext_noop("Your bank gives the money back to you."),
    "DISPUTED": gettext_noop("Your bank decides about the money, and we take nothing more."),
}


def failure(code: str, detail: Mapping[str, Any], *, refund: str, language: str = "") -> str:
    """Return the words for the buyer: what happened, and where the money is (`refund`: the order's refund status).

    `language`: in which, if not in the active one.
    """
    with translation.override(language or translation.get_language()):
        sentence = gettext(SENTENCES.get(code, _GENERAL))
        why = known(str(detail.get("message", ""))) if code in ("payment_declined", "payment_timeout") else ""
        if why:
            sentence = gettext("Payment failed. %(why)s") % {"why": why}
        if code == "out_of_stock":
            sentence = " ".join([sentence, *shortages(detail.get("shortages", ()))])
        return f"{sentence} {gettext(MONEY[refund]) if refund in MONEY else ''}".strip()


def pay_again(bank_said: str, *, until: datetime, language: str = "") -> str:
    """Return the words for a buyer whose bank has declined, and who may pay by another method until `until`.

    `language`: in which, if not in the active one.
    """
    with translation.override(language or translation.get_language()):
        said = known(bank_said.strip())
        failed = gettext("Payment failed. %(why)s") % {"why": f"{said.rstrip('.')}. " if said else ""}
        until_then = gettext("You may pay by another method until %(time)s UTC.") % {"time": f"{until:%H:%M}"}
        return f"{failed.strip()} {gettext(MONEY[''])} {until_then}"


def known(message: str) -> str:
    """Return what somebody said in English, in the active language; empty where it is only known in English."""
    said = gettext(message) if message else ""
    foreign = (translation.get_language() or "en").partition("-")[0] != "en"
    return "" if foreign and said == message else said


def shortages(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say per line what was asked for and what is there, in the active language."""
    return [_shortage(line) for line in lines]


def _shortage(line: Mapping[str, Any]) -> str:
    if line["available"]:
        return gettext("%(name)s: you asked for %(asked)s, only %(available)s left.") % line
    return gettext("%(name)s: you asked for %(asked)s, none left.") % line
