"""How an order ended, code by code: a headline, what happened, and what the buyer may do next."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from orders import wording


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
        _("Out of stock"),
        _("There wasn’t enough left of what you wanted, so we left everything on the shelf."),
        _("You can take fewer, or find something else you like."),
    ),
    "payment_declined": Ending(
        _("The bank said no"),
        _("Your bank declined the payment, so we put your things back on the shelf."),
        _("You can try again with another card. Only your bank can tell you why it declined this one."),
        other_card=True,
    ),
    "payment_timeout": Ending(
        _("The bank didn’t answer"),
        _("We asked your bank several times and got no answer in time, so we stopped and put your things back."),
        _("Try again in a few minutes, or with another card."),
        other_card=True,
    ),
    "fraud_rejected": Ending(
        _("We couldn’t accept this order"),
        _("One of our routine checks didn’t pass, so we stopped the order. That can happen to perfectly good orders."),
        _("You can try another card, or write to us and a person will have a look."),
        other_card=True,
    ),
    "payment_failed": Ending(
        _("The payment didn’t work"),
        _("The payment couldn’t be finished, so we put your things back on the shelf."),
        _("You can try again, or with another card."),
        other_card=True,
    ),
    "payment_reversed": Ending(
        _("Your bank took the payment back"),
        _("The bank reversed the payment before we could ship, so we stopped the parcel."),
        _("You can order again with another card."),
        other_card=True,
    ),
    "payment_disputed": Ending(
        _("Your bank was asked to take the payment back"),
        _("While your bank looks into it we ship nothing, so we stopped the order."),
        _("If that was a mistake, tell your bank, and order again whenever you like."),
    ),
    "cannot_ship": Ending(
        _("We can’t ship this after all"),
        _("The warehouse couldn’t send your order. That is our mistake, and we are sorry."),
        _("You can find something else you like."),
    ),
    "reservation_expired": Ending(
        _("The time to pay ran out"),
        _("We held your things for you as long as we said, and then they went back on the shelf."),
        _("If you still want them, just order again."),
    ),
    "cancelled_by_buyer": Ending(
        _("You cancelled this order"),
        _("We stopped right away, and everything went back on the shelf."),
        _("Changed your mind again? You are welcome to order anew."),
    ),
    "cancelled_by_staff": Ending(
        _("We cancelled this order"),
        _("Somebody from our shop cancelled it, and everything went back on the shelf."),
        _("Write to us if that surprises you, and we will tell you why."),
    ),
    "saga_timeout": Ending(
        _("This took too long"),
        _("We couldn’t finish your order in reasonable time, so we stopped and put your things back."),
        _("Nothing of it is left over. You can try again."),
    ),
}

_FAILED: Final = Ending(
    _("This order didn’t work out"),
    _("We had to stop, and everything went back on the shelf."),
    _("You can try again, or find something else you like."),
)
_CANCELLED: Final = Ending(
    _("This order was cancelled"),
    _("It was stopped, and everything went back on the shelf."),
    _("If you still want these things, just order again."),
)


def ending(status: str, failure_code: str, *, bank_said: str = "") -> Ending:
    """Return how an order in `status` FAILED or CANCELLED ended, in the active language.

    A code that came later still reads as a sentence.

    `bank_said`: the bank's own sentence about a payment that it declined, or ours about one that it never decided.
    """
    found = ENDINGS.get(failure_code) or (_CANCELLED if status == "CANCELLED" else _FAILED)
    headline, what = gettext(found.headline), gettext(found.what)
    said = wording.known(bank_said)
    if failure_code == "payment_declined" and said:
        what = gettext("Your bank’s answer: “%(said)s” So we put your things back on the shelf.") % {"said": said}
    if failure_code == "payment_timeout" and said:
        headline = gettext("The bank didn’t say yes in time")
        what = gettext("%(said)s So we stopped, and put your things back on the shelf.") % {"said": said}
    return replace(found, headline=headline, what=what, next_step=gettext(found.next_step))
