"""Reads about parcels. Nothing here changes anything; no transaction is needed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Count, QuerySet

from fulfillment.carriers.base import Address
from fulfillment.errors import UnknownShipment
from fulfillment.models import CarrierCall, DeliveryRate, Scan, Shipment, ShipmentLine
from fulfillment.rates import USUAL, UsualRate
from fulfillment.states import CallOutcome, Operation

_SATURDAY: Final = 5
_CARRIER_NAMES: Final[Mapping[str, str]] = {"sandbox": "Sandbox Parcel", "easypost": "EasyPost"}


class ShipmentView(NamedTuple):
    """One shipment. `reference_id` is the order's id. Empty texts: not known (yet)."""

    id: UUID
    reference_id: UUID
    number: str
    status: str
    carrier: str
    service: str
    name: str
    line1: str
    line2: str
    postal_code: str
    city: str
    country: str
    language: str
    weight_grams: int
    label_key: str
    carrier_reference: str
    tracking_number: str
    tracking_url: str
    label_reference: str
    estimated_from: date
    estimated_delivery: date
    packed_by: str
    packed_at: datetime | None
    labelled_at: datetime | None
    delivered_at: datetime | None
    created_at: datetime

    @property
    def address(self) -> Address:
        """Where it goes."""
        return Address(self.name, self.line1, self.line2, self.postal_code, self.city, self.country)


@dataclass(frozen=True, slots=True)
class LineView:
    """One line of a parcel."""

    sku: str
    name: str
    quantity: int


@dataclass(frozen=True, slots=True)
class ScanView:
    """One thing that happened to a parcel, by its carrier's clock."""

    kind: str
    occurred_at: datetime
    place: str
    message: str


@dataclass(frozen=True, slots=True)
class CallView:
    """One call to a carrier. An empty `outcome` and no `finished_at`: nobody has come back from it yet."""

    operation: str
    key: str
    number: int
    outcome: str
    code: str
    message: str
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Who carries a parcel, by which service, and in how many working days."""

    carrier: str
    service: str
    days_min: int
    days_max: int

    def earliest(self, start: date) -> date:
        """The first day on which a parcel of an order of `start` is expected."""
        return working_days_after(start, self.days_min)

    def latest(self, start: date) -> date:
        """The last one."""
        return working_days_after(start, self.days_max)


def working_days_after(start: date, days: int) -> date:
    """Return the day that is `days` working days (Monday to Friday) after `start`."""
    day = start
    while days > 0:
        day += timedelta(days=1)
        days -= day.weekday() < _SATURDAY
    return day


def carrier_name(carrier: str) -> str:
    """Return what a buyer calls the carrier that the settings call `carrier`."""
    return _CARRIER_NAMES.get(carrier, carrier)


# --- how long it takes ------------------------------------------------------------------------------------------------


def estimate(country: str, weight_grams: int) -> Estimate | None:
    """Return how a parcel of that weight gets to `country` (ISO 3166-1 alpha-2); None: no service carries it there.

    No country: as if it were the shop's own. One query.
    """
    return estimates([(country, weight_grams)])[0]


def estimates(parcels: Sequence[tuple[str, int]]) -> list[Estimate | None]:
    """Do what `estimate` does for each (country, weight in grams); one query for all."""
    carrier = settings.CARRIER
    fields = ("service", "countries", "up_to_grams", "days_min", "days_max")
    rows = DeliveryRate.objects.filter(carrier=carrier, is_active=True).order_by("up_to_grams", "days_max", "id")
    rates = [UsualRate._make((*row[:1], tuple(row[1]), *row[2:])) for row in rows.values_list(*fields)]
    rates = rates or list(USUAL.get(carrier, ()))
    return [_cheapest(rates, carrier, country or settings.SHIP_FROM_COUNTRY, grams) for country, grams in parcels]


def _cheapest(rates: Iterable[UsualRate], carrier: str, country: str, grams: int) -> Estimate | None:
    """The smallest service that carries it: of those that name the country, else of those for everywhere."""
    rates = list(rates)
    here = [rate for rate in rates if country in rate.countries] or [rate for rate in rates if not rate.countries]
    fitting = [rate for rate in here if grams <= rate.up_to_grams]
    if not fitting:
        return None
    best = min(fitting, key=lambda rate: (rate.up_to_grams, rate.days_max))
    return Estimate(carrier, best.service, best.days_min, best.days_max)


# --- shipments --------------------------------------------------------------------------------------------------------

VIEW_FIELDS: Final = ShipmentView._fields


def views(shipments: QuerySet[Shipment]) -> list[ShipmentView]:
    """Return `shipments` as views, in the order of the query."""
    return [ShipmentView._make(row) for row in shipments.values_list(*VIEW_FIELDS)]


def shipments_of(reference_ids: Collection[UUID]) -> dict[UUID, ShipmentView]:
    """Return the shipment of each of these orders; those without one are left out. One query."""
    found = views(Shipment.objects.filter(reference_id__in=list(reference_ids)))
    return {view.reference_id: view for view in found}


def shipment(shipment_id: UUID) -> ShipmentView:
    """Return one shipment; raises `UnknownShipment`."""
    found = views(Shipment.objects.filter(pk=shipment_id))
    if not found:
        raise UnknownShipment(id=str(shipment_id))
    return found[0]


def lines_of(shipment_ids: Collection[UUID]) -> dict[UUID, list[LineView]]:
    """What is in each of these parcels. One query."""
    found: dict[UUID, list[LineView]] = {}
    rows = ShipmentLine.objects.filter(shipment_id__in=list(shipment_ids)).order_by("id")
    for shipment_id, sku, name, quantity in rows.values_list("shipment_id", "sku", "name", "quantity"):
        found.setdefault(shipment_id, []).append(LineView(sku, name, quantity))
    return found


def scans_of(shipment_id: UUID) -> list[ScanView]:
    """Everything that happened to a parcel, in the order of the carrier's clock."""
    rows = Scan.objects.filter(shipment_id=shipment_id).order_by("occurred_at", "id")
    return [ScanView(*row) for row in rows.values_list("kind", "occurred_at", "place", "message")]


def calls_of(shipment_id: UUID) -> list[CallView]:
    """Every call to the carrier about a parcel, the first one first."""
    rows = CarrierCall.objects.filter(shipment_id=shipment_id).order_by("id")
    fields = ("operation", "idempotency_key", "number", "outcome", "code", "message", "started_at", "finished_at")
    return [CallView(*row) for row in rows.values_list(*fields)]


def refused_labels(reference_ids: Collection[UUID]) -> dict[UUID, int]:
    """How many labels the carrier has refused for each of these orders; those without one are left out. One query."""
    refused = CarrierCall.objects.filter(
        shipment__reference_id__in=list(reference_ids), operation=Operation.BUY, outcome=CallOutcome.REFUSED
    )
    counts = refused.values_list("shipment__reference_id").annotate(Count("idempotency_key", distinct=True))
    return dict(counts)
