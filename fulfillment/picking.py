"""What the warehouse has to fetch, and which labels it has to print. Reads only."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Count, Min, Q, QuerySet, Sum

from fulfillment.models import Batch, Shipment, ShipmentLine
from fulfillment.selectors import ShipmentView, views
from fulfillment.states import ShipmentStatus
from marketplace.kernel.pagination import Window

IN_HAND: Final = timedelta(hours=24)  # so long somebody is taken to be packing what is in a batch


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the parcels that wait are meant. Empty: whatever the carrier, the service, the age."""

    carrier: str = ""
    service: str = ""
    waiting_for: timedelta = timedelta(0)  # at least so long
    in_hand: bool = False  # also those that somebody has in a batch already


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many parcels of a carrier's service wait to be packed, and since when the first of them does."""

    carrier: str
    service: str
    parcels: int
    since: datetime


@dataclass(frozen=True, slots=True)
class PickLine:
    """So many units of one SKU are to be fetched, for so many parcels."""

    sku: str
    name: str
    units: int
    parcels: int


def to_pack(choice: Choice, *, now: datetime, limit: int) -> list[ShipmentView]:
    """What waits to be packed, of this choice, the oldest first. Two queries."""
    return views(_waiting(choice, now=now).order_by("id")[:limit])


def count_to_pack(choice: Choice, *, now: datetime) -> int:
    """How many parcels of this choice wait to be packed."""
    return _waiting(choice, now=now).count()


def page_to_pack(window: Window) -> list[ShipmentView]:
    """One page of what waits to be packed, the oldest first (or back from there, the nearest first)."""
    rows = Shipment.objects.filter(status=ShipmentStatus.CREATED)
    if window.position is not None:
        rows = rows.filter(id__lt=window.position) if window.backwards else rows.filter(id__gt=window.position)
    return views(rows.order_by("-id" if window.backwards else "id")[: window.limit])


def waiting() -> list[Waiting]:
    """What waits to be packed, by carrier and service. One query."""
    rows = Shipment.objects.filter(status=ShipmentStatus.CREATED).order_by("carrier", "service")
    found = rows.values_list("carrier", "service").annotate(Count("id"), Min("created_at"))
    return [Waiting(*row) for row in found]


def totals(shipment_ids: Collection[UUID]) -> list[PickLine]:
    """What is to be fetched for these parcels in all, by SKU. One query."""
    rows = ShipmentLine.objects.filter(shipment_id__in=list(shipment_ids)).order_by("sku")
    found = rows.values_list("sku").annotate(Min("name"), Sum("quantity"), Count("id"))
    return [PickLine(*row) for row in found]


def to_print(*, limit: int, not_since: datetime) -> list[ShipmentView]:
    """The parcels whose label was never printed, the first that was planned first. One query.

    Without those that somebody is at printing since then, or later.
    """
    in_hand_elsewhere = Q(label_printing_at__gt=not_since)
    return views(_unprinted().exclude(in_hand_elsewhere).order_by("id")[:limit])


def count_to_print() -> int:
    """How many parcels have a label that was never printed."""
    return _unprinted().count()


def labelled_since(since: datetime, *, limit: int) -> list[ShipmentView]:
    """The parcels that got their label since then and are still in the house, printed or not. One query."""
    rows = Shipment.objects.filter(status=ShipmentStatus.LABELLED, labelled_at__gte=since)
    return views(rows.order_by("id")[:limit])


def by_number(numbers: Collection[str]) -> list[ShipmentView]:
    """The parcels with these numbers or tracking numbers, the oldest first. One query."""
    return views(Shipment.objects.filter(Q(number__in=numbers) | Q(tracking_number__in=numbers)).order_by("id"))


def _waiting(choice: Choice, *, now: datetime) -> QuerySet[Shipment]:
    rows = Shipment.objects.filter(status=ShipmentStatus.CREATED)
    if choice.carrier:
        rows = rows.filter(carrier=choice.carrier)
    if choice.service:
        rows = rows.filter(service=choice.service)
    if choice.waiting_for:
        rows = rows.filter(created_at__lte=now - choice.waiting_for)
    return rows if choice.in_hand else rows.exclude(pk__in=in_hand(now=now))


def in_hand(*, now: datetime) -> list[UUID]:
    """What was put into a batch not long ago, so that two people do not fetch the same. One query."""
    recent = Batch.objects.filter(made_at__gt=now - IN_HAND).values_list("shipment_ids", flat=True)
    return [shipment_id for ids in recent for shipment_id in ids]


def _unprinted() -> QuerySet[Shipment]:
    return Shipment.objects.filter(status=ShipmentStatus.LABELLED, label_printed_at=None)


def in_this_order(shipment_ids: Sequence[UUID]) -> list[ShipmentView]:
    """These shipments, as far as there are such. One query."""
    known = {view.id: view for view in views(Shipment.objects.filter(pk__in=list(shipment_ids)))}
    return [known[one] for one in shipment_ids if one in known]
