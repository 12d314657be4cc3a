"""Starting sagas and sending them signals."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from marketplace.kernel import bulk
from marketplace.kernel.ids import new_id
from marketplace.sagas import archive, doorbell
from marketplace.sagas.definition import Saga, Wait, find, stopped_by
from marketplace.sagas.errors import NoSuchSaga
from marketplace.sagas.models import TERMINAL, SagaInstance, Status
from marketplace.sagas.ticket import LateSignal


@dataclass(frozen=True, slots=True)
class Start:
    """One saga to be started: its id (made by the caller, so that its other rows can name it) and what it is about."""

    subject_id: UUID
    context: dict[str, Any] = field(default_factory=dict)
    id: UUID = field(default_factory=new_id)


_STARTED = (
    "id", "name", "version", "subject_id", "steps", "status", "position", "current_step", "undoing", "undone", "queue",
    "due_at", "attempt", "fence", "in_flight", "pending_signals", "context", "attention", "started_at", "updated_at",
)  # fmt: skip


def start(definition: type[Saga], starts: Sequence[Start], *, now: datetime) -> None:
    """Start a saga of `definition` for each of `starts`; the doorbell rings when the transaction commits.

    Needs the transaction in which the subjects are written: a saga without its subject, or the reverse, can't be. Of
    one definition there is one saga per subject; a second start raises `IntegrityError`.
    """
    first = definition.steps[0]
    names = [node.name for node in definition.steps]
    kind = (definition.name, definition.version)
    place = (Status.STARTED, 0, first.name, False, 0, first.queue)
    fresh = (0, 0, False, 0)  # attempt, fence, in_flight, pending_signals
    bulk.insert(
        SagaInstance,
        _STARTED,
        [(one.id, *kind, one.subject_id, names, *place, now, *fresh, one.context, "", now, now) for one in starts],
    )
    transaction.on_commit(partial(doorbell.ring, first.queue))


# What makes a saga due by a signal: a wait may be over, or a stop may act. A pause before the next attempt is not cut
# short by anything else, and nothing hurries a call in flight, a compensation, or a saga that is left to a person.
_SIGNAL = """
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest(%(sagas)s::uuid[], %(signals)s::text[], %(payloads)s::jsonb[])
            WITH ORDINALITY AS g (saga_id, signal_id, payload, place)),
    saga AS MATERIALIZED (
        SELECT id, name, version, subject_id, status, queue, position, undoing, attempt, wait_until, cause
        FROM sagas_sagainstance WHERE id = ANY(%(sagas)s::uuid[]) ORDER BY id FOR UPDATE),
    stored AS (
        INSERT INTO sagas_sagasignal (saga_id, name, signal_id, payload, received_at, consumed_at, disposition)
        SELECT saga.id, %(name)s, given.signal_id, given.payload, clock_timestamp(),
               CASE WHEN status = ANY(%(terminal)s) THEN clock_timestamp() END,
               CASE WHEN status = ANY(%(terminal)s) THEN 'TOO_LATE' ELSE '' END
        FROM given JOIN saga ON saga.id = given.saga_id ORDER BY given.place
        ON CONFLICT (saga_id, name, signal_id) DO NOTHING RETURNING saga_id, signal_id, received_at, consumed_at),
    news AS (SELECT saga_id, count(*) AS signals FROM stored WHERE consumed_at IS NULL GROUP BY saga_id),
    woken AS (
        UPDATE sagas_sagainstance AS t SET
            pending_signals = pending_signals + news.signals,
            due_at = CASE WHEN in_flight OR undoing OR status = 'NEEDS_ATTENTION' THEN due_at
                          WHEN wait_until IS NULL AND EXISTS (
                              SELECT 1 FROM unnest(%(names)s::text[], %(versions)s::int[], %(until)s::int[])
                                  AS known (name, version, until)
                              WHERE known.name = t.name AND known.version = t.version AND t.position > known.until)
                          THEN due_at
                          ELSE LEAST(due_at, clock_timestamp()) END
        FROM news WHERE t.id = news.saga_id RETURNING t.id, t.due_at)
    SELECT saga.name, saga.version, saga.subject_id, saga.status, saga.queue, saga.position,
           saga.undoing AND COALESCE(saga.cause->>'kind', '') <> 'returned',
           CASE WHEN saga.undoing AND saga.cause->>'kind' = 'returned' THEN saga.cause->>'step' ELSE '' END,
           saga.attempt, saga.wait_until, COALESCE(saga.cause->>'code', ''), clock_timestamp(),
           (SELECT received_at FROM stored WHERE stored.saga_id = saga.id AND stored.signal_id = given.signal_id),
           (SELECT disposition FROM sagas_sagasignal
            WHERE saga_id = saga.id AND name = %(name)s AND signal_id = given.signal_id),
           (SELECT due_at <= clock_timestamp() FROM woken WHERE woken.id = saga.id)
    FROM given LEFT JOIN saga ON saga.id = given.saga_id ORDER BY given.place
"""


class _Arrival(NamedTuple):
    """The saga for which a signal came, as it was under its lock, and what became of the signal."""

    name: str
    version: int
    subject_id: UUID
    status: str
    queue: str
    position: int
    undoing: bool  # for good, and not only back to a wait
    returning: str  # the step that led back to a wait, while the saga is on its way there
    attempt: int
    wait_until: datetime | None
    code: str
    now: datetime
    stored_at: datetime | None  # None for one that was here already ...
    disposition: str | None  # ... and this is what had become of that, as far as it was committed by then
    due: bool | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a signal on arrival: `accepted` when the saga can still act on it; `status` as it was then.

    One that is accepted may lose against another that came earlier. One that is not accepted is on record, and the
    definition's rule for late ones, if it has one, answers it (`Saga.late`).
    """

    accepted: bool
    duplicate: bool
    status: str


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal for one saga, for `signal_many`."""

    saga_id: UUID
    signal_id: str
    payload: dict[str, Any] = field(default_factory=dict)


def signal(saga_id: UUID, name: str, *, signal_id: str, payload: dict[str, Any] | None = None) -> Receipt:
    """Store a signal for a saga, once per `signal_id`, and make the saga due. Takes the saga's row lock for an instant.

    One that comes before the saga is ready for it waits. One for a saga that is over is kept on record, not accepted,
    and answered by the definition's rule in the same transaction; so what the rule raises is raised here, and nothing
    is stored. Who comes first, a signal or the step that makes it pointless, is decided by that lock. Raises
    `NoSuchSaga`.
    """
    return signal_many(name, [Signal(saga_id, signal_id, payload or {})])[0]


def signal_many(name: str, signals: Sequence[Signal]) -> list[Receipt]:
    """Do what `signal` does for each of `signals`, all called `name`, in their order; answer each.

    One statement, however many they are. It locks the sagas' rows in the order of their ids, until the end of the
    caller's transaction or of its own.
    """
    if not signals:
        return []
    known = stopped_by(name)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _SIGNAL,
            {
                "sagas": [one.saga_id for one in signals],
                "signals": [one.signal_id for one in signals],
                "payloads": [bulk.to_json(one.payload) for one in signals],
                "name": name,
                "terminal": sorted(TERMINAL),
                "names": [kind for kind, _, _ in known],
                "versions": [version for _, version, _ in known],
                "until": [until for _, _, until in known],
            },
        )
        rows = cursor.fetchall()
        receipts: list[Receipt] = []
        due: set[str] = set()
        seen: set[tuple[UUID, str]] = set()
        for one, row in zip(signals, rows, strict=True):
            if row[0] is None:
                if not archive.bring_back(one.saga_id):
                    raise NoSuchSaga
                receipts += signal_many(name, [one])  # so that late news is answered as ever
                continue
            arrival = _Arrival(*row)
            if (one.saga_id, one.signal_id) in seen:  # given twice, stored once, and answered once
                arrival = arrival._replace(stored_at=None)
            seen.add((one.saga_id, one.signal_id))
            due |= {arrival.queue} if arrival.due else set()
            receipts.append(_receive(name, one, arrival))
        for queue in sorted(due):
            transaction.on_commit(partial(doorbell.ring, queue))
        return receipts


def _receive(name: str, one: Signal, arrival: _Arrival) -> Receipt:
    """Have the definition's rule answer it, where it is too late; say what became of it."""
    definition = find(arrival.name, arrival.version)
    if definition and name in definition.late and arrival.stored_at and arrival.status in TERMINAL:
        late = (one.saga_id, arrival.subject_id, name, one.signal_id, one.payload, arrival.stored_at)
        definition.late[name](LateSignal(*late, status=arrival.status, code=arrival.code))
    accepted = _can_act(definition, arrival, name)
    return Receipt(accepted=accepted, duplicate=arrival.stored_at is None, status=arrival.status)


def _can_act(definition: type[Saga] | None, saga: _Arrival, signal_name: str) -> bool:
    """Whether the saga, where it stands, can still act on the signal; for a duplicate, whether it did."""
    if saga.status in TERMINAL:
        return False
    if saga.stored_at is None and saga.disposition:
        return saga.disposition != "TOO_LATE"
    if saga.undoing:
        return False
    if definition is None:
        return True  # only the workers know
    # The wait at which it stands; but who was left to a person waits anew when they let it go on.
    over = saga.wait_until is not None and saga.now > saga.wait_until and saga.status != Status.NEEDS_ATTENTION
    if signal_name in definition.stops:
        return not over and definition.may_turn_back(saga.position, saga.attempt)
    ahead = definition.steps[_goes_on_from(definition, saga) + over :]
    return any(isinstance(node, Wait) and node.listens_to == signal_name for node in ahead)


def _goes_on_from(definition: type[Saga], saga: _Arrival) -> int:
    """Where the saga stands; of one that is on its way back to a wait, where that is."""
    wait = next((node.returns_to for node in definition.steps if node.name == saga.returning), "")
    return next((at for at, node in enumerate(definition.steps) if node.name == wait), saga.position)


def nudge(subject_ids: Sequence[UUID], *, now: datetime) -> int:
    """Ring for the sagas of these subjects whose wait is over by `now`; return how many.

    For whoever has reason to believe that a deadline has passed and does not want to leave it to the next sweep. Locks
    and changes nothing: such a saga is due already, and what it then does is its own decision.
    """
    over = SagaInstance.objects.filter(
        subject_id__in=list(subject_ids), wait_until__lte=now, due_at__lte=now, in_flight=False
    )
    queues = list(over.values_list("queue", flat=True))
    for queue in sorted(set(queues)):
        transaction.on_commit(partial(doorbell.ring, queue))
    return len(queues)
