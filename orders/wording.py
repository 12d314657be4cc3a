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
}

NOT_CHARGED: Final = "No money was taken."
REFUNDED: Final = "Your money has been sent back."


def failure(code: str, detail: Mapping[str, Any], *, money_returned: bool) -> str:
    """Return the words for the buyer: what happened, and whether money moved."""
    sentence = SENTENCES.get(code, "This order could not be completed.")
    if code == "payment_declined" and detail.get("message"):
        sentence = f"Payment failed. {detail['message']}"
    if code == "out_of_stock":
        sentence = f"{sentence} {shortages(detail.get('shortages', ()))}".strip()
    return f"{sentence} {REFUNDED if money_returned else NOT_CHARGED}"


def shortages(lines: Sequence[Mapping[str, Any]]) -> str:
    """Say per line what was asked for and what is there."""
    return " ".join(
        f"{line['name']}: you asked for {line['asked']}, "
        + (f"only {line['available']} left." if line["available"] else "none left.")
        for line in lines
    )
