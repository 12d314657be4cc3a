"""Opening a case about the money of an order: what no saga can put right by itself, a person decides."""

from datetime import datetime
from uuid import UUID

import structlog

from marketplace.outbox.services import append
from marketplace.sagas import selectors as sagas_read
from marketplace.sagas import services as sagas
from orders import events
from orders.models import Order
from orders.sagas.payment_case import PaymentCase
from orders.timeline import note

log = structlog.get_logger(__name__)


def open_case(order_id: UUID, why: str, *, who: str, now: datetime) -> None:
    """Leave it to a person, and say so on the order's timeline.

    While a case of this order waits for somebody's decision, that is all: they read the timeline. What comes after that
    has a case of its own, or nobody would be told that a settled dispute was lost.

    Takes the order's lock. Needs the caller's transaction.
    """
    order = Order.objects.select_for_update().get(pk=order_id)  # of two at once, one opens the case
    note(order.id, order.status, why, who=who, now=now)
    known = list(order.cases.values_list("id", flat=True))
    if sagas_read.undecided([order.id, *known], name=PaymentCase.name):  # version 1 was about the order
        log.warning("payment_case_has_more", order=order.number, why=why)
        return
    case = order.cases.create(opened_at=now)
    start = sagas.Start(subject_id=case.id, context={"why": why})
    sagas.start(PaymentCase, [start], now=now)
    append([events.about(order, "SAGA_STARTED", {}, saga_id=start.id)], now=now)
