"""Scans: taken in once each, in whatever order they come, and passed on to whoever listens.

A scan is news by itself: it is written down together with what it changes of its shipment, and those who listen are
told in a transaction of their own, in which no shipment is locked, at least once. So nothing is lost when a worker dies
between the two, and rows are locked in the order of the house: saga, order, shipment.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet

from fulfillment.carriers import base
from fulfillment.models import Scan, Shipment
from fulfillment.selectors import ShipmentView, views
from fulfillment.states import ShipmentStatus, after_scans
from marketplace.inbox import pause_after
from marketplace.kernel import bulk

log = structlog.get_logger(__name__)

AT_ONCE: Final = 200
_EVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class News:
    """What is known to have happened to a shipment, by its carrier's word or its books."""

    shipment_id: UUID
    scans: Sequence[base.Scan]
    estimated_delivery: date | None = None


@dataclass(frozen=True, slots=True)
class Scanned:
    """One scan, as listeners are told of it. `reference_id` is the order's; `status` where the shipment stands now."""

    shipment_id: UUID
    reference_id: UUID
    event_id: str
    kind: str
    place: str
    message: str
    occurred_at: datetime
    status: str


Listener = Callable[[Sequence[Scanned]], None]
_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Have `listener` told of every scan, once at least, in a transaction in which no shipment is locked."""
    if listener not in _listeners:
        _listeners.append(listener)


def take_in(news: Sequence[News], *, now: datetime) -> dict[UUID, int]:
    """Write down what happened; return how much of it was new, by shipment.

    What is known already changes nothing, and of two expected days that with the newer scan counts. Locks the shipments
    in the order of their ids; needs the caller's transaction. Call `pass_on` once that is committed.
    """
    if not news:
        return {}
    ids = {one.shipment_id for one in news}
    locked = views(Shipment.objects.filter(pk__in=ids).select_for_update(no_key=True).order_by("id"))
    known: dict[UUID, dict[str, tuple[str, datetime]]] = {}
    for shipment_id, event_id, kind, at in Scan.objects.filter(shipment_id__in=ids).values_list(
        "shipment_id", "event_id", "kind", "occurred_at"
    ):
        known.setdefault(shipment_id, {})[event_id] = (kind, at)
    fresh = []
    for one in news:
        seen = known.setdefault(one.shipment_id, {})
        for scan in one.scans:
            if scan.event_id not in seen:
                seen[scan.event_id] = (scan.kind, scan.occurred_at)
                fresh.append((one.shipment_id, scan))
    bulk.insert(
        Scan,
        ("shipment", "event_id", "kind", "occurred_at", "place", "message", "received_at"),
        [(of, s.event_id, s.kind, s.occurred_at, s.place[:200], s.message, now) for of, s in fresh],
    )
    _move(locked, known, _expected(news, known), now=now)
    counts = dict.fromkeys(ids, 0)
    for shipment_id, _ in fresh:
        counts[shipment_id] += 1
    return counts


def _expected(news: Sequence[News], scans: dict[UUID, dict[str, tuple[str, datetime]]]) -> dict[UUID, date]:
    """The day that is expected by now, by shipment. What was said before its newest scan does not count any more."""
    expected = {}
    for one in news:
        known = (at for _, at in scans[one.shipment_id].values())
        is_late = max(known, default=_EVER) > max((scan.occurred_at for scan in one.scans), default=_EVER)
        if one.estimated_delivery is not None and not is_late:
            expected[one.shipment_id] = one.estimated_delivery
    return expected


def _move(
    locked: Sequence[ShipmentView],
    scans: dict[UUID, dict[str, tuple[str, datetime]]],
    expected: dict[UUID, date],
    *,
    now: datetime,
) -> None:
    rows = []
    for view in locked:
        happened = scans.get(view.id, {}).values()
        status = after_scans(view.status, happened)
        delivered = [at for kind, at in happened if kind == base.ScanKind.DELIVERED]
        at = max(delivered) if delivered and status == ShipmentStatus.DELIVERED else view.delivered_at
        day = max(expected.get(view.id, view.estimated_delivery), view.estimated_from)
        if (status, at, day) != (view.status, view.delivered_at, view.estimated_delivery):
            rows.append((view.id, status, at, day, now))
    bulk.update(Shipment, "id", ("status", "delivered_at", "estimated_delivery", "updated_at"), rows)


def pass_on(*, now: datetime, limit: int = AT_ONCE) -> int:
    """Tell the listeners of scans that they have not heard of, in the order they came; return how many.

    Takes its own transactions, one for all; where that fails, one for each, so that one bad scan stops no other. What
    was in the way is on record with it (`stuck`), and it makes room for others until it is tried again.
    """
    due = _untold().filter(Q(tell_again_at=None) | Q(tell_again_at__lte=now))
    tries = dict(due.order_by("id").values_list("id", "tries")[:limit])
    if not tries:
        return 0
    try:
        return _tell(list(tries), now=now)
    except Exception:
        log.warning("scans_told_one_by_one", scans=len(tries), exc_info=True)
    told = 0
    for scan_id, before in tries.items():
        try:
            told += _tell([scan_id], now=now)
        except Exception as error:
            log.exception("scan_not_told", scan=scan_id)
            _untold().filter(pk=scan_id).update(
                tries=before + 1,
                tell_again_at=now + pause_after(before + 1),
                trouble=f"{type(error).__name__}: {error}".replace("\0", "\ufffd"),
            )
    return told


def stuck() -> QuerySet[Scan]:
    """The scans that could not be passed on so far, of which their orders have not heard."""
    return _untold().filter(tries__gt=0)


def hurry(scan_ids: Sequence[int]) -> int:
    """Have scans that are stuck passed on at once, and not after their pause; return how many."""
    return stuck().filter(pk__in=scan_ids).update(tell_again_at=None)


def _untold() -> QuerySet[Scan]:
    return Scan.objects.filter(told_at__isnull=True)


def _tell(ids: Sequence[int], *, now: datetime) -> int:
    with transaction.atomic():
        due = _untold().filter(pk__in=ids).select_for_update(skip_locked=True, of=("self",))
        rows = list(due.select_related("shipment").order_by("id"))  # what others have in hand is theirs to tell
        scanned = [
            Scanned(
                shipment_id=row.shipment_id,
                reference_id=row.shipment.reference_id,
                event_id=row.event_id,
                kind=row.kind,
                place=row.place,
                message=row.message,
                occurred_at=row.occurred_at,
                status=row.shipment.status,
            )
            for row in rows
        ]
        if scanned:
            for listener in _listeners:
                listener(scanned)
            Scan.objects.filter(pk__in=[row.pk for row in rows]).update(told_at=now, tell_again_at=None, trouble="")
        return len(scanned)
