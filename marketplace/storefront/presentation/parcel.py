"""Where a parcel is, as its buyer reads it: how far it came, when it is expected, and what its carrier said last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from fulfillment.selectors import ScanView, ShipmentView, carrier_name
from marketplace.storefront.presentation.progress import Stage
from orders import wording
from orders.selectors import OrderView

_STAGES: Final = (
    ("packed", _("Packed")),
    ("shipped", _("Shipped")),
    ("in_transit", _("On the way")),
    ("delivered", _("Delivered")),
)
# How many of the stages are behind a parcel, by its own status.
_BEHIND: Final[Mapping[str, int]] = {
    "CREATED": 0,
    "PACKED": 1,
    "LABELLED": 2,
    "IN_TRANSIT": 3,
    "OUT_FOR_DELIVERY": 3,
    "EXCEPTION": 3,
    "DELIVERED": 4,
}
_ON_THE_WAY: Final = 3
_HAS_ONE: Final = frozenset({"CONFIRMED", "SHIPPED", "IN_TRANSIT", "DELIVERED"})
# What is said of a scan whose carrier said nothing that is known in the visitor's language, by its kind.
_SCANNED: Final[Mapping[str, str]] = {
    "ANNOUNCED": _("The carrier has been told of it."),
    "PICKED_UP": _("We have picked it up."),
    "IN_TRANSIT": _("It is on its way between two depots."),
    "OUT_FOR_DELIVERY": _("It is in the van, and comes today."),
    "EXCEPTION": _("Nobody was at home. We try again."),
    "RETURNED": _("It goes back to the sender."),
    "DELIVERED": _("It was handed over at the door."),
}
_SAID: Final = {"done": _("done"), "waiting": _("not yet"), "paused": _("held up")}


@dataclass(frozen=True, slots=True)
class Parcel:
    """What the page shows of a parcel. `latest` is None once nothing is expected any more; `news`: the newest first."""

    stages: tuple[Stage, ...]
    carrier: str
    service: str
    tracking_number: str
    tracking_url: str
    earliest: date | None
    latest: date | None
    news: tuple[ScanView, ...]


def parcel(order: OrderView, scans: Sequence[ScanView]) -> Parcel | None:
    """Return what the buyer of `order` may know of its parcel; None where none is to come.

    `scans`: what its carrier said, by the carrier's clock.
    """
    view = order.shipment
    if view is None or view.status not in _BEHIND or order.being_taken_back or order.status not in _HAS_ONE:
        return None
    behind = _BEHIND[view.status]
    over = view.status == "DELIVERED"
    vague = behind < _ON_THE_WAY and view.estimated_from < view.estimated_delivery
    return Parcel(
        stages=tuple(_stage(place, view, behind) for place in range(len(_STAGES))),
        carrier=carrier_name(view.carrier),
        service=view.service,
        tracking_number=view.tracking_number,
        tracking_url=view.tracking_url if view.tracking_url.startswith(("https://", "http://")) else "",
        earliest=view.estimated_from if vague else None,
        latest=None if over else view.estimated_delivery,
        news=tuple(_scanned(scan) for scan in reversed(scans)),
    )


def _scanned(scan: ScanView) -> ScanView:
    return replace(scan, message=wording.known(scan.message) or gettext(_SCANNED.get(scan.kind, "")))


def _stage(place: int, view: ShipmentView, behind: int) -> Stage:
    key, label = _STAGES[place]
    state = "done" if place < behind else "waiting"
    if view.status == "EXCEPTION" and place == behind - 1:
        state = "paused"
    return Stage(key, gettext(label), state, gettext(_SAID[state]))
