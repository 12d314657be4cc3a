"""What the world is told of a return: an event for each status that it takes, named for that."""

from typing import Any

from marketplace.kernel.money import format_minor
from marketplace.outbox.services import Event
from orders import events
from orders.models import Order
from orders.returns.selectors import ReturnedLine, ReturnView


def event(order: Order, view: ReturnView) -> Event:
    """Make the event that says which status a return of `order` has taken; it takes its place in its saga's sequence.

    It carries nothing that staff wrote for themselves, and of the buyer's words none.
    """
    return events.about(order, f"RETURN_{view.status}", _facts(view), saga_id=view.saga_id)


def _facts(view: ReturnView) -> dict[str, Any]:
    told: dict[str, Any] = {
        "return_id": view.id,
        "return_number": view.number,
        "return_status": view.status,
        "items": [_item(view, line) for line in view.lines],
    }
    if view.status == "REQUESTED":
        told["answer_by"] = view.answer_by.isoformat()
    if view.status == "APPROVED" and view.arrive_by is not None:
        told["arrive_by"] = view.arrive_by.isoformat()
    if view.status == "REFUNDED":
        told["refunded_amount"] = format_minor(view.refunded_minor, view.currency)
    if view.buyer_reads:
        told["message"] = view.buyer_reads
    return told


def _item(view: ReturnView, line: ReturnedLine) -> dict[str, Any]:
    said: dict[str, Any] = {"sku": line.sku, "quantity": line.quantity}
    if view.received_at is not None:
        said |= {"restocked": line.restocked, "written_off": line.written_off}
    return said
