"""Everything that changes a shipment: plan it, pack it, write down a call before it is made, make it, record it.

    with transaction.atomic():
        calls = begin(Operation.BUY, order_ids, keys=keys, numbers=numbers, now=now)
    replies = [send(call) for call in calls if call is not None]        # no transaction, no locks, many at once
    with transaction.atomic():
        record(zip(calls, replies), now=now)

Why no label is bought twice: a shipment has one label key, written down and committed before its first call, and it is
given another one only after the carrier has refused that. For one key a carrier sells once, whoever asks and however
often. And what is cancelled is not labelled later: here by the shipment's status, at the carrier by its void.

All but `send` and `probe` work on whole groups in a constant number of statements and need the caller's transaction.
They lock shipments in the order of their ids, and lock nothing else. Scans are taken in by `fulfillment.scanning`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from fulfillment import carriers, journal, label_refunds
from fulfillment.carriers.base import (
    Address,
    CarrierUnavailable,
    Consignment,
    LabelStatus,
    Outcome,
    Reply,
)
from fulfillment.errors import CallInsideTransaction, KeyTaken, TooLateToCorrect, UnknownShipment
from fulfillment.journal import Asked, LabelCall
from fulfillment.models import Shipment, ShipmentLine
from fulfillment.selectors import Estimate, LineView, ShipmentView, views
from fulfillment.states import IN_THE_HOUSE, LEFT_THE_HOUSE, Operation, ShipmentStatus
from marketplace.kernel import bulk
from marketplace.kernel.ids import new_ids

__all__ = [
    "LabelCall",
    "NewShipment",
    "Operation",
    "ShipmentView",
    "begin",
    "cancel",
    "correct_address",
    "create",
    "key_window",
    "look",
    "pack",
    "probe",
    "record",
    "send",
]

LIGHTEST_GRAMS = 1  # of a parcel whose products say nothing of their weight


@dataclass(frozen=True, slots=True)
class NewShipment:
    """One parcel for the order `reference_id`, to be planned as `estimate` says.

    `language`: of whoever opens it.
    """

    reference_id: UUID
    number: str
    to: Address
    weight_grams: int
    lines: tuple[LineView, ...]
    estimate: Estimate
    language: str = "en"


_FIELDS = (
    "id", "reference_id", "number", "status", "carrier", "service", "name", "line1", "line2", "postal_code", "city",
    "country", "language", "weight_grams", "label_key", "carrier_reference", "tracking_number", "tracking_url",
    "label_reference", "estimated_from", "estimated_delivery", "packed_by", "created_at", "updated_at",
)  # fmt: skip


def create(requests: Sequence[NewShipment], *, now: datetime) -> list[ShipmentView]:
    """Plan a shipment for each request; answer in the same order.

    Idempotent by `reference_id`: a shipment that exists is answered as it stands. Needs the caller's transaction.
    """
    if not requests:
        return []
    today, ids = now.date(), new_ids(len(requests))
    bulk.insert(
        Shipment,
        _FIELDS,
        [
            (
                *(shipment_id, r.reference_id, r.number, ShipmentStatus.CREATED, r.estimate.carrier),
                *(r.estimate.service, r.to.name, r.to.line1, r.to.line2, r.to.postal_code, r.to.city, r.to.country),
                *(r.language, max(r.weight_grams, LIGHTEST_GRAMS), "", "", "", "", ""),
                *(r.estimate.earliest(today), r.estimate.latest(today), "", now, now),
            )
            for shipment_id, r in zip(ids, requests, strict=True)
        ],
        on_conflict="(reference_id) DO NOTHING",
    )
    found = {view.reference_id: view for view in views(_of([r.reference_id for r in requests]))}
    bulk.insert(
        ShipmentLine,
        ("shipment", "sku", "name", "quantity"),
        [
            (shipment_id, line.sku, line.name, line.quantity)
            for shipment_id, r in zip(ids, requests, strict=True)
            if found[r.reference_id].id == shipment_id
            for line in r.lines
        ],
    )
    return [found[r.reference_id] for r in requests]


def pack(reference_ids: Sequence[UUID], *, who: str, now: datetime) -> set[UUID]:
    """Write down that these parcels are packed; return the orders whose parcel is, now or before.

    One that is missing from the answer has no shipment, or one that is cancelled. Needs the caller's transaction.
    """
    locked = _lock(reference_ids)
    rows = [(v.id, ShipmentStatus.PACKED, who, now, now) for v in locked if v.status == ShipmentStatus.CREATED]
    bulk.update(Shipment, "id", ("status", "packed_by", "packed_at", "updated_at"), rows)
    return {view.reference_id for view in locked if view.status != ShipmentStatus.CANCELLED}


def correct_address(shipment_id: UUID, to: Address, *, now: datetime) -> Address:
    """Change where a parcel goes, as long as it has no label: after a carrier has refused the address, say.

    Return where it went before. Takes its own transaction, and the shipment's lock. Raises `UnknownShipment` and
    `TooLateToCorrect`. A label that is being asked for at this moment is for the address as it was.
    """
    with transaction.atomic():
        found = views(Shipment.objects.filter(pk=shipment_id).select_for_update(no_key=True))
        if not found:
            raise UnknownShipment(id=str(shipment_id))
        if found[0].status not in (ShipmentStatus.CREATED, ShipmentStatus.PACKED):
            raise TooLateToCorrect(status=found[0].status)
        values = {name: getattr(to, name) for name in ("name", "line1", "line2", "postal_code", "city", "country")}
        Shipment.objects.filter(pk=shipment_id).update(**values, updated_at=now)
    return found[0].address


def cancel(reference_ids: Sequence[UUID], *, now: datetime) -> dict[UUID, ShipmentView]:
    """Stop the shipments that are still in the house; return each that was stopped by this very call, as it was.

    Its label, if it has one, has to be voided for itself. Safe to repeat, and where there is no shipment. Needs the
    caller's transaction.
    """
    stopped = [view for view in _lock(reference_ids) if view.status in IN_THE_HOUSE]
    rows = [(view.id, ShipmentStatus.CANCELLED, now, now) for view in stopped]
    bulk.update(Shipment, "id", ("status", "cancelled_at", "updated_at"), rows)
    return {view.reference_id: view for view in stopped}


# --- calls to a carrier -----------------------------------------------------------------------------------------------


def begin(
    operation: Operation | str,
    reference_ids: Sequence[UUID],
    *,
    keys: Sequence[str],
    numbers: Sequence[int],
    now: datetime,
) -> list[LabelCall | None]:
    """Write down one call for the shipment of each order, before it is made; answer in the same order.

    `keys` are the idempotency keys, `numbers` the attempts of each key, from 1. A number that has been answered already
    is not used again, the next free one is; one that nobody came back from is the same attempt.

    None where there is nothing to do: there is no shipment; it is not PACKED, to buy a label for (nor on its way with
    one that it got by the same key, and whose answer was lost); no label was ever asked for, to be voided; or it is
    over.

    Raises `KeyTaken` for a key of another shipment, and for a second label key while the first may yet be served. Needs
    the caller's transaction, which must be committed before `send`.
    """
    if len(set(keys)) != len(keys):
        raise KeyTaken
    operation = Operation(operation)
    locked = {view.reference_id: view for view in _lock(reference_ids)}
    due = [
        Asked(locked[reference_id], key, number)
        for reference_id, key, number in zip(reference_ids, keys, numbers, strict=True)
        if reference_id in locked and _may(operation, locked[reference_id], key)
    ]
    if operation is Operation.BUY:
        due = _claim_label(due, now=now)
    attempts = journal.write_calls(operation, due, now=now)
    calls = {a.key: journal.call(operation, a, *attempts[a.key]) for a in due}
    return [calls.get(key) for key in keys]


def send(call: LabelCall) -> Reply:
    """Make the call: it uses the network, and may take as long as its time-out.

    To buy a label is two calls to the carrier, each by a key of its own: announce the parcel, then pay for the label.
    Raises `CallInsideTransaction` when a transaction is open in this thread. Whatever the network does is an UNKNOWN
    reply, never an exception.
    """
    _outside(call)
    carrier = carriers.carrier(call.carrier)
    if call.operation is Operation.VOID:
        return carrier.void_label(key=call.key, shipment_key=call.label_key, reference=call.carrier_reference)
    announced = carrier.create_shipment(shipment_key=call.label_key, parcel=call.parcel)
    if announced.outcome is not Outcome.DONE:
        return announced
    return carrier.buy_label(
        key=f"{call.key}:label", shipment_key=call.label_key, reference=announced.reference, parcel=call.parcel
    )


def probe(call: LabelCall) -> Reply:
    """Only look what became of the call: its key may be forgotten by now. Raises like `send`."""
    _outside(call)
    try:
        seen = carriers.carrier(call.carrier).find(shipment_key=call.label_key, reference=call.carrier_reference)
    except CarrierUnavailable as error:
        return Reply(Outcome.UNKNOWN, code=error.code, message=error.message, nothing_happened=True)
    status = seen.status if seen is not None else LabelStatus.ANNOUNCED
    if call.operation is Operation.VOID:
        return _voided(status, seen)
    if seen is not None and status is LabelStatus.BOUGHT:
        return _bought(seen)
    message = "The label was voided." if status is LabelStatus.VOIDED else "The label was never bought."
    return Reply(Outcome.REFUSED, code="label_not_bought", message=message)


def look(reference_id: UUID) -> Consignment | None:
    """Ask the carrier what it knows of the parcel of this order; None: nothing.

    Uses the network, so it must not be called in a transaction. Raises `CarrierUnavailable`.
    """
    if connection.in_atomic_block:
        raise CallInsideTransaction(f"look at the parcel of {reference_id}")
    found = views(_of([reference_id]))
    if not found or not found[0].label_key:
        return None
    known = found[0]
    return carriers.carrier(known.carrier).track(
        shipment_key=known.label_key, reference=known.carrier_reference, tracking_number=known.tracking_number
    )


def key_window(carrier: str) -> timedelta:
    """How long this carrier remembers a key. After that it is not sent again, but looked for."""
    return carriers.carrier(carrier).key_window


def record(answers: Iterable[tuple[LabelCall, Reply]], *, now: datetime) -> list[ShipmentView]:
    """Finish the calls, move the shipments, and answer how each now stands, in the order given.

    A call keeps its first final answer; an UNKNOWN may still become DONE or REFUSED. A label that comes for a shipment
    which was cancelled meanwhile stays on its call: whoever has cancelled it voids it. Needs the caller's transaction.
    """
    answers = list(answers)
    locked = {view.id: view for view in _lock([call.reference_id for call, _ in answers])}
    news = journal.finish_calls(answers, now=now)
    bought = [
        (call, reply) for call, reply in news if call.operation is Operation.BUY and reply.outcome is Outcome.DONE
    ]
    rows = []
    for call, reply in bought:
        view = locked[call.shipment_id]
        if view.status == ShipmentStatus.CANCELLED:
            continue
        locked[view.id] = _labelled(view, reply, now=now)
        rows.append((view.id, *(getattr(locked[view.id], name) for name in _LABELLED), now))
    bulk.update(Shipment, "id", (*_LABELLED, "updated_at"), rows)
    label_refunds.expect(news, now=now)
    return [locked[call.shipment_id] for call, _ in answers]


_LABELLED = (
    "status", "carrier_reference", "tracking_number", "tracking_url", "label_reference", "estimated_delivery",
    "labelled_at",
)  # fmt: skip


def _labelled(view: ShipmentView, reply: Reply, *, now: datetime) -> ShipmentView:
    """The shipment with its label. A scan that was faster than this answer has moved it on already."""
    expected = reply.estimated_delivery or view.estimated_delivery
    return view._replace(
        status=ShipmentStatus.LABELLED if view.status == ShipmentStatus.PACKED else view.status,
        carrier_reference=reply.reference or view.carrier_reference,
        tracking_number=reply.tracking_number or view.tracking_number,
        tracking_url=reply.tracking_url or view.tracking_url,
        label_reference=reply.label_reference or view.label_reference,
        estimated_delivery=max(expected, view.estimated_from),
        labelled_at=view.labelled_at or now,
    )


def _voided(status: LabelStatus, seen: Consignment | None) -> Reply:
    if status is LabelStatus.BOUGHT:
        return Reply(Outcome.UNKNOWN, code="not_voided", message="The label is still good.", nothing_happened=True)
    if seen is None or status is not LabelStatus.VOIDED:
        return Reply(Outcome.DONE, code="nothing_to_void")
    return Reply(Outcome.DONE, reference=seen.reference, label_refund=seen.label_refund)


def _bought(seen: Consignment) -> Reply:
    return Reply(
        Outcome.DONE,
        reference=seen.reference,
        tracking_number=seen.tracking_number,
        tracking_url=seen.tracking_url,
        label_reference=seen.label_reference,
        estimated_delivery=seen.estimated_delivery,
    )


def _outside(call: LabelCall) -> None:
    if connection.in_atomic_block:
        raise CallInsideTransaction(f"{call.operation} {call.key}")


def _may(operation: Operation, view: ShipmentView, key: str) -> bool:
    if operation is Operation.BUY:
        unanswered = view.label_key == key and not view.tracking_number and view.status in LEFT_THE_HOUSE
        return view.status == ShipmentStatus.PACKED or unanswered
    return bool(view.label_key) and view.status in IN_THE_HOUSE


def _claim_label(due: Sequence[Asked], *, now: datetime) -> list[Asked]:
    """Give each shipment the key by which its carrier will know it; another one only where the carrier refused."""
    changed = [asked for asked in due if asked.shipment.label_key != asked.key]
    refused = journal.refused([asked.shipment.label_key for asked in changed if asked.shipment.label_key])
    for asked in changed:
        if asked.shipment.label_key and asked.shipment.label_key not in refused:
            raise KeyTaken(key=asked.key, shipment_id=str(asked.shipment.id))
    bulk.update(Shipment, "id", ("label_key", "updated_at"), [(a.shipment.id, a.key, now) for a in changed])
    return [asked._replace(shipment=asked.shipment._replace(label_key=asked.key)) for asked in due]


def _of(reference_ids: Sequence[UUID]) -> QuerySet[Shipment]:
    return Shipment.objects.filter(reference_id__in=list(reference_ids))


def _lock(reference_ids: Sequence[UUID]) -> list[ShipmentView]:
    """Lock the shipments of these orders in the order of their ids. Needs a transaction."""
    return views(_of(reference_ids).select_for_update(no_key=True).order_by("id"))
