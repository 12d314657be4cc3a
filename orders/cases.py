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
    """Leave it to a person. One case for an order: what comes later is added to its timeline, and logged as an error.

    Takes the order's lock. Needs the caller's transaction.
    """
    order = Order.objects.select_for_update().get(pk=order_id)  # of two at once, one opens the case
    note(order.id, order.status, why, who=who, now=now)
    if order.id in sagas_read.statuses([order.id], name=PaymentCase.name):
        log.error("payment_case_has_more", order=order.number, why=why)
        return
    case = sagas.Start(subject_id=order.id, context={"why": why})
    sagas.start(PaymentCase, [case], now=now)
    append([events.about(order, "SAGA_STARTED", {}, saga_id=case.id)], now=now)
