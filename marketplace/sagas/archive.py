"""Finished sagas, moved out of the hot tables so that these stay small; found again whenever somebody asks.

One archived saga is one row: its own row, its history and its signals, as JSON. A saga is always in exactly one place,
for it moves in one statement; an archiving that is interrupted has moved whole batches, and the next one goes on.
Stories are told of archived sagas as of others. A signal that comes for one after all brings it back first, so late
news is answered by the definition's rule as ever. (docs/adr/0005)
"""

from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection, models, transaction

from marketplace.kernel import bulk
from marketplace.sagas.models import TERMINAL, ArchivedSaga, SagaHistory, SagaInstance, SagaSignal

BATCH = 500  # sagas moved in one transaction

# The oldest first, off the index by the time they were started: whoever has ended before then was started before then.
_MOVE = """
    WITH old AS MATERIALIZED (
        SELECT id FROM sagas_sagainstance
        WHERE started_at < clock_timestamp() - %(age)s AND completed_at < clock_timestamp() - %(age)s
          AND status = ANY(%(terminal)s)
        ORDER BY started_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED),
    shelved AS (
        INSERT INTO sagas_archivedsaga
            (id, name, version, subject_id, status, started_at, completed_at, row, history, signals)
        SELECT s.id, s.name, s.version, s.subject_id, s.status, s.started_at, s.completed_at, to_jsonb(s),
               COALESCE((SELECT jsonb_agg(to_jsonb(h) ORDER BY h.id) FROM sagas_sagahistory AS h
                         WHERE h.saga_id = s.id), '[]'),
               COALESCE((SELECT jsonb_agg(to_jsonb(g) ORDER BY g.id) FROM sagas_sagasignal AS g
                         WHERE g.saga_id = s.id), '[]')
        FROM old JOIN sagas_sagainstance AS s ON s.id = old.id),
    without_history AS (DELETE FROM sagas_sagahistory AS h USING old WHERE h.saga_id = old.id),
    without_signals AS (DELETE FROM sagas_sagasignal AS g USING old WHERE g.saga_id = old.id)
    DELETE FROM sagas_sagainstance AS s USING old WHERE s.id = old.id
"""
# Columns that have come since it was archived get their defaults.
_BRING_BACK = """
    WITH found AS MATERIALIZED (DELETE FROM sagas_archivedsaga WHERE id = %(saga)s RETURNING row, history, signals),
    instance AS (
        INSERT INTO sagas_sagainstance
        SELECT (jsonb_populate_record(NULL::sagas_sagainstance, %(instance)s::jsonb || row)).* FROM found
        RETURNING id),
    history AS (
        INSERT INTO sagas_sagahistory
        SELECT (jsonb_populate_record(NULL::sagas_sagahistory, %(history)s::jsonb || one)).*
        FROM found CROSS JOIN jsonb_array_elements(history) AS one),
    signals AS (
        INSERT INTO sagas_sagasignal
        SELECT (jsonb_populate_record(NULL::sagas_sagasignal, %(signals)s::jsonb || one)).*
        FROM found CROSS JOIN jsonb_array_elements(signals) AS one)
    SELECT count(*) FROM instance
"""


def archive(*, older_than: timedelta, batch: int = BATCH, limit: int | None = None) -> int:
    """Move the sagas that ended longer than `older_than` ago, at most `limit` of them; return how many.

    Batch after batch, each in a transaction of its own. Several may do it at once. Locks only finished sagas.
    """
    moved = 0
    while limit is None or moved < limit:
        size = batch if limit is None else min(batch, limit - moved)
        with transaction.atomic():
            count = _move(older_than, size)
        moved += count
        if count < size:
            break
    return moved


def _move(age: timedelta, batch: int) -> int:
    parameters: dict[str, Any] = {"age": age, "terminal": sorted(TERMINAL), "batch": max(1, batch)}
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, parameters)
        return int(cursor.rowcount)


def bring_back(saga_id: UUID) -> bool:
    """Put an archived saga back into the hot tables, as it was; answer whether there was one. Needs a transaction.

    Of several who want it back at once one does it, the others wait for that and find it back.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _BRING_BACK,
            {
                "saga": saga_id,
                "instance": _defaults(SagaInstance),
                "history": _defaults(SagaHistory),
                "signals": _defaults(SagaSignal),
            },
        )
        found = cursor.fetchone()[0]
    return bool(found) or SagaInstance.objects.filter(pk=saga_id).exists()


@cache
def _defaults(model: type[models.Model]) -> str:
    """What a row of `model` has where nothing is said, as JSON by column."""
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    plain = {field.column: "" for field in fields if field.has_db_default() and isinstance(field, models.CharField)}
    plain |= {field.column: "" for field in fields if field.has_db_default() and isinstance(field, models.TextField)}
    numbers = (models.IntegerField, models.BooleanField)
    zeros = {field.column: 0 for field in fields if field.has_db_default() and isinstance(field, numbers)}
    given = {field.column: field.get_default() for field in fields if field.has_default()}
    return bulk.to_json({**plain, **zeros, **given})


# --- reading ----------------------------------------------------------------------------------------------------------

_ROW = """
    SELECT (jsonb_populate_record(NULL::sagas_sagainstance, %s::jsonb || row)).*, true AS archived
    FROM sagas_archivedsaga WHERE id = %s
"""
_HISTORY = """
    SELECT (jsonb_populate_record(NULL::sagas_sagahistory, %s::jsonb || one)).*
    FROM sagas_archivedsaga CROSS JOIN jsonb_array_elements(history) AS one WHERE sagas_archivedsaga.id = %s
    ORDER BY id
"""
_SIGNALS = """
    SELECT (jsonb_populate_record(NULL::sagas_sagasignal, %s::jsonb || one)).*
    FROM sagas_archivedsaga CROSS JOIN jsonb_array_elements(signals) AS one WHERE sagas_archivedsaga.id = %s
    ORDER BY id
"""


def row_of(saga_id: UUID) -> SagaInstance | None:
    """A saga's row, wherever it is; not to be saved. None if there is no such saga."""
    row = SagaInstance.objects.filter(pk=saga_id).first()
    return row or next(iter(SagaInstance.objects.raw(_ROW, [_defaults(SagaInstance), saga_id])), None)


def is_archived(row: SagaInstance) -> bool:
    """Whether `row_of` found it in the archive."""
    return getattr(row, "archived", False)


def history_of(row: SagaInstance) -> list[SagaHistory]:
    """The history of a saga that `row_of` has found, in order."""
    if is_archived(row):
        return list(SagaHistory.objects.raw(_HISTORY, [_defaults(SagaHistory), row.pk]))
    return list(row.history.order_by("id"))


def signals_of(row: SagaInstance) -> list[SagaSignal]:
    """The signals of a saga that `row_of` has found, in order."""
    if is_archived(row):
        return list(SagaSignal.objects.raw(_SIGNALS, [_defaults(SagaSignal), row.pk]))
    return list(row.signals.order_by("id"))


def statuses(subject_ids: list[UUID], *, name: str) -> dict[UUID, str]:
    """The status of the archived saga `name` of each of these subjects that has one."""
    rows = ArchivedSaga.objects.filter(name=name, subject_id__in=subject_ids)
    return dict(rows.values_list("subject_id", "status"))


def id_of(subject_id: UUID, *, name: str) -> UUID | None:
    """The id of the archived saga `name` of this subject, if there is one."""
    return ArchivedSaga.objects.filter(name=name, subject_id=subject_id).values_list("id", flat=True).first()
