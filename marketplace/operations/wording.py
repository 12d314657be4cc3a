"""How the admin says things: the colour of each status, ages, durations, amounts. One place, so all pages agree."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from fulfillment.carriers.base import Address
from marketplace.kernel.money import format_minor

# Unfold's colours: success, info, warning, danger, and default, which is grey.
COLOUR_OF_ORDER: Final[Mapping[str, str]] = {
    "CREATED": "info",
    "RESERVED": "info",
    "PAYMENT_PENDING": "info",
    "PAID": "info",
    "CONFIRMED": "success",
    "SHIPPED": "success",
    "IN_TRANSIT": "success",
    "DELIVERED": "success",
    "FAILED": "danger",
    "CANCELLED": "default",
}
COLOUR_OF_SHIPMENT: Final[Mapping[str, str]] = {
    "CREATED": "info",
    "PACKED": "info",
    "LABELLED": "info",
    "IN_TRANSIT": "success",
    "OUT_FOR_DELIVERY": "success",
    "EXCEPTION": "warning",
    "DELIVERED": "success",
    "CANCELLED": "default",
}
REFUND_OF_LABEL: Final[Mapping[str, str]] = {
    "SUBMITTED": "Given back; the carrier has not decided about the money yet",
    "REFUNDED": "Refunded",
    "REJECTED": "Refused by the carrier: ask there for the money",
}
COLOUR_OF_SAGA: Final[Mapping[str, str]] = {
    "STARTED": "info",
    "IN_PROGRESS": "info",
    "COMPLETED": "success",
    "FAILED": "default",  # refused before anything was done: nobody's trouble
    "COMPENSATING": "warning",
    "COMPENSATED": "default",
    "NEEDS_ATTENTION": "danger",
}
COLOUR_OF_RESULT: Final[Mapping[str, str]] = {
    "DONE": "success",
    "REFUSED": "danger",
    "RETRY": "warning",
    "UNKNOWN": "warning",
    "UNAVAILABLE": "warning",
    "STANDBY": "default",
    "STANDING_BY": "warning",
    "PENDING": "info",  # a gateway that decides later
    "PARKED": "danger",
    "EXPIRED": "default",
    "STOPPED": "default",
    "RETURNED": "warning",
    "RETRIED": "info",  # a person's decision, like the next two
    "RESOLVED": "success",
    "IGNORED": "default",
    "STARTED": "info",
    "WAITING": "info",
    "": "info",  # a gateway call that nobody has come back from
}
COLOUR_OF_CIRCUIT: Final[Mapping[str, str]] = {"CLOSED": "success", "OPEN": "danger", "HALF_OPEN": "warning"}
COLOUR_OF_PAYMENT: Final[Mapping[str, str]] = {
    "PENDING": "info",
    "AUTHORIZED": "info",
    "CAPTURED": "success",
    "PARTIALLY_REFUNDED": "warning",
    "REFUNDED": "default",
    "VOIDED": "default",
    "FAILED": "danger",
    "DONE": "success",  # a refund
}
REFUNDED_BY: Final[Mapping[str, str]] = {
    "STAFF": "staff",
    "SAGA": "the order’s saga",
    "GATEWAY": "the provider’s dashboard",
}
COLOUR_OF_NEWS: Final[Mapping[str, str]] = {
    "NEW": "info",
    "TOLD": "success",
    "UNDOING": "warning",
    "UNDONE": "default",
    "PARKED": "danger",
}
COLOUR_OF_WEBHOOK: Final[Mapping[str, str]] = {
    "RECEIVED": "info",
    "PARKED": "warning",
    "DONE": "success",
    "FAILED": "danger",
}
COLOUR_OF_CASE: Final[Mapping[str, str]] = {
    "OPEN": "danger",
    "SETTLED": "success",
    "BY_HAND": "success",
    "GONE": "info",
}
COLOUR_OF_REVIEW: Final[Mapping[str, str]] = {
    "PENDING": "warning",
    "APPROVED": "success",
    "REJECTED": "danger",
    "CLOSED": "default",
}
COLOUR_OF_RETURN: Final[Mapping[str, str]] = {
    "REQUESTED": "warning",
    "APPROVED": "info",
    "RECEIVED": "info",
    "REFUNDED": "success",
    "REJECTED": "danger",
    "WITHDRAWN": "default",
    "EXPIRED": "default",
}
COLOUR_OF_MESSAGE: Final[Mapping[str, str]] = {
    "WAITING": "info",
    "SENT": "success",
    "SKIPPED": "default",
    "FAILED": "danger",
    "NO_RECIPIENT": "default",
    "NO RECIPIENT": "default",  # as lists show it
}
COLOUR_OF_HOLD: Final[Mapping[str, str]] = {
    "HELD": "info",
    "COMMITTED": "success",
    "RELEASED": "default",
    "EXPIRED": "default",
}

NOTHING: Final = "\N{EN DASH}"  # where there is nothing to show

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60))


def span(length: timedelta | float) -> str:
    """Write a length of time (seconds, if a number) roughly, as one says it: `12 s`, `3 min`, `2 h`, `5 d`."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    for name, size in _UNITS:
        if abs(seconds) >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def ago(instant: datetime, *, now: datetime) -> str:
    """Write how long ago `instant` was, or how long it is still to come: `3 min ago`, `in 12 s`, `now`."""
    seconds = (now - instant).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def took(milliseconds: float | None) -> str:
    """Write a measured duration exactly enough: `4 ms`, `1.25 s`, `3.5 min`."""
    if milliseconds is None:
        return "…"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 120_000:
        return f"{milliseconds / 1000:.3g} s"
    return f"{milliseconds / 60_000:.1f} min"


def money(minor: int, currency: str) -> str:
    """Write an amount: `1299.00 EUR`."""
    return f"{format_minor(minor, currency)} {currency}"


def units(count: int) -> str:
    """Write `1 unit`, `2 units`."""
    return f"{count} unit{'s' * (count != 1)}"


def step(name: str) -> str:
    """Write a step's name for people: `authorize payment`."""
    return name.replace("_", " ")


def lacking(address: Address) -> str:
    """What a parcel's address lacks: `No address`, or such as `No street, no city`; empty if it is complete."""
    if {"line1", "postal_code", "city"} <= {*address.missing}:
        return "No address"
    words = {"line1": "street", "postal_code": "postal code"}
    return ", ".join(f"no {words.get(name, name)}" for name in address.missing).capitalize()
