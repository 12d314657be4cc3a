"""Placing, paying and cancelling orders. Each starts a saga or sends it a signal; only the saga moves the order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from inventory import selectors as catalogue
from inventory import services as inventory
from marketplace.sagas import services as sagas
from orders import selectors
from orders.errors import AlreadyShipped, NotCancellable, NotConfirmed, NotPayable
from orders.models import BEFORE_CONFIRMATION, REVIVABLE, SHIPPED, Order, Status
from orders.packing import PackResult, correct_address, packed
from orders.placing import LARGEST_TOTAL, MOST_LINES, MOST_UNITS, NewOrder, OrderLineRequest, place, place_many
from orders.refunds import MAY_REFUND, refund
from orders.retries import try_again
from orders.reversals import Wish, reverse, reverse_many
from orders.selectors import OrderView

__all__ = [
    "LARGEST_TOTAL",
    "MAY_REFUND",
    "MOST_LINES",
    "MOST_UNITS",
    "CancelResult",
    "NewOrder",
    "OrderLineRequest",
    "PackResult",
    "cancel",
    "cannot_ship",
    "cannot_ship_many",
    "correct_address",
    "expire_reservations",
    "packed",
    "pay",
    "place",
    "place_many",
    "refund",
    "try_again",
]


def pay(order_id: UUID, *, method: str, now: datetime, attempt: int | None = None) -> OrderView:
    """Pay an order that waits in RESERVED by `method`; the saga takes it from there.

    Pressing twice pays once: of all that is asked for one attempt to pay, the first signal counts. `attempt`: which one
    the buyer means, where the page says so; one that has failed meanwhile is not taken for the next. Raises
    `UnknownOrder`, and `NotPayable` where the order does not wait for a payment, or does so no longer.
    """
    view = selectors.order(order_id)
    if attempt is not None and attempt != view.payment_attempt:
        raise NotPayable(
            "That payment has failed meanwhile. Please choose again how to pay.",
            status=view.status,
            payment_attempt=view.payment_attempt,
        )
    if view.payment_method == method and view.status not in (Status.FAILED, Status.CANCELLED):
        return view  # pressed twice, or it came with the method: the saga is at it, or has done it
    if view.status not in (Status.CREATED, Status.RESERVED) or view.payment_method:
        raise NotPayable(status=view.status)
    if view.reserved_until is not None and view.reserved_until <= now:
        raise NotPayable("The time to pay for this order has run out.", status=view.status)
    this = view.payment_attempt
    signal_id = "payment_request" if this == 1 else f"payment_request:{this}"
    payload = {"method": method, "attempt": this}
    receipt = sagas.signal(view.saga_id, "payment_request", signal_id=signal_id, payload=payload)
    if not receipt.accepted:
        raise NotPayable(status=selectors.order(order_id).status)
    return selectors.order(order_id)


@dataclass(frozen=True, slots=True)
class CancelResult:
    """The order as it was when the cancel was taken in. `pending`: a saga is still undoing what was done."""

    order: OrderView
    pending: bool


def cancel(order_id: UUID, *, actor: str, now: datetime, by_staff: bool = False, reason: str = "") -> CancelResult:
    """Stop an order: one that is being placed is undone by its saga, one that is confirmed is taken back by another.

    Whether the cancel or the confirmation comes first is decided on the saga's row; either way the order is cancelled.
    Cancelling again is answered the same. Takes its own transaction. Raises `UnknownOrder`, `AlreadyShipped` and, for
    orders that have failed, `NotCancellable`.
    """
    view = selectors.order(order_id)
    code = "cancelled_by_staff" if by_staff else "cancelled_by_buyer"
    payload = {"code": code, "message": reason, "actor": actor or "guest"}
    if view.status in BEFORE_CONFIRMATION:
        receipt = sagas.signal(view.saga_id, "cancel", signal_id="cancel", payload=payload)
        if receipt.accepted:
            return CancelResult(view, pending=True)
        view = selectors.order(order_id)
        if view.status in BEFORE_CONFIRMATION:  # it is being undone already, for another reason
            return CancelResult(view, pending=True)
    if view.status in (Status.FAILED, Status.CANCELLED):
        if _stays_over(view, payload, now=now):
            return CancelResult(view, pending=True)
        view = selectors.order(order_id)
    if view.status == Status.CONFIRMED:
        wish = Wish("cancelled", code, payload["actor"], reason)
        reverse(order_id, wish, why="Wants to cancel: the money goes back first, then the units.", now=now)
        view = selectors.order(order_id)
    if view.status in SHIPPED:
        raise AlreadyShipped(status=view.status)
    if view.status not in (Status.CONFIRMED, Status.CANCELLED):
        raise NotCancellable(status=view.status)
    return CancelResult(view, pending=view.status == Status.CONFIRMED)


def _stays_over(view: OrderView, payload: dict[str, str], *, now: datetime) -> bool:
    """See to it that an order which ended by itself is not revived by late money any more.

    True where that has begun already, and is stopped. Which comes first is decided on the order's row, or on that of
    the saga that revives it.
    """
    ended = Order.objects.filter(pk=view.id, status=Status.CANCELLED, revival_id=None, failure_code__in=REVIVABLE)
    ended.update(failure_detail={**view.failure_detail, "unwanted": True}, updated_at=now)
    revival = Order.objects.values_list("revival_id", flat=True).get(pk=view.id)
    return revival is not None and sagas.signal(revival, "cancel", signal_id="cancel", payload=payload).accepted


def cannot_ship(order_id: UUID, *, reason: str, actor: str, now: datetime) -> CancelResult:
    """Take back a confirmed order that the warehouse can't send: refund, restock, and FAILED `cannot_ship`.

    Saying it again, or of an order that is being taken back already, is answered the same. `actor` and `reason` go onto
    the timeline; the buyer reads neither. Takes its own transaction. Raises `UnknownOrder`, `AlreadyShipped` and, for
    orders that are not confirmed yet, `NotConfirmed`.
    """
    wish = Wish("failed", "cannot_ship", actor, reason)
    reverse(order_id, wish, why=f"Can't be shipped: {reason or 'no reason given.'}", now=now)
    view = selectors.order(order_id)
    if view.status in SHIPPED:
        raise AlreadyShipped(status=view.status)
    if view.status in BEFORE_CONFIRMATION:
        raise NotConfirmed(status=view.status)
    return CancelResult(view, pending=view.status == Status.CONFIRMED)


def cannot_ship_many(order_ids: Sequence[UUID], *, reason: str, actor: str, now: datetime) -> set[UUID]:
    """Do what `cannot_ship` does for each of these orders, in one transaction; return those it has begun to take back.

    One that is missing from the answer is not confirmed, has been shipped, or is being taken back already.
    """
    wish = Wish("failed", "cannot_ship", actor, reason)
    return reverse_many(order_ids, wish, why=f"Can't be shipped: {reason or 'no reason given.'}", now=now)


def expire_reservations(*, now: datetime, at_once: int = 1000) -> int:
    """Deal with holds past their TTL; return how many orders that concerned.

    A hold with a live saga is that saga's to decide (a payment may have come first): it is made to look at the time.
    One that nobody is responsible for any more is given back at once, and put on record. All of them are looked at, in
    chunks of `at_once`: those of sagas that are parked stay, and must not hide the others.
    """
    count, after = 0, catalogue.BEFORE_ALL
    while holds := catalogue.holds_ending(after=after, until=now, limit=at_once):
        count, after = count + len(holds), holds[-1]
        _past_their_time([owner_id for _, owner_id in holds], now=now)
    return count


def _past_their_time(owners: list[UUID], *, now: datetime) -> None:
    sagas.nudge(owners, now=now)
    orphans = sorted(set(owners) - selectors.with_live_saga(owners))
    if orphans:
        with transaction.atomic():
            inventory.expire(orphans, now=now)
