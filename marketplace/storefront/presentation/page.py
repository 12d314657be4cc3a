"""The whole of what the order page says, from an order and its saga."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_noop as _

from fulfillment.selectors import ScanView
from marketplace.storefront.cards import PAYPAL
from marketplace.storefront.presentation.money import MoneyStory, money_story, price
from marketplace.storefront.presentation.parcel import Parcel, parcel
from marketplace.storefront.presentation.progress import Line, Stage, receipt, stands_by, tracker, tried_before
from marketplace.storefront.presentation.sentences import Ending, ending
from marketplace.storefront.presentation.steps import now_doing
from orders import wording
from orders.selectors import ItemView, OrderView, SagaStory

STANDS: Final = frozenset({"CONFIRMED", "SHIPPED", "IN_TRANSIT", "DELIVERED"})
ENDED: Final = frozenset({"FAILED", "CANCELLED"})
AT_REST: Final = frozenset({"COMPLETED", "FAILED", "COMPENSATED"})
STOPPABLE: Final = frozenset({"CREATED", "RESERVED", "PAYMENT_PENDING", "PAID"})
RETURNABLE: Final = frozenset({"CONFIRMED"})  # paid for, and not shipped yet

_STATUS_WORDS: Final[Mapping[str, str]] = {
    "CREATED": _("Received"),
    "RESERVED": _("Set aside"),
    "PAYMENT_PENDING": _("Payment under way"),
    "PAID": _("Payment approved"),
    "CONFIRMED": _("Confirmed"),
    "SHIPPED": _("Shipped"),
    "IN_TRANSIT": _("On the way"),
    "DELIVERED": _("Delivered"),
    "FAILED": _("Didn’t work out"),
    "CANCELLED": _("Cancelled"),
}
_STILL_YOURS: Final = _("No money was taken. Your things are still set aside, so you can pay by another method.")
_STANDS_BY: Final = (
    _("Your order is waiting its turn"),
    _(
        "We can’t go on just now. Nothing is lost: it goes on by itself as soon as possible. You don’t have to do "
        "anything, and you will not be charged twice."
    ),
)
_UNDER_WAY: Final[Mapping[str, tuple[str, str]]] = {
    "CREATED": (_("Your order is in"), _("We are checking the shelf and putting your things aside.")),
    "RESERVED": (_("Set aside for you"), _("Nobody else can buy them now. Your bank is next.")),
    "PAYMENT_PENDING": (
        _("Asking your bank"),
        _("This takes a moment. You can stay, or come back to this page later."),
    ),
    "PAID": (_("Your bank said yes"), _("One routine check, and it’s yours.")),
}
# While the bank has not decided: whether it waits for the buyer.
_AT_THE_BANK: Final[Mapping[bool, tuple[str, str]]] = {
    True: (_("Please confirm with your bank"), _("Your bank wants to know that it is really you. Then it’s done.")),
    False: (
        _("Your bank is thinking it over"),
        _("That can take a while. Your things stay put; you can close this page."),
    ),
}
_AT_PAYPAL: Final = (
    _("Please confirm with PayPal"),
    _("PayPal wants to hear from you. Your things stay put until then."),
)
_LOOKED_AT: Final = (
    _("We’re having a look at your order"),
    _(
        "One of us checks it before we take the payment. That can take a day or two. Your things stay put, and you "
        "don’t have to do anything; you can close this page."
    ),
)
_LATE_MONEY: Final = (
    _("Your payment has come after all"),
    _("The order was over by then. If your things are still there, it’s yours; otherwise you get your money back."),
)
_STANDING: Final[Mapping[str, tuple[str, str]]] = {
    "CONFIRMED": (_("It’s yours"), _("Thank you! Your order is confirmed and on its way to our warehouse.")),
    "SHIPPED": (_("It is packed"), _("Your parcel has its label, and waits for the carrier to pick it up.")),
    "IN_TRANSIT": (_("On the way"), _("Your parcel is on the way to you.")),
    "DELIVERED": (_("Delivered"), _("Your parcel has arrived. Enjoy!")),
}
# Of an order that is on the way, what its parcel's own status says beside that.
_AT_THE_CARRIER: Final[Mapping[str, tuple[str, str]]] = {
    "OUT_FOR_DELIVERY": (_("Out for delivery"), _("Your parcel is in the van, and about to arrive.")),
    "EXCEPTION": (_("Held up on the way"), _("Your parcel could not be brought to you yet. You need not do anything.")),
}
_STAMPS: Final[Mapping[str, str]] = {"returned": _("Refunded"), "none": _("Not charged")}  # by where the money is
_ATTENTION: Final = (
    _("A person is looking at this"),
    _("Something needs a human hand. You will not be charged twice, and you don’t have to do anything."),
)
_PAY_WHEN_READY: Final = (_("Set aside for you"), _("Nobody else can buy these now. Pay when you are ready."))
_ELSE: Final = (_("Your order is in"), _("We are working on it."))
_NO_ANSWER: Final = _("Your bank gave no clear answer yet. We are asking again; you will not be charged twice.")


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One line that couldn't be had: how many were asked for, and how many were there."""

    sku: str
    name: str
    asked: int
    available: int

    @property
    def said(self) -> str:
        """That in words."""
        [words] = wording.shortages([{"name": self.name, "asked": self.asked, "available": self.available}])
        return words


@dataclass(frozen=True, slots=True)
class OrderPage:
    """What the page shows. `tone` is "busy", "good", "bad", "calm" or "attention", for the style sheet.

    `running`: more will happen by itself, and soon. `awaits_payment`: only the buyer can move it on. `awaits_bank`: the
    bank has still to decide, or the buyer to confirm there (`confirm_at`). `awaits_review`: a person of the shop has.
    `finished`: nothing will happen any more.
    `version` changes when, and only when, something on the page does.
    """

    order: OrderView
    status_words: str
    tone: str
    headline: str
    what: str
    money: MoneyStory
    next_step: str
    other_card: bool
    stages: tuple[Stage, ...]
    lines: tuple[Line, ...]
    shortfalls: tuple[Shortfall, ...]
    total: str
    running: bool
    awaits_payment: bool
    awaits_bank: bool
    awaits_review: bool
    needs_attention: bool
    finished: bool
    can_cancel: bool
    time_left: str
    parcel: Parcel | None
    version: str

    @property
    def followed(self) -> bool:
        """Whether its parcel is still to come, so that the page is worth looking at again now and then.

        Also in the moment after it was confirmed, in which its parcel has yet to be planned.
        """
        to_come = self.parcel is not None or self.order.status in STANDS
        return self.finished and to_come and self.order.status != "DELIVERED"

    @property
    def confirm_at(self) -> str:
        """Where the buyer confirms the payment with the bank; empty where there is nothing to confirm."""
        return self.order.payment.action_url if self.awaits_bank and self.order.payment else ""

    @property
    def announcement(self) -> str:
        """The state of the order in one breath, for people who can't see it change."""
        money = f" {self.money.sentence}" if self.finished else ""
        return f"{self.headline}. {self.what}{money}"

    @property
    def paid_back(self) -> bool:
        """Whether to cancel it now is to have money sent back."""
        return self.order.status in RETURNABLE

    @property
    def stamp(self) -> str:
        """The word that is stamped on a receipt to which nothing will be added."""
        if not self.finished:
            return ""
        if self.order.status in STANDS:
            return self.status_words
        if self.order.status == "CANCELLED":
            return gettext("Cancelled")
        if self.order.refund_status == "REVERSED":
            return gettext("Taken back")  # by the bank: it was not we who sent it
        return gettext(_STAMPS.get(self.money.moved, ""))

    @property
    def again(self) -> ItemView | None:
        """What "order again" would order: the only line of an order that came to nothing."""
        return self.order.items[0] if self.order.status in ENDED and len(self.order.items) == 1 else None

    @property
    def may_try_again(self) -> bool:
        """Whether the buyer may have a new order in the place of this one."""
        return self.order.status in ENDED and self.finished and self.order.retried_by is None

    @property
    def pays_again(self) -> bool:
        """Whether the bank has declined before, and it may be paid by another method."""
        return self.awaits_payment and self.order.payment_attempt > 1

    @property
    def take_instead(self) -> int:
        """How many could be had instead of the too many that were asked for; 0 where that is no way out."""
        return self.shortfalls[0].available if self.again and self.shortfalls else 0


def status_words(status: str) -> str:
    """Return an order's status as a shopper reads it in a list."""
    known = _STATUS_WORDS.get(status)
    return gettext(known) if known else status.replace("_", " ").capitalize()


def order_page(
    order: OrderView, story: SagaStory, *, now: datetime, paying: bool = False, scans: Sequence[ScanView] = ()
) -> OrderPage:
    """Turn `order` and the story of its saga into what its page shows.

    `paying`: the buyer has just chosen how to pay, and the saga may not have taken notice yet. `scans`: of its parcel.
    """
    stands = order.status in STANDS
    needs_attention = story.status == "NEEDS_ATTENTION"
    reversing = _reversing(order, story)
    finished = story.status in AT_REST and (stands or order.status in ENDED) and not reversing
    awaits_payment = _awaits_payment(order, story) and not paying
    awaits_bank = _awaits_bank(order, story)
    awaits_review = _awaits_review(order, story)
    tone, headline, what = _words(order, story, awaits_payment=awaits_payment)
    over = _over(order)
    total = price(order.total_minor, order.currency)
    payment_status = order.payment.status if order.payment else ""
    return OrderPage(
        order=order,
        status_words=status_words(order.status),
        tone=tone,
        headline=headline,
        what=what,
        money=money_story(
            payment_status=payment_status,
            amount=total,
            confirmed=stands,
            finished=finished,
            undoing=reversing or story.status == "COMPENSATING",
            refund_status=order.refund_status,
            returned=_amount(order, order.payment.refunded_minor if order.payment else 0),
            returning=_amount(order, order.payment.refunding_minor if order.payment else 0),
        ),
        next_step=over.next_step if over else "",
        other_card=bool(over and over.other_card),
        stages=tracker(story, confirmed=stands, finished=finished, awaits_payment=awaits_payment),
        lines=receipt(story, finished=finished, awaits_payment=awaits_payment),
        shortfalls=_shortfalls(order.failure_detail),
        total=total,
        running=not (finished or awaits_payment or awaits_bank or awaits_review or needs_attention),
        awaits_payment=awaits_payment,
        awaits_bank=awaits_bank,
        awaits_review=awaits_review,
        needs_attention=needs_attention,
        finished=finished,
        can_cancel=_can_cancel(order, story),
        time_left=_time_left(order.reserved_until, now),
        parcel=parcel(order, scans),
        version=_version(order, story, paying=paying, scans=len(scans)),
    )


def _over(order: OrderView) -> Ending | None:
    if order.status not in ENDED:
        return None
    return ending(order.status, order.failure_code, bank_said=str(order.failure_detail.get("message", "")))


def _awaits_payment(order: OrderView, story: SagaStory) -> bool:
    """Whether the saga stands at its wait, and no method of payment has come yet."""
    at_the_wait = story.current_step == "payment_request" and story.status == "IN_PROGRESS"
    return order.status == "RESERVED" and at_the_wait and not order.payment_method


def _awaits_bank(order: OrderView, story: SagaStory) -> bool:
    """Whether the saga waits for the word of a bank that decides later."""
    at_the_wait = story.current_step == "payment_outcome" and story.status == "IN_PROGRESS"
    return order.status == "PAYMENT_PENDING" and at_the_wait


def _awaits_review(order: OrderView, story: SagaStory) -> bool:
    """Whether the saga waits for a person of the shop to decide."""
    at_the_wait = story.current_step == "fraud_review" and story.status == "IN_PROGRESS"
    return order.review_status == "PENDING" and at_the_wait


def _looks_into_late_money(order: OrderView, story: SagaStory) -> bool:
    """Whether money has come for an order that had ended, and it is not decided yet what becomes of it."""
    return order.status in ENDED and story.name == "accept_late_payment" and story.status not in AT_REST


def _reversing(order: OrderView, story: SagaStory) -> bool:
    """Whether the order still stands, and is being taken back."""
    return order.status in STANDS and story.name == "reverse_order"


def _amount(order: OrderView, minor: int) -> str:
    return price(minor, order.currency) if minor else ""


def _can_cancel(order: OrderView, story: SagaStory) -> bool:
    if order.status in RETURNABLE:
        return story.status in AT_REST and not _reversing(order, story)
    return order.status in STOPPABLE and story.status in {"STARTED", "IN_PROGRESS"}


def _words(order: OrderView, story: SagaStory, *, awaits_payment: bool) -> tuple[str, str, str]:
    """Return the tone, the headline, and the sentence below it."""
    if story.status == "NEEDS_ATTENTION":
        return _told("attention", _ATTENTION)
    if _looks_into_late_money(order, story):
        return _told("busy", _LATE_MONEY)
    over = _over(order)
    if over:
        return ("calm" if order.status == "CANCELLED" else "bad"), over.headline, over.what
    if order.status in STANDS:
        return _words_of_standing(order, story)
    if awaits_payment:
        return _words_of_waiting(order)
    return _words_under_way(order, story)


def _told(tone: str, words: tuple[str, str]) -> tuple[str, str, str]:
    headline, what = words
    return tone, gettext(headline), gettext(what)


def _words_of_waiting(order: OrderView) -> tuple[str, str, str]:
    if order.payment_attempt > 1:
        return "bad", gettext("Payment failed"), f"{_bank_said(order)} {gettext(_STILL_YOURS)}"
    return _told("calm", _PAY_WHEN_READY)


def _words_under_way(order: OrderView, story: SagaStory) -> tuple[str, str, str]:
    if stands_by(story):
        return _told("calm", _STANDS_BY)
    if story.status == "COMPENSATING":
        doing = now_doing(story.current_step, undoing=True, again=False)
        return "busy", gettext("This isn’t going to work, so we are undoing it"), doing
    if _awaits_bank(order, story):
        waits_for_buyer = bool(order.payment and order.payment.action_url)
        if waits_for_buyer and order.payment_method == PAYPAL:
            return _told("calm", _AT_PAYPAL)
        return _told("calm", _AT_THE_BANK[waits_for_buyer])
    if _awaits_review(order, story):
        return _told("calm", _LOOKED_AT)
    headline, what = _UNDER_WAY.get(order.status, _ELSE)
    if tried_before(story) and order.status in {"PAYMENT_PENDING", "PAID"}:
        what = _NO_ANSWER
    return _told("busy", (headline, what))


def _words_of_standing(order: OrderView, story: SagaStory) -> tuple[str, str, str]:
    if _reversing(order, story):
        doing = now_doing(story.current_step, undoing=False, again=False)
        return "busy", gettext("We are cancelling your order"), doing
    parcel_status = order.shipment.status if order.shipment and order.status == "IN_TRANSIT" else ""
    return _told("good", _AT_THE_CARRIER.get(parcel_status, _STANDING[order.status]))


def _bank_said(order: OrderView) -> str:
    said = wording.known(str(order.failure_detail.get("message", "")))
    if said:
        return gettext("Your bank’s answer: “%(said)s”") % {"said": said}
    return gettext("Your bank declined the payment.")


def _time_left(until: datetime | None, now: datetime) -> str:
    seconds = max(0, math.ceil((until - now).total_seconds())) if until else 0
    return f"{seconds // 60}:{seconds % 60:02d}"


def _shortfalls(detail: Mapping[str, Any]) -> tuple[Shortfall, ...]:
    return tuple(
        Shortfall(short["sku"], short["name"], int(short["asked"]), int(short["available"]))
        for short in detail.get("shortages", ())
    )


def _version(order: OrderView, story: SagaStory, *, paying: bool, scans: int) -> str:
    seen = (
        order.status,
        order.failure_code,
        order.refund_status,
        order.review_status,
        order.payment,
        order.payment_method,
        order.reserved_until,
        story.status,
        story.current_step,
        len(story.history),
        order.papers,
        order.shipment,
        scans,
        paying,
        get_language(),
    )
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]
