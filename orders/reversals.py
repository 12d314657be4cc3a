"""Taking a confirmed order back: whoever wants it, and whyever, there is one reversal, and one way to start it."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.db import transaction

from marketplace.kernel.ids import new_id
from marketplace.outbox.services import append
from marketplace.sagas import services as sagas
from orders import events
from orders.models import Order, Status
from orders.sagas.reverse_order import ReverseOrder
from orders.timeline import note


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


@transaction.atomic
def reverse(order_id: UUID, wish: Wish, *, why: str, now: datetime) -> bool:
    """Start the reversal of a confirmed order; False if it has one already, or is not confirmed (any more).

    Whoever comes first writes the reversal's id onto the order; the others wait for that row, and then find it there.
    `why` goes onto the timeline at once. Takes the order's row lock, in a transaction of its own or the caller's.
    """
    saga_id = new_id()
    claimed = Order.objects.filter(pk=order_id, status=Status.CONFIRMED, reversal_id=None).update(
        reversal_id=saga_id, refund_status="PENDING", updated_at=now
    )
    if not claimed:
        return False
    note(order_id, Status.CONFIRMED, why, who=wish.actor, now=now)
    sagas.start(ReverseOrder, [sagas.Start(id=saga_id, subject_id=order_id, context=asdict(wish))], now=now)
    append([events.about(Order.objects.get(pk=order_id), "SAGA_STARTED", {}, saga_id=saga_id)], now=now)
    return True
