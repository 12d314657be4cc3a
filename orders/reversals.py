"""Taking confirmed orders back: whoever wants it, and whyever, there is one reversal, and one way to start it.

A confirmed order is being shipped by its saga. Whoever takes it back stops that saga first, by a signal under its row's
lock, and claims the order in the same transaction: either the order is shipped by then, and stays so, or it is not, and
never will be. So of a cancel and a label there is one winner, on the row. Rows are locked in the order of the house:
saga, order.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from django.db import transaction

from marketplace.kernel import bulk
from marketplace.kernel.ids import new_ids
from marketplace.outbox.services import append
from marketplace.sagas import attention
from marketplace.sagas import selectors as sagas_read
from marketplace.sagas import services as sagas
from marketplace.sagas.errors import AlreadyCompensating, NotParked, PastPivot
from marketplace.sagas.models import TERMINAL
from marketplace.sagas.models import Status as SagaStatus
from orders import events
from orders.desk import FULFILLMENT
from orders.models import Order, Status, TimelineEntry
from orders.sagas.reverse_order import ReverseOrder
from orders.sagas.stopping import STOP_BY

STOP_PATIENCE: Final = timedelta(minutes=10)  # for so long the money waits for the shipment to be stopped


@dataclass(frozen=True, slots=True)
class Wish:
    """Why an order is to be taken back: all that its reversal starts with.

    `kind` says whether it ends as FAILED or CANCELLED, and `code` by which failure code; `actor` is who wants it;
    `message` is their reason, for the timeline, where they gave one.
    """

    kind: Literal["failed", "cancelled"]
    code: str
    actor: str
    message: str = ""


def reverse(order_id: UUID, wish: Wish, *, why: str, now: datetime) -> bool:
    """Start the reversal of a confirmed order; False if it has one already, or is not confirmed (any more).

    Whoever comes first writes the reversal's id onto the order; the others wait for that row, and then find it there.
    `why` goes onto the timeline at once. Takes the lock of the saga that ships the order, then the order's, in a
    transaction of its own or the caller's.
    """
    return order_id in reverse_many([order_id], wish, why=why, now=now)


@transaction.atomic
def reverse_many(order_ids: Sequence[UUID], wish: Wish, *, why: str, now: datetime) -> set[UUID]:
    """Do what `reverse` does for each of these orders, in a constant number of statements; return those it began.

    Where a saga that ships one of them begins in between (`orders.missing_shipments`), all of it is done anew.
    """
    while True:
        standing = Order.objects.filter(pk__in=list(order_ids), status=Status.CONFIRMED, reversal_id=None)
        asked = list(standing.values_list("id", flat=True))
        if not asked:
            return set()
        try:
            return _stop_and_claim(asked, wish, why=why, now=now)
        except _Overtaken:
            continue


class _Overtaken(Exception):
    """An order is being shipped that was not when its saga was to be stopped."""


@transaction.atomic
def _stop_and_claim(order_ids: Sequence[UUID], wish: Wish, *, why: str, now: datetime) -> set[UUID]:
    shipping = sagas_read.ids(order_ids, name=FULFILLMENT)
    stopping = _stop(shipping, wish, why, now=now)
    return _claim(order_ids, wish, stopping=stopping, stopped=shipping.keys(), why=why, now=now)


@transaction.atomic
def reverse_stopped(order_id: UUID, wish: Wish, *, why: str, now: datetime) -> bool:
    """Do what `reverse` does for an order whose shipment is stopped already. Needs the lock of the saga that was."""
    return bool(_claim([order_id], wish, stopping=set(), stopped={order_id}, why=why, now=now))


def _stop(shipping: Mapping[UUID, UUID], wish: Wish, why: str, *, now: datetime) -> set[UUID]:
    """Stop the sagas that ship these orders (by order); return the orders for which that is to be waited for."""
    payload = {"code": wish.code, "message": why, "actor": wish.actor}
    signals = [sagas.Signal(saga_id, "stop", payload) for saga_id in shipping.values()]
    receipts = dict(zip(shipping, sagas.signal_many("stop", signals), strict=True))
    for order_id, receipt in receipts.items():
        if receipt.status == SagaStatus.NEEDS_ATTENTION:  # no signal wakes it, but whoever takes the order back decides
            try:
                attention.compensate(shipping[order_id], actor=wish.actor, reason=why, now=now)
            except (AlreadyCompensating, NotParked, PastPivot):
                continue  # it is on its way back by itself; or the order is shipped, as its row says
    return {order_id for order_id, receipt in receipts.items() if receipt.status not in TERMINAL}


def _claim(
    order_ids: Sequence[UUID], wish: Wish, *, stopping: Set[UUID], stopped: Set[UUID], why: str, now: datetime
) -> set[UUID]:
    """Write a reversal's id onto each order that is still to be had, and start it; raises `_Overtaken`."""
    list(Order.objects.select_for_update(no_key=True).filter(pk__in=order_ids).order_by("pk").values_list("pk"))
    if sagas_read.ids(order_ids, name=FULFILLMENT).keys() - stopped:
        raise _Overtaken
    stop_by = {STOP_BY: (now + STOP_PATIENCE).isoformat()}
    ids = dict(zip(sorted(order_ids), new_ids(len(order_ids)), strict=True))
    claimed = set(
        bulk.update(
            Order,
            "id",
            ("reversal_id", "refund_status", "updated_at"),
            [(order_id, saga_id, "PENDING", now) for order_id, saga_id in ids.items()],
            only_if="t.status = 'CONFIRMED' AND t.reversal_id IS NULL",
        )
    )
    starts = [
        sagas.Start(
            id=ids[order_id], subject_id=order_id, context=asdict(wish) | (stop_by if order_id in stopping else {})
        )
        for order_id in sorted(claimed)
    ]
    if starts:
        told = (Status.CONFIRMED, Status.CONFIRMED, wish.actor, why, now)
        entries = ("order", "from_status", "to_status", "who", "why", "at")
        bulk.insert(TimelineEntry, entries, [(start.subject_id, *told) for start in starts])
        sagas.start(ReverseOrder, starts, now=now)
        rows = Order.objects.filter(pk__in=claimed)
        append([events.about(row, "SAGA_STARTED", {}, saga_id=ids[row.id]) for row in rows], now=now)
    return claimed
