"""Batches: parcels that go through the packing together, how far they have come, and their labels in one PDF."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Q

from fulfillment import picking, printing
from fulfillment.errors import NothingToPick, NothingToPrint, UnknownBatch
from fulfillment.models import Batch, Shipment
from fulfillment.selectors import ShipmentView
from fulfillment.states import ShipmentStatus
from marketplace.kernel.ids import new_id

MOST: Final = printing.MOST_AT_ONCE  # parcels in a batch

_LABELLED: Final = ~Q(tracking_number="") & ~Q(status=ShipmentStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How many parcels of a batch there are, and how far they have come. Each is counted in one of the last four."""

    total: int
    printed: int  # of those labelled
    labelled: int
    packed: int  # and without a label so far
    to_pack: int
    cancelled: int


def make(shipment_ids: Sequence[UUID], *, who: str, now: datetime, refused: Mapping[str, str] | None = None) -> UUID:
    """Keep these shipments as a batch, in their order; return its id. One statement, in the caller's transaction.

    `refused`: what could not be taken along, and why. Raises `NothingToPrint` for no shipment, and ValueError for
    more than `MOST`.
    """
    if not shipment_ids:
        raise NothingToPrint
    if len(shipment_ids) > MOST:
        raise ValueError(f"{len(shipment_ids)} parcels in a batch; {MOST} are the most")
    batch = Batch(id=new_id(), shipment_ids=list(shipment_ids), refused=dict(refused or {}), made_by=who, made_at=now)
    batch.save(force_insert=True)
    return batch.id


@transaction.atomic
def pick(shipment_ids: Sequence[UUID], *, who: str, now: datetime, in_hand: bool = False) -> UUID:
    """Make a batch of those of these shipments that still wait to be packed; return its id.

    Those that somebody has in a batch already are left to them, unless `in_hand`: of two who pick the same at once, the
    first has it. Takes its own transaction, and locks the shipments in the order of their ids. Raises `NothingToPick`
    where none is left, and ValueError for more than `MOST`.
    """
    rows = Shipment.objects.select_for_update(no_key=True).filter(pk__in=shipment_ids, status=ShipmentStatus.CREATED)
    waiting = set(rows.order_by("id").values_list("id", flat=True))
    taken = set() if in_hand else set(picking.in_hand(now=now))  # after the locks, so that of two the second sees it
    left = [one for one in shipment_ids if one in waiting - taken]
    if not left:
        raise NothingToPick
    return make(left, who=who, now=now)


def note_refused(batch_id: UUID, refused: Mapping[str, str]) -> None:
    """Keep with a batch what could not be packed, and why. Raises `UnknownBatch`."""
    if not Batch.objects.filter(pk=batch_id).update(refused=dict(refused)):
        raise UnknownBatch(id=str(batch_id))


def progress(batch_id: UUID) -> Progress:
    """Say how far a batch has come; raises `UnknownBatch`. Two queries for any number of parcels."""
    found = Shipment.objects.filter(pk__in=_ids(batch_id)).aggregate(
        total=Count("id"),
        labelled=Count("id", filter=_LABELLED),
        printed=Count("id", filter=_LABELLED & Q(label_printed_at__isnull=False)),
        packed=Count("id", filter=Q(tracking_number="", status=ShipmentStatus.PACKED)),
        to_pack=Count("id", filter=Q(status=ShipmentStatus.CREATED)),
        cancelled=Count("id", filter=Q(status=ShipmentStatus.CANCELLED)),
    )
    return Progress(**found)


def print_labels(batch_id: UUID, *, who: str, now: datetime, only_new: bool = False) -> bytes:
    """Return the labels of a batch that there are by now as one PDF, and write down that they are printed.

    `only_new`: those that were never printed. A thousand labels are some seconds of work, with no transaction open.
    Raises `UnknownBatch`, and `NothingToPrint` where there is no such label.
    """
    found = picking.in_this_order(_ids(batch_id))
    labelled = [view.id for view in found if view.tracking_number and view.status != ShipmentStatus.CANCELLED]
    if only_new:
        new = set(Shipment.objects.filter(pk__in=labelled, label_printed_at=None).values_list("id", flat=True))
        labelled = [one for one in labelled if one in new]
    if not labelled:
        raise NothingToPrint
    content = printing.labels(labelled)
    with transaction.atomic():
        locked = Shipment.objects.select_for_update(no_key=True).filter(pk__in=labelled).order_by("id")
        ids = list(locked.values_list("id", flat=True))
        Shipment.objects.filter(pk__in=ids).update(label_printed_at=now, updated_at=now)
        Batch.objects.filter(pk=batch_id).update(printed_by=who, printed_at=now)
    return content


def print_slips(batch_id: UUID) -> bytes:
    """Return the packing slips of a batch as one PDF, each in its order's language, without what is cancelled.

    Raises like `print_labels`.
    """
    sent = [view.id for view in picking.in_this_order(_ids(batch_id)) if view.status != ShipmentStatus.CANCELLED]
    if not sent:
        raise NothingToPrint
    return printing.slips(sent)


def parcels(batch_id: UUID) -> list[ShipmentView]:
    """The parcels of a batch, in its order. Two queries. Raises `UnknownBatch`."""
    return picking.in_this_order(_ids(batch_id))


def orders_without_label(batch_id: UUID) -> list[UUID]:
    """The orders of a batch whose parcel is packed and has no label yet. Raises `UnknownBatch`."""
    rows = Shipment.objects.filter(pk__in=_ids(batch_id), status=ShipmentStatus.PACKED).order_by("id")
    return list(rows.values_list("reference_id", flat=True))


def _ids(batch_id: UUID) -> list[UUID]:
    found = Batch.objects.filter(pk=batch_id).values_list(F("shipment_ids"), flat=True).first()
    if found is None:
        raise UnknownBatch(id=str(batch_id))
    return list(found)
