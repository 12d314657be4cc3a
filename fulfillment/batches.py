"""Batches: parcels that go through the packing together, how far they have come, and their labels in one PDF."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Q

from fulfillment import picking, printing
from fulfillment.errors import NothingToPick, NothingToPrint, PrintedElsewhere, UnknownBatch
from fulfillment.models import Batch, Shipment
from fulfillment.selectors import ShipmentView
from fulfillment.states import ShipmentStatus
from marketplace.kernel.ids import new_id

MOST: Final = printing.MOST_AT_ONCE  # parcels in a batch

PRINTING: Final = timedelta(minutes=2)  # so long new labels are left to whoever prints them: a thousand take seconds

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

    `only_new`: those that were never printed, but for what somebody else prints at this moment. A thousand labels are
    some seconds of work, with no transaction open. Raises `UnknownBatch`, `NothingToPrint` where there is no such
    label, and `PrintedElsewhere`.
    """
    found = picking.in_this_order(_ids(batch_id))
    labelled = [view.id for view in found if view.tracking_number and view.status != ShipmentStatus.CANCELLED]
    if only_new:
        labelled = _take_new(labelled, now=now)
    if not labelled:
        raise NothingToPrint
    return _print(batch_id, labelled, who=who, now=now)


def print_new(*, who: str, now: datetime) -> tuple[UUID, bytes]:
    """Make a batch of the parcels whose label was never printed, the first that was planned first, and print it.

    At most `MOST`; return the batch's id and the PDF. Of two who come at once the first prints them. Raises like
    `print_labels`; then there is no batch.
    """
    with transaction.atomic():
        taken = _take_new([view.id for view in picking.to_print(limit=MOST, not_since=now - PRINTING)], now=now)
        if not taken:
            raise PrintedElsewhere if picking.count_to_print() else NothingToPrint
        batch_id = make(taken, who=who, now=now)
    return batch_id, _print(batch_id, taken, who=who, now=now)


@transaction.atomic
def _take_new(shipment_ids: Sequence[UUID], *, now: datetime) -> list[UUID]:
    """Take those of these labels in hand that were never printed, in their order; nobody else prints them meanwhile.

    Locks the shipments in the order of their ids. Raises `PrintedElsewhere` where somebody has all of them in hand.
    """
    rows = Shipment.objects.select_for_update(no_key=True).filter(pk__in=shipment_ids, label_printed_at=None)
    new = dict(rows.order_by("id").values_list("id", "label_printing_at"))
    free = {one for one, since in new.items() if since is None or since <= now - PRINTING}
    if new and not free:
        raise PrintedElsewhere
    Shipment.objects.filter(pk__in=free).update(label_printing_at=now)
    return [one for one in shipment_ids if one in free]


def _print(batch_id: UUID, shipment_ids: Sequence[UUID], *, who: str, now: datetime) -> bytes:
    with _given_back(shipment_ids, now=now):
        content = printing.labels(shipment_ids)
    with transaction.atomic():
        locked = Shipment.objects.select_for_update(no_key=True).filter(pk__in=shipment_ids).order_by("id")
        ids = list(locked.values_list("id", flat=True))
        Shipment.objects.filter(pk__in=ids).update(label_printed_at=now, label_printing_at=None, updated_at=now)
        Batch.objects.filter(pk=batch_id).update(printed_by=who, printed_at=now)
    return content


@contextmanager
def _given_back(shipment_ids: Sequence[UUID], *, now: datetime) -> Iterator[None]:
    """Where they can't be printed, leave the labels that were taken in hand to the next one at once."""
    try:
        yield
    except Exception:
        Shipment.objects.filter(pk__in=shipment_ids, label_printing_at=now).update(label_printing_at=None)
        raise


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
