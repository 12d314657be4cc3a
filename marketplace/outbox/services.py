"""Telling what happened."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from marketplace.kernel.arrays import Documents, Texts, Uuids
from marketplace.kernel.bulk import binding_cursor, json_bytes
from marketplace.kernel.ids import new_ids
from marketplace.outbox import bell, catalog
from marketplace.outbox.models import SHARDS


class Event(NamedTuple):
    """What to tell: a `type` of `topic` (see the catalog), about `subject_id`, in the order of `saga_id`."""

    topic: str
    type: str
    saga_id: UUID
    subject_id: UUID
    data: dict[str, Any]


# The last sequence is looked up after the caller has locked the saga, in a statement of its own snapshot: nobody can
# add to it in between. Should a caller not hold that lock, UNIQUE(saga_id, sequence) refuses the second of the two.
_APPEND: Final = """
WITH given AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        unnest(%b::uuid[]), unnest(%b::text[]), unnest(%b::text[]), unnest(%b::uuid[]), unnest(%b::uuid[]),
        unnest(%b::jsonb[])
    ) WITH ORDINALITY AS g(event_id, topic, type, saga_id, subject_id, data, place)),
before AS MATERIALIZED (
    SELECT saga_id, coalesce(newest.sequence, 0) AS sequence
    FROM (SELECT DISTINCT saga_id FROM given) AS sagas
    LEFT JOIN LATERAL (
        SELECT e.sequence FROM outbox_event AS e WHERE e.saga_id = sagas.saga_id ORDER BY e.sequence DESC LIMIT 1
    ) AS newest ON true),
told AS (
    INSERT INTO outbox_event (event_id, topic, type, saga_id, sequence, subject_id, data, occurred_at)
    SELECT event_id, topic, type, saga_id,
        before.sequence + row_number() OVER (PARTITION BY saga_id ORDER BY place), subject_id, data, %s
    FROM given JOIN before USING (saga_id) ORDER BY place
    RETURNING position, saga_id)
INSERT INTO outbox_unpublished (shard, position)  -- `models.shard_of`, in SQL
SELECT get_byte(uuid_send(saga_id), 15) %% %s::int, position FROM told
"""


def append(events: Sequence[Event], *, now: datetime) -> None:
    """Tell `events`, in the order given, as of `now`: one statement for any number of them.

    Takes part in the caller's transaction, which must hold the lock that orders each saga's events (the saga's row).
    Each event gets an id and the next `sequence` of its saga: 1, 2, 3, without a gap. Raises `UnknownEventType` for
    what the catalog does not hold, and `TransactionManagementError` outside of a transaction.
    """
    if not events:
        return
    topics, types, sagas, subjects, data = zip(*events, strict=True)
    for topic, kind in set(zip(topics, types, strict=True)):
        catalog.check(topic, kind)
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("An event is told in the transaction of the change it tells of.")
    columns = (
        Uuids(new_ids(len(events))),
        Texts(topics),
        Texts(types),
        Uuids(sagas),
        Uuids(subjects),
        Documents(list(map(json_bytes, data))),
    )
    with binding_cursor() as cursor:
        cursor.execute(_APPEND, [*columns, now, SHARDS])
    bell.ring_on_commit()
