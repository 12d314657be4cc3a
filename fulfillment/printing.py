"""The labels and packing slips of shipments, by their ids: what is in our books, printed by `fulfillment.documents`."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from django.conf import settings

from fulfillment import picking, selectors
from fulfillment.carriers.base import Address
from fulfillment.documents import Label, PackingSlip, SlipLine, print_labels, print_slips
from fulfillment.errors import NotLabelled, UnknownShipment
from fulfillment.origin import ship_from
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
    sender = _postal(ship_from())
    return print_labels(
        [
            Label(
                ship_from=sender,
                ship_to=_postal(view),
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


def slips(shipment_ids: Sequence[UUID], *, locale: str = "") -> bytes:
    """Return the packing slips of these shipments as one PDF, in their order. Two queries.

    `locale`: of the words and numbers, such as `de`; by default each is in its order's language. Raises
    `UnknownShipment` and `UnknownLocale`.
    """
    found = _views(shipment_ids)
    lines = selectors.lines_of([view.id for view in found])
    sender = _postal(ship_from())
    return print_slips(
        [
            PackingSlip(
                order_number=view.number,
                ship_from=sender,
                ship_to=_postal(view),
                lines=tuple(SlipLine(line.sku, line.name, line.quantity) for line in lines.get(view.id, ())),
                language=locale or view.language,
            )
            for view in found
        ],
        size=SIZES[settings.PAPER_SIZE],
    )


def _postal(address: Address | ShipmentView) -> PostalAddress:
    """An address as it is printed; a shipment's is where it goes."""
    return PostalAddress(
        address.name, address.line1, address.postal_code, address.city, address.country, line2=address.line2
    )


def _views(shipment_ids: Sequence[UUID]) -> list[ShipmentView]:
    if not 0 < len(shipment_ids) <= MOST_AT_ONCE:
        raise ValueError(f"{len(shipment_ids)} shipments at once; 1 to {MOST_AT_ONCE} can be printed")
    found = picking.in_this_order(shipment_ids)
    missing = set(shipment_ids) - {view.id for view in found}
    if missing:
        raise UnknownShipment(id=str(min(missing)))
    return found
