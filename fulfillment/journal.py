"""The record of every call to a carrier: written before it is made, finished when the answer is there.

Set-based, inside the transaction of `fulfillment.services`, which holds the locks on the shipments.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from fulfillment.carriers.base import Outcome, Parcel, Reply
from fulfillment.errors import KeyTaken
from fulfillment.models import CarrierCall
from fulfillment.selectors import ShipmentView
from fulfillment.states import CODE_LENGTH, CallOutcome, Operation
from marketplace.kernel import bulk
from marketplace.kernel.arrays import Integers, Texts, Uuids


@dataclass(frozen=True, slots=True)
class LabelCall:
    """One call that has been written down and may now be sent: all that `send` needs.

    `label_key` is the key by which the carrier knows the shipment; to buy a label, it is the call's own.
    """

    shipment_id: UUID
    reference_id: UUID
    operation: Operation
    key: str
    label_key: str
    number: int
    call_id: int
    carrier: str
    carrier_reference: str
    parcel: Parcel


class Asked(NamedTuple):
    """What `begin` was asked about one order that has a shipment."""

    shipment: ShipmentView
    key: str
    number: int


_WRITE = """
    INSERT INTO fulfillment_carriercall AS t
        (shipment_id, operation, idempotency_key, number, outcome, code, message, started_at)
    SELECT d.shipment_id, %s, d.key, GREATEST(d.number, 1 + COALESCE((
            SELECT max(a.number) FROM fulfillment_carriercall a WHERE a.idempotency_key = d.key AND a.outcome <> ''
        ), 0)), '', '', '', %s
    FROM unnest(%b::uuid[], %b::text[], %b::int[]) AS d (shipment_id, key, number)
    WHERE (
        SELECT true FROM fulfillment_carriercall a
        WHERE a.idempotency_key = d.key AND (a.shipment_id <> d.shipment_id OR a.operation <> %s) LIMIT 1
    ) IS NULL
    ON CONFLICT (idempotency_key, number) DO UPDATE SET started_at = t.started_at
    RETURNING idempotency_key, id, number
"""


def write_calls(operation: Operation, due: Sequence[Asked], *, now: datetime) -> dict[str, tuple[int, int]]:
    """Write one call for each that is due; return id and number by key. Raises `KeyTaken`."""
    if not due:
        return {}
    shipments, keys = Uuids([a.shipment.id for a in due]), Texts([a.key for a in due])
    with bulk.binding_cursor(binary=True) as cursor:
        cursor.execute(_WRITE, [operation, now, shipments, keys, Integers([a.number for a in due]), operation])
        written = {key: (call_id, number) for key, call_id, number in cursor.fetchall()}
    for a in due:
        if a.key not in written:
            raise KeyTaken(key=a.key, shipment_id=str(a.shipment.id))
    return written


def call(operation: Operation, asked: Asked, call_id: int, number: int) -> LabelCall:
    """Make what `send` needs of what was written down."""
    s = asked.shipment
    return LabelCall(
        shipment_id=s.id,
        reference_id=s.reference_id,
        operation=operation,
        key=asked.key,
        label_key=s.label_key,
        number=number,
        call_id=call_id,
        carrier=s.carrier,
        carrier_reference=s.carrier_reference,
        parcel=Parcel(s.address, s.weight_grams, s.service, s.number),
    )


def finish_calls(answers: Sequence[tuple[LabelCall, Reply]], *, now: datetime) -> list[tuple[LabelCall, Reply]]:
    """Write the outcomes down; return the answers that were news: a call keeps its first final one."""
    given: dict[int, tuple[LabelCall, Reply]] = {}
    for one, reply in answers:
        if one.call_id not in given or given[one.call_id][1].outcome is Outcome.UNKNOWN:
            given[one.call_id] = (one, reply)
    written = bulk.update(
        CarrierCall,
        "id",
        ("outcome", "code", "message", "finished_at"),
        [
            (call_id, reply.outcome, reply.code[:CODE_LENGTH], reply.message, now)
            for call_id, (_, reply) in given.items()
        ],
        only_if="(t.outcome = '' OR (t.outcome = 'UNKNOWN' AND d.outcome <> 'UNKNOWN'))",
    )
    return [given[call_id] for call_id in sorted(written)]


def refused(keys: Collection[str]) -> set[str]:
    """Which of these keys the carrier has refused for good."""
    if not keys:
        return set()
    calls = CarrierCall.objects.filter(idempotency_key__in=keys, outcome=CallOutcome.REFUSED)
    return set(calls.values_list("idempotency_key", flat=True))
