"""Amounts as a shopper reads them, and whether any money moved."""

from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from marketplace.paper import amounts
from marketplace.storefront.languages import current_locale


def price(minor: int, currency: str) -> str:
    """Write `minor` units of `currency` for people: `129900, "EUR"` is `€1,299.00`, or `1.299,00 €` in German."""
    return amounts.money(minor, currency, current_locale())


_BY_BANK: Final = {
    "REVERSED": ("returned", _("Your bank has taken the %(amount)s back from us, and gives it back to you.")),
    "DISPUTED": ("disputed", _("Your bank decides about the %(amount)s. We take nothing more.")),
}
# By the payment's status, and whether the money goes back.
_SAID: Final = {
    ("AUTHORIZED", False): (
        "held",
        _("Your bank keeps %(amount)s ready. Nothing is taken before the order is confirmed."),
    ),
    ("AUTHORIZED", True): ("held", _("No money was taken. The %(amount)s your bank keeps ready is being let go.")),
    ("VOIDED", False): (
        "none",
        _("No money was taken. If your bank had kept %(amount)s ready, it has let go of it."),
    ),
    ("CAPTURED", False): ("taken", _("%(amount)s was taken from your card, once.")),
    ("CAPTURED", True): ("returning", _("The %(amount)s you paid is on its way back to your card.")),
    ("PARTIALLY_REFUNDED", False): ("returned", _("%(returned)s of the %(amount)s was sent back to your card.")),
    ("PARTIALLY_REFUNDED", True): (
        "returning",
        _("%(returned)s of the %(amount)s was sent back to your card; the rest is on its way."),
    ),
    ("REFUNDED", False): ("returned", _("All of your money, %(amount)s, was sent back to your card.")),
}
_NOTHING: Final = {True: _("No money was taken."), False: _("No money has been taken.")}


@dataclass(frozen=True, slots=True)
class MoneyStory:
    """`moved` is one of "none", "held", "taken", "returning", "returned", "disputed"; `sentence` says it."""

    moved: str
    sentence: str


def money_story(
    *,
    payment_status: str,
    amount: str,
    confirmed: bool,
    finished: bool,
    undoing: bool = False,
    refund_status: str = "",
    returned: str = "",
    returning: str = "",
) -> MoneyStory:
    """Say where the buyer's money is, from what the payment itself says and not from how the order went.

    `payment_status` is empty when no payment was ever opened; `amount` is already written for people; `finished` says
    that neither the order nor its saga will do anything more about it, `undoing` that it is being put right just now.
    `refund_status` is the order's; where the bank has acted by itself, it knows best. `returned` is how much went back
    so far, and `returning` what is on its way by a refund that was asked for; both written for people, empty for
    nothing.
    """
    values = {"amount": amount, "returned": returned or gettext("Part"), "returning": returning}
    by_bank = _BY_BANK.get(refund_status)
    if by_bank:
        return MoneyStory(by_bank[0], gettext(by_bank[1]) % values)
    if returning and not undoing:
        sentence = gettext("Your refund of %(returning)s is on its way to your card.") % values
        before = gettext("%(returned)s was sent back before.") % values if returned else ""
        return MoneyStory("returning", f"{sentence} {before}".strip())
    goes_back = undoing or (finished and not confirmed)
    found = _SAID.get((payment_status, goes_back)) or _SAID.get((payment_status, False))
    moved, said = found or ("none", _NOTHING[finished])
    return MoneyStory(moved, gettext(said) % values)
