"""Which event calls for which mail, and what must still be true of the order when it is sent."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from orders.messages.models import Kind
from orders.models import BEFORE_SHIPPING, Status
from orders.returns.selectors import ReturnView, returns_by_id
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
    "RETURN_REQUESTED": Kind.RETURN_REQUESTED,
    "RETURN_APPROVED": Kind.RETURN_APPROVED,
    "RETURN_RECEIVED": Kind.RETURN_RECEIVED,
    "RETURN_REJECTED": Kind.RETURN_REJECTED,
    "RETURN_EXPIRED": Kind.RETURN_EXPIRED,
    "RETURN_REFUNDED": Kind.RETURN_SETTLED,  # where no refund was made: see below
}
EVENTS: Final = tuple(_OF_EVENT)
# Of what an event tells, what its mail needs and the order does not keep.
_KEPT: Final = (
    "amount", "failureCode", "carrier", "trackingNumber", "trackingUrl", "estimatedDelivery", "after", "refundId",
    "returnId",
)  # fmt: skip
# What is told by a mail only if nothing better has come of it after so long: money follows a parcel within seconds,
# unless the bank is away, and the mail about the money tells of the parcel too.
_PATIENCE: Final[Mapping[Kind, timedelta]] = {Kind.RETURN_RECEIVED: timedelta(minutes=10)}

_Check = Callable[[OrderView, Mapping[str, Any], datetime], str]


def kind_of(event_type: str, data: Mapping[str, Any]) -> Kind | None:
    """Return the mail that an event of one of `EVENTS` calls for; None where it is nothing to write about.

    An order that is reserved is none: what the buyer has to know of it is said with its receipt. One that is reserved
    anew, because its bank has declined and it may be paid by another method, is. The refund of a return is told as
    every refund is; a return that ends without one is told by its own end.
    """
    if event_type == "RETURN_REFUNDED" and Decimal(data["refundedAmount"]):
        return None
    if event_type == "ORDER_RESERVED" and data.get("after") != "payment_declined":
        return None
    if event_type == "ORDER_FAILED":
        return _OF_FAILURE.get(str(data.get("failureCode", "")), Kind.FAILED)
    return _OF_EVENT[event_type]


def kept(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a mail needs of what its event told."""
    return {name: data[name] for name in _KEPT if data.get(name) is not None}


def patience(kind: Kind) -> timedelta:
    """How long a mail of `kind` waits, so that a better one may make it needless."""
    return _PATIENCE.get(kind, timedelta(0))


def return_of(detail: Mapping[str, Any]) -> ReturnView | None:
    """Return the return that a mail with this `detail` is about, or whose refund it is about; None for any other."""
    told = detail.get("returnId") or detail.get("refundId")  # a return's refund has its id
    return returns_by_id([UUID(told)]).get(UUID(told)) if told else None


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


def _return_requested(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
    view = return_of(detail)
    return "" if view is not None and view.can_be_decided else "the return is decided by now"


def _return_is(status: str) -> _Check:
    def check(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
        view = return_of(detail)
        at = view.status if view is not None else "gone"
        return "" if at == status else f"the return is {at} by now"

    return check


def _return_received(order: OrderView, detail: Mapping[str, Any], now: datetime) -> str:
    view = return_of(detail)
    if view is not None and view.status == "REFUNDED":
        return "the mail about the money says it"
    return _return_is("RECEIVED")(order, detail, now)


_CHECKS: Final[Mapping[Kind, _Check]] = {
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
    Kind.RETURN_REQUESTED: _return_requested,
    Kind.RETURN_APPROVED: _return_is("APPROVED"),
    Kind.RETURN_RECEIVED: _return_received,
    Kind.RETURN_REJECTED: _return_is("REJECTED"),
    Kind.RETURN_EXPIRED: _return_is("EXPIRED"),
    Kind.RETURN_SETTLED: _return_is("REFUNDED"),
}
