"""Shipments for tests, and a carrier that is told what to say."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from fulfillment import services
from fulfillment.carriers.base import Address, Outcome, Reply
from fulfillment.selectors import Estimate, LineView, ShipmentView, shipments_of
from fulfillment.services import NewShipment
from marketplace.kernel.ids import new_id

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ADDRESS = Address("Ada Lovelace", "Hauptstraße 1", "", "10115", "Berlin", "DE")
ESTIMATE = Estimate("sandbox", "standard", 1, 2)


def wish(reference_id: UUID | None = None, **more: Any) -> NewShipment:
    reference_id = reference_id or new_id()
    values: dict[str, Any] = {"number": f"M-{str(reference_id)[-12:]}", "to": ADDRESS, "weight_grams": 1240}
    values |= {"lines": (LineView("laptop-1", "Laptop", 1),), "estimate": ESTIMATE}
    return NewShipment(reference_id, **(values | more))


def created(count: int = 1, **more: Any) -> list[ShipmentView]:
    with transaction.atomic():
        return services.create([wish(**more) for _ in range(count)], now=NOW)


def packed(count: int = 1, **more: Any) -> list[ShipmentView]:
    views = created(count, **more)
    with transaction.atomic():
        services.pack([view.reference_id for view in views], who="wanda", now=NOW)
    return views


def begun(operation: str, views: Sequence[ShipmentView], *, key: str = "key", number: int = 1) -> Any:
    with transaction.atomic():
        return services.begin(
            operation,
            [view.reference_id for view in views],
            keys=[f"{view.reference_id}:{key}" for view in views],
            numbers=[number] * len(views),
            now=NOW,
        )


def recorded(*answers: Any) -> list[ShipmentView]:
    with transaction.atomic():
        return services.record(answers, now=NOW)


def labelled(count: int = 1, *, first: int = 0, **more: Any) -> list[ShipmentView]:
    """Shipments with the labels `SBX00000000` and so on, or from another `first` number on."""
    views = packed(count, **more)
    answers = [
        (
            call,
            Reply(
                Outcome.DONE, reference=f"shp_{n}", tracking_number=f"SBX{n:08d}", tracking_url=f"https://t.example/{n}"
            ),
        )
        for n, call in enumerate(begun("BUY", views), start=first)
    ]
    recorded(*answers)
    found = shipments_of([view.reference_id for view in views])
    return [found[view.reference_id] for view in views]
