"""How an order ended, code by code: a headline, what happened, and what the buyer may do next."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Ending:
    """`headline` and `what` say what happened; `next_step` invites; `other_card`: paying by another one may help."""

    headline: str
    what: str
    next_step: str
    other_card: bool = False


# Every code that an order can end with (design, section 3). A test holds this against the codes that orders define.
ENDINGS: Final[Mapping[str, Ending]] = {
    "out_of_stock": Ending(
        "Out of stock",
        "There wasn’t enough left of what you wanted, so we left everything on the shelf.",
        "You can take fewer, or find something else you like.",
    ),
    "payment_declined": Ending(
        "The bank said no",
        "Your bank declined the payment, so we put your things back on the shelf.",
        "You can try again with another card. Only your bank can tell you why it declined this one.",
        other_card=True,
    ),
    "payment_timeout": Ending(
        "The bank didn’t answer",
        "We asked your bank several times and got no answer in time, so we stopped and put your things back.",
        "Try again in a few minutes, or with another card.",
        other_card=True,
    ),
    "fraud_rejected": Ending(
        "We couldn’t accept this order",
        "One of our routine checks didn’t pass, so we stopped the order. That can happen to perfectly good orders.",
        "You can try another card, or write to us and a person will have a look.",
        other_card=True,
    ),
    "payment_failed": Ending(
        "The payment didn’t work",
        "The payment couldn’t be finished, so we put your things back on the shelf.",
        "You can try again, or with another card.",
        other_card=True,
    ),
    "payment_reversed": Ending(
        "Your bank took the payment back",
        "The bank reversed the payment before we could ship, so we stopped the parcel.",
        "You can order again with another card.",
        other_card=True,
    ),
    "payment_disputed": Ending(
        "Your bank was asked to take the payment back",
        "While your bank looks into it we ship nothing, so we stopped the order.",
        "If that was a mistake, tell your bank, and order again whenever you like.",
    ),
    "cannot_ship": Ending(
        "We can’t ship this after all",
        "The warehouse couldn’t send your order. That is our mistake, and we are sorry.",
        "You can find something else you like.",
    ),
    "reservation_expired": Ending(
        "The time to pay ran out",
        "We held your things for you as long as we said, and then they went back on the shelf.",
        "If you still want them, just order again.",
    ),
    "cancelled_by_buyer": Ending(
        "You cancelled this order",
        "We stopped right away, and everything went back on the shelf.",
        "Changed your mind again? You are welcome to order anew.",
    ),
    "cancelled_by_staff": Ending(
        "We cancelled this order",
        "Somebody from our shop cancelled it, and everything went back on the shelf.",
        "Write to us if that surprises you, and we will tell you why.",
    ),
    "saga_timeout": Ending(
        "This took too long",
        "We couldn’t finish your order in reasonable time, so we stopped and put your things back.",
        "Nothing of it is left over. You can try again.",
    ),
}

_PUT_BACK: Final = "So we stopped, and put your things back on the shelf."
_FAILED: Final = Ending(
    "This order didn’t work out",
    "We had to stop, and everything went back on the shelf.",
    "You can try again, or find something else you like.",
)
_CANCELLED: Final = Ending(
    "This order was cancelled",
    "It was stopped, and everything went back on the shelf.",
    "If you still want these things, just order again.",
)


def ending(status: str, failure_code: str, *, bank_said: str = "") -> Ending:
    """Return how an order in `status` FAILED or CANCELLED ended; a code that came later still reads as a sentence.

    `bank_said`: the bank's own sentence about a payment that it declined, or ours about one that it never decided.
    """
    found = ENDINGS.get(failure_code) or (_CANCELLED if status == "CANCELLED" else _FAILED)
    if failure_code == "payment_declined" and bank_said:
        return replace(found, what=f"Your bank’s answer: “{bank_said}” So we put your things back on the shelf.")
    if failure_code == "payment_timeout" and bank_said:
        return replace(found, headline="The bank didn’t say yes in time", what=f"{bank_said} {_PUT_BACK}")
    return found
