"""The topics and the types of event that there are. Nothing else is ever appended."""

from collections.abc import Mapping
from typing import Final

TYPES_OF_TOPIC: Final[Mapping[str, frozenset[str]]] = {
    "order-events": frozenset(
        {
            "ORDER_CREATED",
            "ORDER_RESERVED",
            "ORDER_PAID",
            "ORDER_CONFIRMED",
            "ORDER_FAILED",
            "ORDER_CANCELLED",
            "ORDER_SHIPPED",
            "ORDER_IN_TRANSIT",
            "ORDER_DELIVERED",
            "RETURN_REQUESTED",
            "RETURN_APPROVED",
            "RETURN_RECEIVED",
            "RETURN_REFUNDED",
            "RETURN_REJECTED",
            "RETURN_WITHDRAWN",
            "RETURN_EXPIRED",
        }
    ),
    "inventory-events": frozenset(
        {
            "INVENTORY_RESERVED",
            "INVENTORY_REJECTED",
            "INVENTORY_RELEASED",
            "INVENTORY_COMMITTED",
            "INVENTORY_RESTOCKED",
        }
    ),
    "payment-events": frozenset(
        {"PAYMENT_AUTHORIZED", "PAYMENT_DECLINED", "PAYMENT_CAPTURED", "PAYMENT_VOIDED", "PAYMENT_REFUNDED"}
    ),
    "fulfillment-events": frozenset(
        {
            "SHIPMENT_CREATED",
            "SHIPMENT_PACKED",
            "LABEL_GENERATED",
            "SHIPMENT_SCANNED",
            "SHIPMENT_DELIVERED",
            "SHIPMENT_CANCELLED",
        }
    ),
    "saga-events": frozenset(
        {
            "SAGA_STARTED",
            "SAGA_COMPLETED",
            "SAGA_FAILED",
            "SAGA_COMPENSATING",
            "SAGA_COMPENSATED",
            "SAGA_NEEDS_ATTENTION",
        }
    ),
}
SOURCE_OF_TOPIC: Final[Mapping[str, str]] = {
    "order-events": "/marketplace/orders",
    "inventory-events": "/marketplace/inventory",
    "payment-events": "/marketplace/payments",
    "fulfillment-events": "/marketplace/fulfillment",
    "saga-events": "/marketplace/sagas",
}
TYPES: Final[frozenset[str]] = frozenset().union(*TYPES_OF_TOPIC.values())


class UnknownEventType(ValueError):
    """The catalog holds no such type of event, or not in that topic: a mistake in the code that wants to tell it."""


def check(topic: str, event_type: str) -> None:
    """Raise `UnknownEventType` unless `topic` holds events of `event_type`."""
    if event_type not in TYPES_OF_TOPIC.get(topic, ()):
        raise UnknownEventType(f"The topic {topic!r} holds no {event_type!r}.")
