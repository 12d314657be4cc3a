"""What the buyer is told when an order does not come about. One place, plain words, no blame, and always the money."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

SENTENCES: Final[Mapping[str, str]] = {
    "out_of_stock": "Out of stock.",
    "payment_declined": "Payment failed: your bank or card declined it.",
    "payment_timeout": "Payment failed: the payment provider did not answer in time.",
    "fraud_rejected": "We could not accept this order.",
    "reservation_expired": "The time to pay ran out, so we gave the units back.",
    "cancelled_by_buyer": "You cancelled this order.",
    "cancelled_by_staff": "Our team cancelled this order.",
    "payment_reversed": "Your bank took the payment back before we could ship, so we stopped this order.",
    "payment_disputed": "Your bank was asked to take the payment back, so we stopped this order.",
    "cannot_ship": "We could not ship this order. That is our mistake, and we are sorry.",
}

# By an order's `refund_status`: where the money is.
MONEY: Final[Mapping[str, str]] = {
    "": "No money was taken.",
    "REFUNDED": "Your money has been sent back.",
    "REVERSED": "Your bank gives the money back to you.",
    "DISPUTED": "Your bank decides about the money, and we take nothing more.",
}


def failure(code: str, detail: Mapping[str, Any], *, refund: str) -> str:
    """Return the words for the buyer: what happened, and where the money is (`refund`: the order's refund status)."""
    sentence = SENTENCES.get(code, "This order could not be completed.")
    if code in ("payment_declined", "payment_timeout") and detail.get("message"):
        sentence = f"Payment failed. {detail['message']}"
    if code == "out_of_stock":
        sentence = f"{sentence} {shortages(detail.get('shortages', ()))}".strip()
    return f"{sentence} {MONEY.get(refund, '')}".strip()


def shortages(lines: Sequence[Mapping[str, Any]]) -> str:
    """Say per line what was asked for and what is there."""
    return " ".join(
        f"{line['name']}: you asked for {line['asked']}, "
        + (f"only {line['available']} left." if line["available"] else "none left.")
        for line in lines
    )
