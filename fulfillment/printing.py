"""The labels and packing slips of shipments, by their ids: what is in our books, printed by `fulfillment.documents`."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from django.conf import settings

from fulfillment import selectors
from fulfillment.documents import Label, PackingSlip, SlipLine, print_labels, print_slips
from fulfillment.errors import NotLabelled, UnknownShipment
from fulfillment.models import Shipment
from fulfillment.selectors import ShipmentView
from fulfillment.states import ShipmentStatus
from marketplace.paper.addresses import PostalAddress
from marketplace.paper.sheets import SIZES

MOST_AT_ONCE: Final = 1000  # parcels in one PDF: some seconds of work


def labels(shipment_ids: Sequence[UUID]) -> bytes:
    """Return the labels of these shipments as one PDF, in their order. Two queries at most.

    Raises `UnknownShipment`, and `NotLabelled` for one whose label was not bought (yet), or was given back.
    """
    found = _views(shipment_ids)
    unlabelled = [view.number for view in found if not view.tracking_number or view.status == ShipmentStatus.CANCELLED]
    if unlabelled:
        raise NotLabelled(numbers=unlabelled)
    sender = ship_from()
    return print_labels(
        [
            Label(
                ship_from=sender,
                ship_to=_ship_to(view),
                carrier=selectors.carrier_name(view.carrier),
                service=view.service,
                weight_grams=view.weight_grams,
                tracking_number=view.tracking_number,
                order_number=view.number,
                tracking_url=view.tracking_url,
            )
            for view in found
        ]
    )


def slips(shipment_ids: Sequence[UUID], *, locale: str = "en") -> bytes:
    """Return the packing slips of these shipments as one PDF, in their order. Two queries.

    `locale`: of the words and numbers, such as `de`. Raises `UnknownShipment` and `UnknownLocale`.
    """
    found = _views(shipment_ids)
    lines = selectors.lines_of([view.id for view in found])
    sender = ship_from()
    return print_slips(
        [
            PackingSlip(
                order_number=view.number,
                ship_from=sender,
                ship_to=_ship_to(view),
                lines=tuple(SlipLine(line.sku, line.name, line.quantity) for line in lines.get(view.id, ())),
            )
            for view in found
        ],
        size=SIZES[settings.PAPER_SIZE],
        locale=locale,
    )


def ship_from() -> PostalAddress:
    """The seller's address, as the settings have it: its first line, its last, and what is between them."""
    first, *between = settings.SELLER_ADDRESS
    last = between.pop() if between else ""
    return PostalAddress(settings.SELLER_NAME, first, "", last, settings.SELLER_COUNTRY, line2=", ".join(between))


def _ship_to(view: ShipmentView) -> PostalAddress:
    return PostalAddress(view.name, view.line1, view.postal_code, view.city, view.country, line2=view.line2)


def _views(shipment_ids: Sequence[UUID]) -> list[ShipmentView]:
    if not 0 < len(shipment_ids) <= MOST_AT_ONCE:
        raise ValueError(f"{len(shipment_ids)} shipments at once; 1 to {MOST_AT_ONCE} can be printed")
    known = {view.id: view for view in selectors.views(Shipment.objects.filter(pk__in=list(shipment_ids)))}
    missing = [str(one) for one in shipment_ids if one not in known]
    if missing:
        raise UnknownShipment(id=missing[0])
    return [known[one] for one in shipment_ids]
