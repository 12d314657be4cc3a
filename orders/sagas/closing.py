"""The end of an order that did not come about, or was taken back: all is undone, so it may be told."""

from collections.abc import Sequence
from datetime import datetime

from marketplace.sagas.outcomes import Done, Outcome, Parked
from marketplace.sagas.ticket import Cause, Ticket
from orders import wording
from orders.desk import OpenOrder
from orders.models import Order
from orders.sagas import risk
from orders.sagas.money import SETTLED, settled_by
from payments.selectors import payments_of


def close_order(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """End each order as FAILED or CANCELLED, in the transaction that ends its saga."""
    _look_again([ticket for ticket in tickets if ticket.subject.order.refund_status in ("DISPUTED", "PENDING")])
    risk.close_reviews(tickets, now=now)
    return [_undone(ticket) for ticket in tickets]


def _undone(ticket: Ticket) -> Outcome:
    if ticket.subject.order.refund_status == "PENDING":
        return Parked("By our books the buyer's money is still here: it has to be given back by hand.")
    _close(ticket.subject, ticket.cause or Cause("failed", "unknown"))
    return Done()


def close_reversed(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """End each order for the reason that its reversal was started with, once its money is where it belongs.

    A refund that a person has declared as done by hand is believed when the bank has told us of it, and not before.
    """
    settled = SETTLED.keys() - {"DISPUTED"}
    _look_again([ticket for ticket in tickets if ticket.subject.order.refund_status not in settled])
    return [_reversed(ticket) for ticket in tickets]


def _look_again(tickets: Sequence[Ticket]) -> None:
    """Take from the books what became of these orders' money: of a dispute, the bank may have decided since.

    The orders are locked first, as by whoever hears of it: either it is seen here, or the order is found ended there.
    """
    ids = [ticket.subject_id for ticket in tickets]
    if not ids:
        return
    list(Order.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk"))
    payments = payments_of(ids)
    for ticket in tickets:
        payment = payments.get(ticket.subject_id)
        if payment is not None:
            left = "PENDING" if payment.captured_minor else ""
            ticket.subject.order.refund_status = settled_by(payment) or left


def _reversed(ticket: Ticket) -> Outcome:
    if ticket.subject.order.refund_status not in SETTLED:
        return Parked("By our books the money was not given back, so the order can't be closed.")
    asked = dict(ticket.context)
    kind = asked.get("kind", "cancelled")  # those started by an earlier version were all cancels
    _close(ticket.subject, Cause(kind, asked["code"], asked["message"], asked))
    return Done(message=f"The order is {'cancelled' if kind == 'cancelled' else 'closed'}.")


def _close(opened: OpenOrder, cause: Cause) -> None:
    detail = cause.data or {}
    order = opened.order
    message = wording.failure(cause.code, detail, refund=order.refund_status, language=order.language)
    cancelled = cause.kind == "cancelled"
    opened.change(
        "cancel" if cancelled else "fail",
        cause.message or wording.SENTENCES.get(cause.code, cause.code),
        who=str(detail.get("actor", "saga")),
        code=cause.code,
        message=message,
        detail=detail,
    )
    opened.tell("ORDER_CANCELLED" if cancelled else "ORDER_FAILED", failure_code=cause.code, failure_message=message)
