"""The end of an order that did not come about, or was taken back: all is undone, so it may be told."""

from collections.abc import Sequence
from datetime import datetime

from marketplace.sagas.outcomes import Done, Outcome
from marketplace.sagas.ticket import Cause, Ticket
from orders import wording
from orders.desk import OpenOrder


def close_order(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """End each order as FAILED or CANCELLED, in the transaction that ends its saga."""
    for ticket in tickets:
        _close(ticket.subject, ticket.cause or Cause("failed", "unknown"))
    return [Done() for _ in tickets]


def close_reversed(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """End each order as CANCELLED, for the reason that its reversal was started with."""
    for ticket in tickets:
        asked = dict(ticket.context)
        _close(ticket.subject, Cause("cancelled", asked["code"], asked["message"], asked))
    return [Done(message="The order is cancelled.") for _ in tickets]


def _close(opened: OpenOrder, cause: Cause) -> None:
    detail = cause.data or {}
    money_returned = opened.order.refund_status == "REFUNDED"
    message = wording.failure(cause.code, detail, money_returned=money_returned)
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
