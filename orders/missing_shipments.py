"""Shipping what was confirmed by code that shipped nothing: for the time of an upgrade."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef

from marketplace.sagas import services as sagas
from marketplace.sagas.definition import newest
from marketplace.sagas.models import ArchivedSaga, SagaInstance
from orders.desk import FULFILLMENT
from orders.models import Order, Status

BATCH: Final = 500  # orders in one transaction


def start_missing(*, now: datetime) -> Iterator[int]:
    """Start the saga that ships an order for each that is confirmed and has none; yield how many, batch by batch.

    As the confirmation does it; the oldest order comes first. An order that is being taken back is left alone. Each
    batch is a transaction that locks its orders, and looks for their sagas only then: of two who come at once, and of
    this and a cancel, the second one finds what the first has done. Nothing is yielded where none is missing.
    """
    after: UUID | None = None
    while found := _without(after):
        started = _start(found, now=now)
        if started:
            yield started
        after = found[-1]


def _without(after: UUID | None) -> list[UUID]:
    """The next orders that seem to have no such saga."""
    standing = Order.objects.filter(status=Status.CONFIRMED, reversal_id=None)
    begun = {"name": FULFILLMENT, "subject_id": OuterRef("pk")}
    rows = standing.exclude(Exists(SagaInstance.objects.filter(**begun))).exclude(
        Exists(ArchivedSaga.objects.filter(**begun))
    )
    ids = (rows.filter(pk__gt=after) if after else rows).order_by("pk").values_list("pk", flat=True)
    return list(ids[:BATCH])


@transaction.atomic
def _start(order_ids: list[UUID], *, now: datetime) -> int:
    locked = Order.objects.select_for_update(no_key=True).filter(pk__in=order_ids).order_by("pk")
    standing = [row.pk for row in locked if row.status == Status.CONFIRMED and row.reversal_id is None]
    begun = set(
        SagaInstance.objects.filter(name=FULFILLMENT, subject_id__in=standing).values_list("subject_id", flat=True)
    )
    missing = [order_id for order_id in standing if order_id not in begun]
    if missing:
        sagas.start(newest(FULFILLMENT), [sagas.Start(order_id) for order_id in missing], now=now)
    return len(missing)
