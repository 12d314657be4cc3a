"""Amounts as a shopper reads them, and whether any money moved."""

from dataclasses import dataclass
from typing import Final

from marketplace.kernel.money import exponent, format_minor

_SIGNS: Final = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CHF": "CHF\N{NO-BREAK SPACE}", "INR": "₹"}


def price(minor: int, currency: str) -> str:
    """Write `minor` units of `currency` for people: `129900, "EUR"` is `"€1,299.00"`."""
    sign = _SIGNS.get(currency, f"{currency}\N{NO-BREAK SPACE}")
    whole, _, fraction = format_minor(abs(minor), currency).partition(".")
    grouped = f"{int(whole):,}" + (f".{fraction}" if exponent(currency) else "")
    return f"{'−' if minor < 0 else ''}{sign}{grouped}"


_BY_BANK: Final = {
    "REVERSED": ("returned", "Your bank has taken the {amount} back from us, and gives it back to you."),
    "DISPUTED": ("disputed", "Your bank decides about the {amount}. We take nothing more."),
}


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
    by_bank = _BY_BANK.get(refund_status)
    if by_bank:
        return MoneyStory(by_bank[0], by_bank[1].format(amount=amount))
    if returning and not undoing:
        before = f" {returned} was sent back before." if returned else ""
        return MoneyStory("returning", f"Your refund of {returning} is on its way to your card.{before}")
    goes_back = undoing or (finished and not confirmed)
    moved, sentence = {
        "AUTHORIZED": (
            ("held", f"No money was taken. The {amount} your bank keeps ready is being let go.")
            if goes_back
            else ("held", f"Your bank keeps {amount} ready. Nothing is taken before the order is confirmed.")
        ),
        "VOIDED": ("none", f"No money was taken. If your bank had kept {amount} ready, it has let go of it."),
        "CAPTURED": (
            ("returning", f"The {amount} you paid is on its way back to your card.")
            if goes_back
            else ("taken", f"{amount} was taken from your card, once.")
        ),
        "PARTIALLY_REFUNDED": (
            ("returning", f"{returned or 'Part'} of the {amount} was sent back to your card; the rest is on its way.")
            if goes_back
            else ("returned", f"{returned or 'Part'} of the {amount} was sent back to your card.")
        ),
        "REFUNDED": ("returned", f"All of your money, {amount}, was sent back to your card."),
    }.get(payment_status, ("none", "No money was taken." if finished else "No money has been taken."))
    return MoneyStory(moved, sentence)
