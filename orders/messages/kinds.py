"""Which event calls for which mail, and what must still be true of the order when it is sent."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from orders.messages.models import Kind
from orders.models import BEFORE_SHIPPING, Status
from orders.selectors import OrderView

# ORDER_FAILED, by its failure code; what is not here is told in general words.
_OF_FAILURE: Final[Mapping[str, Kind]] = {
    "out_of_stock": Kind.OUT_OF_STOCK,
    "payment_declined": Kind.PAYMENT_FAILED,
    "payment_timeout": Kind.PAYMENT_FAILED,
    "payment_failed": Kind.PAYMENT_FAILED,
}
_OF_EVENT: Final[Mapping[str, Kind]] = {
    "ORDER_CREATED": Kind.RECEIVED,
    "ORDER_CONFIRMED": Kind.CONFIRMED,
    "ORDER_IN_TRANSIT": Kind.ON_THE_WAY,
    "ORDER_DELIVERED": Kind.DELIVERED,
    "ORDER_CANCELLED": Kind.CANCELLED,
    "ORDER_FAILED": Kind.FAILED,
    "ORDER_RESERVED": Kind.PAYMENT_FAILED,  # back there, after the bank has declined: see below
    "PAYMENT_REFUNDED": Kind.REFUNDED,
}
EVENTS: Final = tuple(_OF_EVENT)
# Of what an event tells, what its mail needs and the order does not keep.
_KEPT: Final = ("amount", "failureCode", "carrier", "trackingNumber", "trackingUrl", "estimatedDelivery", "after")


def kind_of(event_type: str, data: Mapping[str, Any]) -> Kind | None:
    """Return the mail that an event of one of `EVENTS` calls for; None where it is nothing to write about.

    An order that is reserved is none: what the buyer has to know of it is said with its receipt. One that is reserved
    anew, because its bank has declined and it may be paid by another method, is.
    """
    if event_type == "ORDER_RESERVED" and data.get("after") != "payment_declined":
        return None
    if event_type == "ORDER_FAILED":
        return _OF_FAILURE.get(str(data.get("failureCode", "")), Kind.FAILED)
    return _OF_EVENT[event_type]


def kept(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a mail needs of what its event told."""
    return {name: data[name] for name in _KEPT if data.get(name) is not None}


def untrue(kind: str, order: OrderView, detail: Mapping[str, Any], *, now: datetime) -> str:
    """Say why a mail would tell something that does not hold any more; empty while it is true."""
    return _CHECKS[Kind(kind)](order, detail, now)


def _received(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
    return "" if order.status in BEFORE_SHIPPING else f"the order is {order.status} by now"


def _payment_failed(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
    if "failureCode" not in detail:  # one attempt failed, and another one is allowed
        return "the buyer has chosen how to pay" if order.payment_method else _waits_for_payment(order, now)
    return _ended(Status.FAILED, order)


def _failed(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
    return _ended(Status.FAILED, order)


def _cancelled(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
    return _ended(Status.CANCELLED, order)


def _ended(status: Status, order: OrderView) -> str:
    return "" if order.status == status else f"the order has been revived, and is {order.status}"


def _expiring(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
    return "the buyer has chosen how to pay" if order.payment_method else _waits_for_payment(order, now)


def _waits_for_payment(order: OrderView, now: datetime) -> str:
    if order.status != Status.RESERVED:
        return f"the order is {order.status}, and does not wait for a payment"
    if order.reserved_until is None or order.reserved_until <= now:
        return "the time to pay is over"
    return ""


def _confirmed(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
    if order.status in (Status.FAILED, Status.CANCELLED):
        return f"the order is {order.status} by now"
    return "the order is being taken back" if order.being_taken_back else ""


def _on_the_way(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
    return "" if order.status == Status.IN_TRANSIT else f"the order is {order.status} by now"


def _delivered(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
    return "" if order.status == Status.DELIVERED else f"the order is {order.status}"


def _refunded(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
    return ""  # money that was sent back stays sent back


_CHECKS: Final[Mapping[Kind, Callable[[OrderView, Mapping[str, Any], datetime], str]]] = {
    Kind.RECEIVED: _received,
    Kind.PAYMENT_FAILED: _payment_failed,
    Kind.OUT_OF_STOCK: _failed,
    Kind.EXPIRING: _expiring,
    Kind.CONFIRMED: _confirmed,
    Kind.ON_THE_WAY: _on_the_way,
    Kind.DELIVERED: _delivered,
    Kind.CANCELLED: _cancelled,
    Kind.REFUNDED: _refunded,
    Kind.FAILED: _failed,
}
