"""Giving money back because a person wants it: for one order, all of it or a part, and why."""

from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from marketplace.kernel.ids import new_id
from marketplace.outbox.services import append
from marketplace.sagas import selectors as sagas_read
from marketplace.sagas import services as sagas
from marketplace.sagas.models import TERMINAL
from orders import events
from orders.errors import BeingTakenBack, NotPlacedYet, UnknownOrder
from orders.models import BEFORE_CONFIRMATION, Order, Status
from orders.sagas.accept_late_payment import AcceptLatePayment
from orders.sagas.refund_payment import RefundPayment
from orders.sagas.telling import amount
from orders.timeline import note
from payments import refunds
from payments.errors import NothingToRefund
from payments.selectors import RefundView, captured_payment

MAY_REFUND: Final = "payments.add_refund"  # the permission of staff who may have money given back


@transaction.atomic
def refund(order_id: UUID, *, amount_minor: int | None, reason: str, actor: str, key: str, now: datetime) -> RefundView:
    """Have `amount_minor` of an order's money given back (minor units of its currency; None: all that is left of it).

    It is written down, and `RefundPayment` sees to it. `key` is the request's own: asking again by it changes nothing,
    and answers the refund as it stands now. The order's status stays as it is.

    Raises `UnknownOrder`, `NotPlacedYet` and `BeingTakenBack` where a saga has all of its money in hand (also one that
    looks into late money, for an order that had ended and may yet be confirmed), `ValueError`
    without an actor, a reason or a key, and what `payments.refunds.request` does. Takes its own transaction, or the
    caller's; locks the payment, then the order.
    """
    if not actor.strip() or not reason.strip() or not key:
        raise ValueError("who has money given back says who they are and why, and by which key they ask")
    if not Order.objects.filter(pk=order_id).exists():
        raise UnknownOrder
    payment = captured_payment(order_id)
    if payment is None:
        raise NothingToRefund
    saga_id, refund_id = new_id(), new_id()
    asked = refunds.request(
        payment.id,
        amount_minor=amount_minor,
        refund_id=refund_id,
        key=f"{saga_id}:{RefundPayment.steps[0].name}",
        request_key=key,
        reason=reason.strip(),
        actor=actor,
        now=now,
    )
    if not asked.new:
        return asked.refund
    order = Order.objects.select_for_update().get(pk=order_id)
    if order.status in BEFORE_CONFIRMATION:
        raise NotPlacedYet(status=order.status)
    if order.status == Status.CONFIRMED and order.reversal_id is not None:
        raise BeingTakenBack
    if order.status in (Status.FAILED, Status.CANCELLED) and _is_being_revived(order):
        raise NotPlacedYet(status=order.status)
    Order.objects.filter(pk=order_id).update(refund_status="PENDING", updated_at=now)
    why = f"{amount(asked.refund)} is to go back to the buyer: {reason.strip()}"
    note(order_id, order.status, why, who=actor, now=now)
    sagas.start(RefundPayment, [sagas.Start(id=saga_id, subject_id=refund_id)], now=now)
    append([events.about(order, "SAGA_STARTED", {}, saga_id=saga_id)], now=now)
    return asked.refund


def _is_being_revived(order: Order) -> bool:
    """Whether a saga is at work on money that came for an order that had ended."""
    if order.revival_id is None:
        return False
    return sagas_read.statuses([order.id], name=AcceptLatePayment.name).get(order.id) not in TERMINAL
