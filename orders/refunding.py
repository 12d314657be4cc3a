"""Where the refunds of an order stand, by the books: for the order's `refund_status`, its timeline and the world.

Rows are locked in one order here: payments, their refunds, orders. So whoever comes with a refund in hand comes last to
the order, as `orders.desk` does.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from marketplace.outbox.services import append
from orders import events, wording
from orders.invoicing import services as invoicing
from orders.models import Order, Status
from orders.sagas.money import settled_by
from orders.sagas.telling import facts, sentence
from orders.timeline import note
from payments import refunds
from payments.selectors import RefundView, captured_payment, refunds_of

UNDER_WAY = "PENDING"


def status_by_the_books(order_id: UUID) -> str:
    """Return the refund status that its payment and its refunds give to an order. Two queries."""
    payment = captured_payment(order_id)
    if payment is None:
        return ""
    settled = settled_by(payment)
    if settled:
        return settled
    refunds_of_it = [one for one in refunds_of([order_id]).get(order_id, ()) if one.payment_id == payment.id]
    if any(refund.status == UNDER_WAY for refund in refunds_of_it):
        return UNDER_WAY
    return "PARTIALLY_REFUNDED" if payment.refunded_minor else ""


def set_status(order_ids: Collection[UUID], *, now: datetime) -> None:
    """Have the refund status of these orders say what the books do, and what the buyer of an ended one reads.

    One that is being placed, or taken back, has a saga that sees to that. Locks the orders, after payments and refunds;
    needs the caller's transaction.
    """
    for order in Order.objects.select_for_update(of=("self",)).filter(pk__in=list(order_ids)).order_by("pk"):
        if not _is_free(order):
            continue
        status = status_by_the_books(order.id)
        if status == order.refund_status:
            continue
        changes = {"refund_status": status, "updated_at": now}
        if order.status in (Status.FAILED, Status.CANCELLED):
            changes["failure_message"] = wording.failure(
                order.failure_code, order.failure_detail, refund=status, language=order.language
            )
        Order.objects.filter(pk=order.id).update(**changes)


def _is_free(order: Order) -> bool:
    """Whether no saga has the order's money in hand: one that places it, or takes it back."""
    if order.status in (Status.FAILED, Status.CANCELLED):
        return True
    return order.status in (Status.SHIPPED, Status.IN_TRANSIT, Status.DELIVERED) or (
        order.status == Status.CONFIRMED and order.reversal_id is None
    )


def tell_seen(order_id: UUID, *, who: str, now: datetime) -> list[str]:
    """Tell of refunds that were seen to be done and that no saga has told of; return what was said of those by others.

    Each under its own id, as no saga has a part in it. Needs the caller's transaction, in which no order is locked yet.
    """
    by_others = []
    told = refunds.untold([order_id], now=now)
    for refund in told:
        order = Order.objects.select_for_update().get(pk=order_id)
        said = sentence(refund)
        note(order_id, order.status, said, who=who, now=now)
        append([events.about(order, "PAYMENT_REFUNDED", dict(facts(refund)), saga_id=refund.id)], now=now)
        if refund.source == "GATEWAY":
            by_others.append(said)
    set_status([order_id], now=now)
    credit(told, now=now)
    return by_others


def credit(done: Iterable[RefundView], *, now: datetime) -> None:
    """Give a credit note for each of these refunds that are done, where one is due. Comes last in a transaction."""
    done = list(done)
    if len(done) > 1:
        invoicing.lock({refund.reference_id for refund in done})
    for refund in done:
        invoicing.credit_refund(
            refund.reference_id, amount_minor=refund.amount_minor, key=credit_key(refund.id), now=now
        )


def credit_key(refund_id: UUID) -> str:
    """The key of the credit note over a refund."""
    return f"refund:{refund_id}"
