"""The engine's only way to saga rows: one claim, one look at who still holds a lease, one write for a whole group."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from marketplace.kernel import bulk
from marketplace.kernel.arrays import Bigints, Texts, Uuids
from marketplace.kernel.pipeline import opening
from marketplace.sagas import definition, timeouts
from marketplace.sagas.models import Direction, SagaHistory, SagaInstance, SagaSignal
from marketplace.sagas.ticket import Cause, Ticket


class Run:
    """One saga in a worker's hands: its ticket, and the engine's part of its row."""

    __slots__ = (
        "attempt",
        "attention",
        "completed_at",
        "current_step",
        "deadline_at",
        "due_at",
        "fence",
        "forgiven",
        "in_flight",
        "in_hand",
        "inbox",
        "name",
        "pending_signals",
        "place",
        "position",
        "queue",
        "saga",
        "standby",
        "standby_since",
        "status",
        "step_started_at",
        "stop",
        "ticket",
        "undoing",
        "undone",
        "version",
        "wait_until",
    )

    def __init__(self, row: Sequence[Any]) -> None:
        cause = Cause.of_json(row[15]) if row[15] is not None else None
        self.ticket = Ticket(id=row[0], subject_id=row[3], context=row[14], cause=cause)
        self.name: str = row[1]
        self.version: int = row[2]
        self.status: str = row[4]
        self.position: int = row[5]
        self.undoing: bool = row[6]
        self.undone: int = row[7]
        self.attempt: int = row[8]
        self.fence: int = row[9]
        self.in_flight: bool = row[10]
        self.step_started_at: datetime | None = row[11]
        self.wait_until: datetime | None = row[12]
        self.deadline_at: datetime | None = row[13]
        self.pending_signals: int = row[16]
        self.queue: str = row[17]
        self.current_step: str = row[18]
        self.forgiven: int = row[19]
        self.standby: str = row[20]
        self.standby_since: datetime | None = row[21]
        self.due_at: datetime | None = None
        self.completed_at: datetime | None = None
        self.attention = ""
        self.saga = definition.find(self.name, self.version)
        self.inbox: list[Signal] = []
        self.stop: Signal | None = None
        self.place = 0  # among those that move in one transaction: as they were claimed
        self.in_hand = False  # whether this object still says what its row says, while its call is in flight


class Signal:
    """One stored signal that nobody has dealt with yet."""

    __slots__ = ("disposition", "id", "name", "payload", "received_at", "signal_id")

    def __init__(self, id: int, name: str, signal_id: str, payload: dict[str, Any], received_at: datetime) -> None:
        self.id = id
        self.name = name
        self.signal_id = signal_id
        self.payload = payload
        self.received_at = received_at
        self.disposition = ""


_TABLE = SagaInstance._meta.db_table
_COLUMNS = (
    "id, name, version, subject_id, status, position, undoing, undone, attempt, fence, in_flight, step_started_at, "
    "wait_until, deadline_at, context, cause, pending_signals, queue, current_step, forgiven, "
    "standby, standby_since, clock_timestamp()"
)

# Whoever claims or holds sagas moves them next, each statement going by keys. The planner may think it less work to
# read the whole of a table (or of its index) that is small today; but a plan that is kept (see `kernel.bulk`) must be
# good tomorrow too, when it has grown. So for the rest of the transaction a look-up has its price: what it goes by is
# in memory, and the next row no nearer than any other. (What is read without an index seems to cost a fortune then,
# for which PostgreSQL would compile it; so it must not.) And no statement may take for ever (`timeouts.Limit`).
_BY_KEYS = """WITH plans AS MATERIALIZED (
        SELECT set_config('enable_seqscan', 'off', true), set_config('random_page_cost', '0.1', true),
            set_config('jit', 'off', true), set_config('statement_timeout', %(patience)s, true))"""

# The one claim path. Whatever makes a saga due (a start, a signal, a retry, a deadline, the end of a dead worker's
# lease) does it by `due_at`; whoever wants to move one comes through here. Losing a row to another worker is normal.
# Queue by queue, because the index is read in the order of (queue, due_at): a backlog in a queue that is not ours costs
# nothing.
_CLAIM = f"""
    {_BY_KEYS}
    SELECT due.* FROM plans, unnest(%(queues)b::text[]) AS ours (ours) CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM {_TABLE} WHERE queue = ours AND due_at <= statement_timestamp()
        ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) AS due
    LIMIT %(limit)s
"""  # noqa: S608
_CLAIM_ONE = f"""
    {_BY_KEYS}
    SELECT due.* FROM plans CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM {_TABLE}
        WHERE id = %(saga)s AND due_at <= statement_timestamp() FOR UPDATE SKIP LOCKED) AS due
"""  # noqa: S608
_LOCK = f"SELECT {_COLUMNS} FROM {_TABLE} WHERE id = %s FOR UPDATE"  # noqa: S608
# By the key, one after the other and in its order, whatever the planner thinks of the table.
_HOLD = """
    {by_keys}
    SELECT saga.* FROM plans, (
        SELECT * FROM unnest(%(ids)b::uuid[], %(fences)b::bigint[]) AS given (held_id, held_fence) ORDER BY held_id
    ) AS held CROSS JOIN LATERAL (
        SELECT {columns} FROM {table} WHERE id = held_id AND fence = held_fence AND in_flight FOR UPDATE) AS saga
"""
_HOLD_ALL = _HOLD.format(table=_TABLE, columns=_COLUMNS, by_keys=_BY_KEYS)
_HOLD_IN_HAND = _HOLD.format(table=_TABLE, columns="id, pending_signals, clock_timestamp()", by_keys=_BY_KEYS)
# Whoever is at a row (to leave a signal there, say) may want the next one: nobody waits for it with others in hand.
_RENEW = f"""
    WITH free AS MATERIALIZED (
        SELECT id FROM unnest(%b::uuid[], %b::bigint[]) AS held (held_id, held_fence) CROSS JOIN LATERAL (
            SELECT id FROM {_TABLE} WHERE id = held_id AND fence = held_fence AND in_flight
            FOR NO KEY UPDATE SKIP LOCKED) AS ours)
    UPDATE {_TABLE} AS t SET due_at = clock_timestamp() + %s FROM free WHERE t.id = free.id RETURNING t.id
"""  # noqa: S608


Found = tuple[list[Run], datetime | None]  # what was asked for, locked, and the database's time; None if nothing was
Along = Callable[[], None]  # sends other statements, whose answers come in the same trip


def _nothing() -> None:
    """Nothing goes along."""


def _rows(statement: str, parameters: Sequence[Any] | dict[str, Any], along: Along = _nothing) -> list[tuple[Any, ...]]:
    with bulk.binding_cursor(binary=True) as cursor:
        with opening():
            cursor.execute(statement, parameters)
            along()
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _fetch(statement: str, parameters: Sequence[Any] | dict[str, Any], along: Along = _nothing) -> Found:
    rows = _rows(statement, parameters, along)
    return [Run(row) for row in rows], (rows[-1][-1] if rows else None)


def _patience() -> str:
    return timeouts.written(settings.SAGA_STEP_TIMEOUT_SECONDS)


def claim(queues: Sequence[str], limit: int, along: Along = _nothing) -> Found:
    """Lock up to `limit` due sagas, queue after queue, in each the oldest due first; answer the database's time too.

    Needs a transaction.
    """
    return _fetch(_CLAIM, {"queues": Texts(queues), "limit": limit, "patience": _patience()}, along)


def claim_one(saga_id: UUID, along: Along = _nothing) -> Found:
    """Lock that one saga if it is due and free. Needs a transaction."""
    return _fetch(_CLAIM_ONE, {"saga": saga_id, "patience": _patience()}, along)


def lock(saga_id: UUID) -> Run | None:
    """Lock that one saga, due or not, after waiting for whoever has it; None if there is none. Needs a transaction."""
    runs, _ = _fetch(_LOCK, [saga_id])
    return runs[0] if runs else None


def _held(ids: Sequence[UUID], fences: Sequence[int]) -> dict[str, Any]:
    return {"ids": Uuids(ids), "fences": Bigints(fences), "patience": _patience()}


def hold(ids: Sequence[UUID], fences: Sequence[int], along: Along = _nothing) -> Found:
    """Lock those sagas whose call in flight is still ours by its fencing token. Needs a transaction."""
    return _fetch(_HOLD_ALL, _held(ids, fences), along)


def hold_landed(runs: Sequence[Run], fences: Sequence[int], along: Along = _nothing) -> Found:
    """Lock those of `runs` whose call, made with that fence, is still in flight, and answer them. Needs a transaction.

    As long as the fence is the same and the call in flight, nobody has moved the saga: all that may have changed in its
    row are its signals and its lease. So the run that made the call goes on as it is, with its subject, and nothing is
    read again. That is good for one transaction: should it come to nothing, what it has left in memory is worth
    nothing either, and the next time everything is read anew.
    """
    ids = [run.ticket.id for run in runs]
    if not all(run.in_hand for run in runs):
        return hold(ids, fences, along)
    for run in runs:
        run.in_hand = False
    found = _rows(_HOLD_IN_HAND, _held(ids, fences), along)
    by_id = {run.ticket.id: run for run in runs}
    held = []
    for saga_id, pending_signals, _ in found:
        run = by_id[saga_id]
        run.pending_signals, run.inbox, run.stop, run.due_at = pending_signals, [], None, None
        held.append(run)
    return held, (found[-1][-1] if found else None)


def renew(ids: Sequence[UUID], fences: Sequence[int], lease: Any) -> set[UUID]:
    """Prolong the leases that are still ours by `lease` (timedelta) from now; answer whose.

    Waits for nobody, and passes over the rows that somebody else has locked at this moment.
    """
    with bulk.binding_cursor(binary=True) as cursor:
        cursor.execute(_RENEW, [Uuids(ids), Bigints(fences), lease])
        return {row[0] for row in cursor.fetchall()}


def put_off(runs: Sequence[Run], *, until: datetime) -> None:
    """Make `runs` due at `until`, and leave their rows as they are. Needs the transaction that locked them."""
    SagaInstance.objects.filter(pk__in=[run.ticket.id for run in runs]).update(due_at=until)


def read_signals(runs: Sequence[Run]) -> None:
    """Fill the inboxes of `runs` with their pending signals, oldest first."""
    waiting = {run.ticket.id: run for run in runs if run.pending_signals}
    if not waiting:
        return
    rows = (
        SagaSignal.objects.filter(saga_id__in=list(waiting), consumed_at__isnull=True)
        .order_by("id")
        .values_list("saga_id", "id", "name", "signal_id", "payload", "received_at")
    )
    for saga_id, *rest in rows:
        waiting[saga_id].inbox.append(Signal(*rest))


# Before a saga last went back to a wait, the step had other keys.
_FIRST_ASKED = f"""
    SELECT saga_id, min(started_at) FROM {SagaHistory._meta.db_table} AS h
    WHERE saga_id = ANY(%s) AND step = %s AND direction = %s AND status NOT IN ('UNAVAILABLE', 'STANDBY')
      AND id > COALESCE((SELECT max(back.id) FROM {SagaHistory._meta.db_table} AS back
                         WHERE back.saga_id = h.saga_id AND back.status = 'RETURNED'), 0)
    GROUP BY saga_id
"""  # noqa: S608


def first_asked(group: Sequence[Run], step: str) -> dict[UUID, datetime]:
    """When the first attempt at `step` began, of those of `group` that have made one; all go the same direction.

    One that found nobody was none: nothing was sent, so the other side can't have forgotten its key.

    The history knows it, and is asked only for calls that are made again; the attempt of a worker that was just found
    to be lost is not in it yet.
    """
    again = {run.ticket.id: run for run in group if run.attempt}
    if not again:
        return {}
    direction = Direction.COMPENSATING if group[0].undoing else Direction.FORWARD
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_ASKED, [list(again), step, direction])
        begun: dict[UUID, datetime] = dict(cursor.fetchall())
    for saga_id, run in again.items():
        if run.step_started_at is not None:
            begun[saga_id] = min(run.step_started_at, begun.get(saga_id, run.step_started_at))
    return begun


_SAVED = (
    "status", "position", "current_step", "undoing", "undone", "queue", "due_at", "attempt", "forgiven", "fence",
    "in_flight", "step_started_at", "wait_until", "deadline_at", "pending_signals", "context", "cause", "attention",
    "completed_at", "updated_at",
)  # fmt: skip


_HISTORY = (
    "saga",
    "step",
    "direction",
    "status",
    "attempt",
    "message",
    "error",
    "started_at",
    "finished_at",
    "duration_ms",
)


def save(runs: Sequence[Run], *, now: datetime, history: Sequence[tuple[Any, ...]] = ()) -> None:
    """Write back every row of `runs`, and append `history` to theirs, in one statement.

    Needs the transaction that locked them.
    """
    bulk.write(
        SagaInstance,
        "id",
        _SAVED,
        (
            (
                run.ticket.id,
                run.status,
                run.position,
                run.current_step,
                run.undoing,
                run.undone,
                run.queue,
                run.due_at,
                run.attempt,
                run.forgiven,
                run.fence,
                run.in_flight,
                run.step_started_at,
                run.wait_until,
                run.deadline_at,
                run.pending_signals,
                run.ticket.context,
                run.ticket.cause.as_json() if run.ticket.cause else None,
                run.attention,
                run.completed_at,
                now,
            )
            for run in runs
        ),
        beside=bulk.Insertion(SagaHistory, _HISTORY, history),
    )


def save_standby(runs: Sequence[Run]) -> None:
    """Write back who stands by and who no longer does; few do, so `save` does without. To be called before it."""
    bulk.update(
        SagaInstance,
        "id",
        ("standby", "standby_since"),
        [(run.ticket.id, run.standby, run.standby_since) for run in runs],
    )


def save_history(rows: Sequence[tuple[Any, ...]]) -> None:
    """Append finished attempts, in order."""
    bulk.insert(SagaHistory, _HISTORY, rows)


def save_decisions(rows: Sequence[tuple[Any, ...]]) -> None:
    """Append what was decided about sagas: like `save_history`, with who and why at the end of each row."""
    bulk.insert(SagaHistory, (*_HISTORY, "actor", "reason"), rows)


_REDRIVES = f"""
    SELECT one.id, one.attention, (
        SELECT count(*) FROM {SagaHistory._meta.db_table} AS mine
        WHERE mine.saga_id = one.id AND mine.actor = %(actor)s AND mine.step = one.current_step
          AND mine.direction = CASE WHEN one.undoing THEN 'compensating' ELSE 'forward' END
          AND mine.id > COALESCE((
              SELECT max(decided.id) FROM {SagaHistory._meta.db_table} AS decided
              WHERE decided.saga_id = one.id AND decided.actor NOT IN ('', %(actor)s)), 0))
    FROM {_TABLE} AS one WHERE one.id = ANY(%(ids)s)
"""  # noqa: S608


def redrives(parked: Sequence[Run], *, actor: str) -> dict[UUID, tuple[str, int]]:
    """Why each of `parked` is parked, and how often `actor` has let it try again since a person last decided."""
    with connection.cursor() as cursor:
        cursor.execute(_REDRIVES, {"actor": actor, "ids": [run.ticket.id for run in parked]})
        return {saga_id: (attention, driven) for saga_id, attention, driven in cursor.fetchall()}


def save_signals(runs: Sequence[Run], *, now: datetime) -> None:
    """Mark the signals that were dealt with, and count down what is pending."""
    for run in runs:
        run.pending_signals = (
            sum(1 for signal in run.inbox if not signal.disposition) if run.inbox else run.pending_signals
        )
    dealt_with = [(signal.id, now, signal.disposition) for run in runs for signal in run.inbox if signal.disposition]
    bulk.update(SagaSignal, "id", ("consumed_at", "disposition"), dealt_with)
