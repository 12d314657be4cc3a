"""What EasyPost's objects and errors say, in the words of `fulfillment.carriers.base`. They come as plain dicts.

Sources: EasyPost's API reference (Shipments, Trackers, Shipping Refund, Errors).
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from math import ceil
from typing import Any, Final

from easypost.errors import (
    ApiError,
    ForbiddenError,
    HttpError,
    RateLimitError,
    TimeoutError,
    UnauthorizedError,
)

from fulfillment.carriers.base import (
    Consignment,
    LabelRefund,
    LabelStatus,
    Outcome,
    Parcel,
    Rate,
    Reply,
    Scan,
    ScanKind,
)
from marketplace.kernel.connections import never_left

Told = Mapping[str, Any]

_OUNCE_GRAMS: Final = 28.349523125
_KINDS: Final = {
    "pre_transit": ScanKind.ANNOUNCED,
    "in_transit": ScanKind.IN_TRANSIT,
    "out_for_delivery": ScanKind.OUT_FOR_DELIVERY,
    "delivered": ScanKind.DELIVERED,
    "available_for_pickup": ScanKind.EXCEPTION,  # nobody was at home: the buyer has to fetch it
    "return_to_sender": ScanKind.RETURNED,
    "failure": ScanKind.EXCEPTION,
    "error": ScanKind.EXCEPTION,
}
_MOVING: Final = frozenset(_KINDS) - {"pre_transit"}
GIVEN_BACK: Final = frozenset({"submitted", "refunded"})
_REFUNDS: Final = {
    "submitted": LabelRefund.SUBMITTED,
    "refunded": LabelRefund.REFUNDED,
    "rejected": LabelRefund.REJECTED,
}
NOT_CHARGED: Final = "not_applicable"  # a carrier that takes money only for labels that it has scanned

# Nobody knows whether the carrier behind EasyPost has made the label. Every other 4xx is a final no.
_UNDECIDED: Final = frozenset(
    {"SHIPMENT.PURCHASE.IN_PROGRESS", "SHIPMENT.POSTAGE.TIMED_OUT", "SHIPMENT.POSTAGE.NO_RESPONSE"}
)
# They have not looked at it at all. To a key that is no good every call is; until somebody sees to that.
_TURNED_AWAY: Final = {
    UnauthorizedError: "unauthorized",
    ForbiddenError: "unauthorized",
    RateLimitError: "carrier_busy",
}


def address(of: Any) -> dict[str, str]:
    """An address of ours, as EasyPost spells it."""
    return {
        "name": of.name,
        "street1": of.line1,
        "street2": of.line2,
        "city": of.city,
        "zip": of.postal_code,
        "country": of.country,
    }


def parcel(of: Parcel) -> dict[str, float]:
    """What is carried, in ounces, as EasyPost weighs; rounded up, as the post office does."""
    return {"weight": max(0.1, ceil(of.weight_grams / _OUNCE_GRAMS * 10) / 10)}


def service(rate: Told) -> str:
    """The name of a rate's service, with the carrier's before it."""
    return f"{rate['carrier']}:{rate['service']}"


def rate(told: Told) -> Rate | None:
    """What is offered; None where nobody says how long it takes."""
    days = told.get("est_delivery_days") or told.get("delivery_days")
    if days is None:
        return None
    price, currency = str(told.get("rate") or ""), str(told.get("currency") or "")
    return Rate(service(told), int(days), int(days), _minor(price) if currency == "USD" else None, currency)


def _minor(dollars: str) -> int | None:
    whole, _, cents = dollars.partition(".")
    return int(whole) * 100 + int(cents.ljust(2, "0")[:2]) if whole.isdecimal() and (cents or "0").isdecimal() else None


def has_label(shipment: Told) -> bool:
    """Whether a label was ever bought for it."""
    return bool(shipment.get("postage_label"))


def is_voided(shipment: Told) -> bool:
    """Whether its label was given back."""
    return has_label(shipment) and shipment.get("refund_status") in GIVEN_BACK | {NOT_CHARGED}


def label_refund(shipment: Told) -> LabelRefund:
    """What becomes of the money for its label. The post office takes weeks to say so, and may say no."""
    return _REFUNDS.get(str(shipment.get("refund_status")), LabelRefund.NONE)


def is_on_its_way(shipment: Told) -> bool:
    """Whether a carrier has had it in its hands."""
    tracker = shipment.get("tracker") or {}
    seen = {tracker.get("status"), *(detail.get("status") for detail in tracker.get("tracking_details") or ())}
    return not _MOVING.isdisjoint(seen)


def bought(shipment: Told) -> Reply:
    """What a shipment with a label says."""
    tracker = shipment.get("tracker") or {}
    return Reply(
        Outcome.DONE,
        reference=str(shipment["id"]),
        tracking_number=str(shipment.get("tracking_code") or ""),
        tracking_url=str(tracker.get("public_url") or ""),
        label_reference=str(shipment["postage_label"].get("label_url") or ""),
        estimated_delivery=day(tracker.get("est_delivery_date")),
    )


def consignment(shipment: Told) -> Consignment:
    """What EasyPost believes about a shipment."""
    tracker = shipment.get("tracker") or {}
    status = LabelStatus.BOUGHT if has_label(shipment) else LabelStatus.ANNOUNCED
    chosen = shipment.get("selected_rate")
    return Consignment(
        shipment_key=str(shipment.get("reference") or ""),
        reference=str(shipment["id"]),
        status=LabelStatus.VOIDED if is_voided(shipment) else status,
        tracking_number=str(shipment.get("tracking_code") or ""),
        tracking_url=str(tracker.get("public_url") or ""),
        label_reference=str((shipment.get("postage_label") or {}).get("label_url") or ""),
        service=service(chosen) if chosen else "",
        estimated_delivery=day(tracker.get("est_delivery_date")),
        scans=scans(tracker),
        label_refund=label_refund(shipment),
    )


def scans(tracker: Told) -> Sequence[Scan]:
    """Everything that happened to a parcel, as far as we have a word for it. Trackers keep all of it."""
    told = [detail for detail in tracker.get("tracking_details") or () if detail.get("status") in _KINDS]
    return tuple(_scan(str(tracker.get("tracking_code") or ""), detail) for detail in told)


def _scan(tracking_number: str, detail: Told) -> Scan:
    place = detail.get("tracking_location") or {}
    where = ", ".join(str(place[part]) for part in ("city", "country") if place.get(part))
    at, message = str(detail["datetime"]), str(detail.get("message") or "")
    says = "|".join((tracking_number, str(detail["status"]), at, message, where))  # they have no id of their own
    event_id = hashlib.sha256(says.encode()).hexdigest()[:32]
    return Scan(event_id, _KINDS[detail["status"]], instant(at), place=where, message=message)


def instant(text: str) -> datetime:
    """Read a point in time; raises `ValueError`. One without a zone is in UTC."""
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def day(text: Any) -> date | None:
    """Read the day of a point in time, if there is any."""
    return instant(text).date() if isinstance(text, str) and text else None


def failure(error: ApiError) -> Reply:
    """What an error means: a final no, or that nobody knows."""
    message, code = str(error.message or "EasyPost did not say why."), str(error.code or "")
    if isinstance(error, TimeoutError | HttpError):
        return _unreached(error)
    for kind, turned_away in _TURNED_AWAY.items():
        if isinstance(error, kind):
            return Reply(Outcome.UNKNOWN, code=turned_away, message=message, nothing_happened=True)
    if code in _UNDECIDED or error.http_status is None or not 400 <= error.http_status < 500:
        return Reply(Outcome.UNKNOWN, code=code or "unreadable_answer", message=message)
    return Reply(Outcome.REFUSED, code=code.lower().replace(".", "_") or "invalid_request", message=message)


def _unreached(error: ApiError) -> Reply:
    if never_left(error.__context__):
        said = "EasyPost could not be reached."
        return Reply(Outcome.UNKNOWN, code="carrier_unreachable", message=said, nothing_happened=True)
    if isinstance(error, TimeoutError):
        return Reply(Outcome.UNKNOWN, code="carrier_timeout", message="EasyPost did not answer in time.")
    return Reply(Outcome.UNKNOWN, code="connection_lost", message="EasyPost's answer was lost.")
