"""What the world is told about an order: the events of the design, with data that needs no second look."""

from typing import Any, Final, cast
from uuid import UUID

from marketplace.kernel.money import format_minor
from marketplace.kernel.naming import camel_keys
from marketplace.outbox.catalog import TYPES_OF_TOPIC
from marketplace.outbox.services import Event
from orders.models import Order

OF_SAGA_STATUS: Final = {
    "STARTED": "SAGA_STARTED",
    "COMPLETED": "SAGA_COMPLETED",
    "FAILED": "SAGA_FAILED",
    "COMPENSATING": "SAGA_COMPENSATING",
    "COMPENSATED": "SAGA_COMPENSATED",
    "NEEDS_ATTENTION": "SAGA_NEEDS_ATTENTION",
}

_TOPIC_OF_TYPE: Final = {kind: topic for topic, kinds in TYPES_OF_TOPIC.items() for kind in kinds}


def lasting(order: Order) -> dict[str, Any]:
    """Return what every event about `order` carries, and what never changes."""
    return {
        "orderId": str(order.id),
        "number": order.number,
        "totalAmount": format_minor(order.total_minor, order.currency),
        "currency": order.currency,
        "userId": order.user_id or None,
    }


def about(
    order: Order, event_type: str, data: dict[str, Any], *, saga_id: UUID, known: dict[str, Any] | None = None
) -> Event:
    """Make the event `event_type` about `order` as it is now; `data` (snake_case) joins what every event carries.

    `saga_id`: the saga that tells it, in whose sequence it takes its place. `known`: what is `lasting`, for whoever
    tells several events of an order.
    """
    told = cast(dict[str, Any], camel_keys(data)) if data else data
    body = {**(known or lasting(order)), "status": order.__dict__["status"], **told}  # past the machine's descriptor
    return Event(_TOPIC_OF_TYPE.get(event_type, ""), event_type, saga_id, order.id, body)
