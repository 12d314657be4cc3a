"""What the pages say of returns: each in plain words, and whether something more can be sent back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_noop as _

from marketplace.storefront.presentation.money import price
from orders.messages.locales import return_lines
from orders.returns import selectors
from orders.returns.selectors import Returnable, ReturnView
from orders.selectors import OrderView


@dataclass(frozen=True, slots=True)
class ReturnStory:
    """One return as its buyer reads it.

    `by`: until when somebody has to do something, where that matters to them; `send_to`: where the parcel goes, line by
    line, while it is to be sent.
    """

    id: UUID
    number: str
    status: str
    headline: str
    what: str
    items: tuple[tuple[int, str], ...]
    can_withdraw: bool
    by: datetime | None = None
    send_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Returns:
    """The returns of an order, the newest first; `may_ask` until `until`, for what is `left`."""

    stories: tuple[ReturnStory, ...] = ()
    left: tuple[Returnable, ...] = ()
    until: datetime | None = None
    may_ask: bool = False


NONE: Final = Returns()


def returns_page(order: OrderView, *, now: datetime) -> Returns:
    """Gather the returns of an order; nothing is asked of the database before it is delivered."""
    if order.status != "DELIVERED":
        return NONE
    found = selectors.returns_of(order.id)
    left, until = selectors.returnable(order.id), selectors.term_ends_at(order.id)
    may_ask = bool(left) and until is not None and now <= until and not _one_is_open(found)
    return Returns(tuple(_story(one) for one in reversed(found)), tuple(left), until, may_ask)


def _one_is_open(found: Sequence[ReturnView]) -> bool:
    return any(one.is_open for one in found)


def _story(view: ReturnView) -> ReturnStory:
    headline, what = _words(view)
    items = tuple((line.quantity, line.product_name) for line in view.lines)
    is_to_be_sent = view.status == "APPROVED" and view.received_at is None
    by, send_to = (view.arrive_by, return_lines(get_language() or "")) if is_to_be_sent else (None, [])
    told = (view.id, view.number, view.status, headline, what, items)
    return ReturnStory(*told, can_withdraw=view.can_be_decided, by=by, send_to=tuple(send_to))


_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "asked": (
        _("We have your wish"),
        _("Somebody of our team looks at it and answers. Please keep the things until then."),
    ),
    "answered": (_("A moment"), _("Your return is being written down.")),
    "approved": (
        _("Please send it back"),
        _("Write %(number)s on the parcel. Once it is here, your money goes back to you."),
    ),
    "here": (_("Your parcel is here"), _("We look at what is in it, and settle the rest.")),
    "RECEIVED": (_("Your parcel is here"), _("Your money is on its way back to you.")),
    "REFUNDED": (_("Your money is back"), _("We sent %(amount)s back to you.")),
    "nothing": (_("This return is over"), _("The money for it had gone back to you before.")),
    "REJECTED": (_("We can’t take this back"), _("Our team says: “%(said)s”")),
    "WITHDRAWN": (_("You have withdrawn this return"), _("Nothing was sent back.")),
    "EXPIRED": (_("This return ran out of time"), _("Nothing came back, so nothing was refunded.")),
}


def _words(view: ReturnView) -> tuple[str, str]:
    at = view.status
    if at == "REQUESTED":
        at = "answered" if view.verdict else "asked"
    elif at == "APPROVED":
        at = "here" if view.received_at else "approved"
    elif at == "REFUNDED" and not view.refunded_minor:
        at = "nothing"
    headline, what = _WORDS[at]
    amount = price(view.refunded_minor, view.currency)
    values = {"number": view.number, "amount": amount, "said": view.buyer_reads}
    return gettext(headline), gettext(what) % values
