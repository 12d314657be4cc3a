"""The states of a shipment, and what moves it: the warehouse, an answer of its carrier, or a scan. The one place.

    CREATED ──packed──► PACKED ──label──► LABELLED ──first scan──► IN_TRANSIT ◄──► OUT_FOR_DELIVERY, EXCEPTION
       └───────────────────┴──────────────────┴──► CANCELLED                └──────────► DELIVERED

Once a carrier has the parcel, its newest scan by the carrier's own clock says where it is, whatever order they came in;
but what is delivered stays delivered, unless it comes back.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from django.db import models

from fulfillment.carriers.base import ScanKind


class ShipmentStatus(models.TextChoices):
    CREATED = "CREATED"  # to be packed
    PACKED = "PACKED"
    LABELLED = "LABELLED"  # has its tracking number, and waits to be picked up
    IN_TRANSIT = "IN_TRANSIT"
    OUT_FOR_DELIVERY = "OUT_FOR_DELIVERY"
    EXCEPTION = "EXCEPTION"  # held up at the carrier, or on its way back
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"


class Operation(models.TextChoices):
    """What is asked of a carrier and changes something there."""

    BUY = "BUY"
    VOID = "VOID"


class CallOutcome(models.TextChoices):
    IN_FLIGHT = "", "in flight"
    DONE = "DONE"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


class EventStatus(models.TextChoices):
    """What became of a webhook."""

    RECEIVED = "RECEIVED"  # on record, and not looked into yet; or it could not be, and is tried again
    PARKED = "PARKED"  # about a parcel that nobody here knows: looked for again, for a day
    DONE = "DONE"
    FAILED = "FAILED"  # given up after a day: only a person can help


CODE_LENGTH: Final = 64  # characters of a carrier's code that are kept

_S = ShipmentStatus
IN_THE_HOUSE: Final = frozenset({_S.CREATED, _S.PACKED, _S.LABELLED})  # may still be stopped
ON_THE_WAY: Final = frozenset({_S.IN_TRANSIT, _S.OUT_FOR_DELIVERY, _S.EXCEPTION})
LEFT_THE_HOUSE: Final = ON_THE_WAY | {_S.DELIVERED}

_SAYS: Final[Mapping[ScanKind, ShipmentStatus]] = {
    ScanKind.PICKED_UP: _S.IN_TRANSIT,
    ScanKind.IN_TRANSIT: _S.IN_TRANSIT,
    ScanKind.OUT_FOR_DELIVERY: _S.OUT_FOR_DELIVERY,
    ScanKind.EXCEPTION: _S.EXCEPTION,
    ScanKind.RETURNED: _S.EXCEPTION,
    ScanKind.DELIVERED: _S.DELIVERED,
}
MOVING: Final = frozenset(_SAYS)  # the kinds of scan that prove that the carrier has the parcel


def after_scans(status: str, scans: Iterable[tuple[str, datetime]]) -> str:
    """Return where a shipment stands that stood at `status`, given all its scans as (kind, occurred_at); pure.

    A scan of a shipment that was CANCELLED, or has no label as far as we know, is news all the same: the carrier has
    it. A person has to hear of the first; the second only means that the scan was faster than the answer.
    """
    moving = [(at, ScanKind(kind)) for kind, at in scans if ScanKind(kind) in MOVING]
    if not moving or status == _S.CANCELLED:
        return status
    delivered = [at for at, kind in moving if kind is ScanKind.DELIVERED]
    newest_at, newest = max(moving)
    if delivered and not (newest is ScanKind.RETURNED and newest_at > max(delivered)):
        return _S.DELIVERED
    return _SAYS[newest]
