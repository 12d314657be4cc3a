"""Reading sagas: for pages, the API, operations and the auditor."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from marketplace.kernel import counting
from marketplace.kernel.clock import database_now
from marketplace.sagas import archive, standby
from marketplace.sagas.definition import find
from marketplace.sagas.errors import NoSuchSaga
from marketplace.sagas.models import TERMINAL, Direction, SagaInstance, SagaSignal, Status
from marketplace.sagas.standing import undos_done, undos_left
from marketplace.sagas.ticket import Cause


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt at a step, or a person's decision there: then `actor` is who and `reason` why (not for customers).

    `status` is a `Result`, or `STARTED` / `WAITING` / `STANDING_BY` for what is going on now.
    """

    step: str
    direction: str
    status: str
    attempt: int
    message: str
    timestamp: datetime
    duration_ms: int | None
    actor: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """One saga from its start to where it is now."""

    id: UUID
    name: str
    subject_id: UUID
    status: str
    current_step: str
    started_at: datetime
    completed_at: datetime | None
    attention: str
    cause_code: str
    steps: tuple[str, ...]
    history: tuple[Entry, ...]


def story(saga_id: UUID) -> Story:
    """Return the story of one saga, an archived one too, what is going on now included; raises `NoSuchSaga`."""
    row = archive.row_of(saga_id)
    if row is None:
        raise NoSuchSaga
    entries = [
        Entry(h.step, h.direction, h.status, h.attempt, h.message, h.finished_at, h.duration_ms, h.actor, h.reason)
        for h in archive.history_of(row)
    ]
    now_going_on = _going_on(row)
    return Story(
        id=row.id,
        name=row.name,
        subject_id=row.subject_id,
        status=row.status,
        current_step=row.current_step,
        started_at=row.started_at,
        completed_at=row.completed_at,
        attention=row.attention,
        cause_code=(row.cause or {}).get("code", ""),
        steps=tuple(row.steps),
        history=(*entries, *now_going_on),
    )


def _going_on(row: SagaInstance) -> list[Entry]:
    """A call in flight, a wait or a standby has no row of history before it ends; the saga's own row tells of it."""
    if row.standby and row.standby_since is not None:
        direction = Direction.COMPENSATING if row.undoing else Direction.FORWARD
        why = standby.in_words(row.standby)
        return [Entry(row.current_step, direction, "STANDING_BY", max(row.attempt, 1), why, row.standby_since, None)]
    if row.step_started_at is None or not (row.in_flight or row.wait_until) or row.status == Status.NEEDS_ATTENTION:
        return []
    status = "STARTED" if row.in_flight else "WAITING"
    direction = Direction.COMPENSATING if row.undoing else Direction.FORWARD
    return [Entry(row.current_step, direction, status, max(row.attempt, 1), "", row.step_started_at, None)]


@dataclass(frozen=True, slots=True)
class Remains:
    """What of a saga is done and what remains, in the order of doing; of one that is being undone, of undoing.

    `doubtful` is the step that was tried and may have happened. `redrive_at` is when a parked saga is tried again by
    itself, if it is.
    """

    undoing: bool
    done: tuple[str, ...]
    remaining: tuple[str, ...]
    doubtful: str = ""
    redrive_at: datetime | None = None


def remains(saga_id: UUID) -> Remains:
    """Return what is done of one saga and what remains; raises `NoSuchSaga`.

    Where its definition is gone, nobody can say which steps have an undo: then all it has come past remain.
    """
    row = archive.row_of(saga_id)
    if row is None:
        raise NoSuchSaga
    redrive_at = row.due_at if row.status == Status.NEEDS_ATTENTION else None
    if not row.undoing:
        over = row.status in TERMINAL
        done, left = tuple(row.steps[: row.position]), tuple(row.steps[row.position :])
        return Remains(False, done, left, row.current_step if row.attempt and not over else "", redrive_at)
    definition = find(row.name, row.version)
    if definition is None:
        return Remains(True, (), tuple(reversed(row.steps[: row.position + 1])), redrive_at=redrive_at)
    undone = tuple(undos_done(definition, row.position, row.undone))
    left = tuple(undos_left(definition, row.position, Cause.of_json(row.cause) if row.cause else None))
    return Remains(True, undone, left, row.current_step if row.attempt else "", redrive_at)


def statuses(subject_ids: Sequence[UUID], *, name: str) -> dict[UUID, str]:
    """The status of the saga `name` of each of these subjects."""
    rows = SagaInstance.objects.filter(name=name, subject_id__in=list(subject_ids))
    found = dict(rows.values_list("subject_id", "status"))
    archived = [subject_id for subject_id in subject_ids if subject_id not in found]
    return found | (archive.statuses(archived, name=name) if archived else {})


def ids(subject_ids: Sequence[UUID], *, name: str) -> dict[UUID, UUID]:
    """The id of the saga `name` of each of these subjects, archived ones aside."""
    rows = SagaInstance.objects.filter(name=name, subject_id__in=list(subject_ids))
    return dict(rows.values_list("subject_id", "id"))


def undecided(subject_ids: Sequence[UUID], *, name: str) -> set[UUID]:
    """Which of these subjects have a saga `name` about which nobody has decided yet: parked, or not begun."""
    rows = SagaInstance.objects.filter(name=name, subject_id__in=list(subject_ids), acknowledged_at__isnull=True)
    waiting = rows.filter(status__in=[Status.STARTED, Status.NEEDS_ATTENTION])
    return set(waiting.values_list("subject_id", flat=True))


def parked_at(saga_ids: Sequence[UUID], step: str) -> set[UUID]:
    """Which of these sagas need a person at that step."""
    rows = SagaInstance.objects.filter(pk__in=list(saga_ids), status=Status.NEEDS_ATTENTION, current_step=step)
    return set(rows.values_list("id", flat=True))


def signalled(saga_ids: Sequence[UUID], name: str) -> set[UUID]:
    """Which of these sagas, archived ones aside, were ever sent the signal `name`, whatever became of it."""
    sent = SagaSignal.objects.filter(saga_id__in=list(saga_ids), name=name)
    return set(sent.values_list("saga_id", flat=True))


def live_subjects(subject_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these subjects have a saga that is not over."""
    rows = SagaInstance.objects.filter(subject_id__in=list(subject_ids)).exclude(status__in=TERMINAL)
    return set(rows.values_list("subject_id", flat=True))


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which sagas are meant: all that fit everything that is given.

    `older_than`: nothing has happened to it for so long. `reason`: words of why it needs attention, in any case.
    `standby`: words of what it stands by for, such as `circuit:sandbox`, or `:` for whatever it is.
    """

    status: str = ""
    name: str = ""
    step: str = ""
    older_than: timedelta | None = None
    reason: str = ""
    standby: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """One saga in a list."""

    id: UUID
    name: str
    version: int
    subject_id: UUID
    status: str
    step: str
    undoing: bool
    attempt: int
    attention: str
    standby: str
    acknowledged_at: datetime | None
    started_at: datetime
    updated_at: datetime


def matching(criteria: Criteria, *, limit: int | None = None) -> list[Summary]:
    """The sagas that fit, those first to which nothing has happened for longest; by the database's clock."""
    rows = SagaInstance.objects.order_by("updated_at", "id")
    if criteria.status:
        rows = rows.filter(status=criteria.status)
    if criteria.name:
        rows = rows.filter(name=criteria.name)
    if criteria.step:
        rows = rows.filter(current_step=criteria.step)
    if criteria.older_than is not None:
        rows = rows.filter(updated_at__lt=database_now() - criteria.older_than)
    if criteria.reason:
        rows = rows.filter(attention__icontains=criteria.reason)
    if criteria.standby:
        rows = rows.filter(standby__icontains=criteria.standby).exclude(standby="")
    return [
        Summary(
            id=row.id,
            name=row.name,
            version=row.version,
            subject_id=row.subject_id,
            status=row.status,
            step=row.current_step,
            undoing=row.undoing,
            attempt=row.attempt,
            attention=row.attention,
            standby=row.standby,
            acknowledged_at=row.acknowledged_at,
            started_at=row.started_at,
            updated_at=row.updated_at,
        )
        for row in rows[:limit]
    ]


# A "loose index scan": one look into the index per queue, however many sagas are due, or wait for a time to come.
_KNOWN = """
    WITH RECURSIVE known AS (
        (SELECT queue FROM sagas_sagainstance WHERE due_at IS NOT NULL ORDER BY queue LIMIT 1)
        UNION ALL
        SELECT (SELECT queue FROM sagas_sagainstance
                WHERE due_at IS NOT NULL AND queue > known.queue ORDER BY queue LIMIT 1)
        FROM known WHERE known.queue IS NOT NULL)
    SELECT queue FROM known WHERE queue IS NOT NULL
"""
_WITH_DUE = """
    SELECT q.queue FROM unnest(%s::text[]) AS q (queue) WHERE EXISTS (
        SELECT 1 FROM sagas_sagainstance AS one WHERE one.queue = q.queue AND due_at <= statement_timestamp())
    ORDER BY q.queue
"""
_DUE = """
    SELECT coalesce(sum(n.count), 0)::bigint,
           coalesce(extract(epoch FROM statement_timestamp() - min(n.oldest)), 0)::float8
    FROM unnest(%s::text[]) AS q (queue) CROSS JOIN LATERAL (
        SELECT count(*) AS count, min(due_at) AS oldest FROM (
            SELECT due_at FROM sagas_sagainstance WHERE queue = q.queue AND due_at <= statement_timestamp()
            ORDER BY due_at LIMIT %s) AS read) AS n
"""


def known_queues() -> list[str]:
    """The queues in which something is due, or will be, by name."""
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN)
        return [row[0] for row in cursor.fetchall()]


def queues_with_due_sagas() -> list[str]:
    """The queues in which something is due now, by name."""
    with connection.cursor() as cursor:
        cursor.execute(_WITH_DUE, [known_queues()])
        return [row[0] for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Due:
    """How many sagas are due and not taken by a worker, and for how long the first of them is."""

    count: int
    oldest_seconds: float


def due() -> Due:
    """Say what waits for a worker; of each queue up to `counting.MOST_READ` are counted."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [known_queues(), counting.MOST_READ])
        [(count, seconds)] = cursor.fetchall()
    return Due(count, seconds)
