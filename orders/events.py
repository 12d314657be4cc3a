"""What the world is told about an order: the events of the design, with data that needs no second look."""

from typing import Any, Final, cast
from uuid import UUID

from marketplace.kernel.money import format_minor
from marketplace.kernel.naming import camel_keys
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

_TOPIC_OF_PREFIX: Final = {
    "ORDER": "order-events",
    "INVENTORY": "inventory-events",
    "PAYMENT": "payment-events",
    "SAGA": "saga-events",
}


def about(order: Order, event_type: str, data: dict[str, Any], *, saga_id: UUID) -> Event:
    """Make the event `event_type` about `order` as it is now; `data` (snake_case) joins what every event carries.

    `saga_id`: the saga that tells it, in whose sequence it takes its place.
    """
    body = {
        "orderId": str(order.id),
        "number": order.number,
        "status": order.status,
        "totalAmount": format_minor(order.total_minor, order.currency),
        "currency": order.currency,
        "userId": order.user_id or None,
        **cast(dict[str, Any], camel_keys(data)),
    }
    topic = _TOPIC_OF_PREFIX[event_type.split("_", 1)[0]]
    return Event(topic=topic, type=event_type, saga_id=saga_id, subject_id=order.id, data=body)
