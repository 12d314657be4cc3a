"""What was told, and how far behind the bus is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from marketplace.kernel import counting
from marketplace.outbox.models import SHARDS, OutboxEvent, Unpublished, shard_of


@dataclass(frozen=True, slots=True)
class EventView:
    """One event, as pages show it."""

    id: UUID
    topic: str
    type: str
    saga_id: UUID
    sequence: int
    subject_id: UUID
    data: dict[str, Any]
    occurred_at: datetime
    published: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many events wait to be published, and for how many seconds the oldest of them has."""

    count: int
    oldest_seconds: float


def events_of(*, saga_id: UUID | None = None, subject_id: UUID | None = None) -> list[EventView]:
    """Return the events of a saga in their order, or of a subject (an order) over all its sagas."""
    if saga_id is not None and subject_id is not None:
        raise TypeError("Ask for the events of a saga or of a subject, not of both.")
    if saga_id is not None:
        events = list(OutboxEvent.objects.filter(saga_id=saga_id).order_by("sequence"))
    elif subject_id is not None:
        events = list(OutboxEvent.objects.filter(subject_id=subject_id).order_by("position"))
    else:
        raise TypeError("Ask for the events of a saga or of a subject.")
    waiting = set(
        Unpublished.objects.filter(
            shard__in={shard_of(event.saga_id) for event in events},
            position__in=[event.position for event in events],
        ).values_list("position", flat=True)
    )
    return [
        EventView(
            id=event.event_id,
            topic=event.topic,
            type=event.type,
            saga_id=event.saga_id,
            sequence=event.sequence,
            subject_id=event.subject_id,
            data=event.data,
            occurred_at=event.occurred_at,
            published=event.position not in waiting,
        )
        for event in events
    ]


_BACKLOG: Final = """
SELECT waiting.count, coalesce(extract(epoch FROM clock_timestamp() - e.occurred_at), 0)::float8
FROM (SELECT coalesce(sum(n.count), 0)::bigint AS count, min(n.oldest) AS oldest
      FROM generate_series(0, %s - 1) AS s (shard) CROSS JOIN LATERAL (
          SELECT count(*) AS count, min(position) AS oldest FROM (
              SELECT position FROM outbox_unpublished WHERE shard = s.shard ORDER BY position LIMIT %s) AS read) AS n
     ) AS waiting LEFT JOIN outbox_event AS e ON e.position = waiting.oldest
"""


def backlog() -> Backlog:
    """Return how far the relays are behind, by the database's clock.

    Of each shard up to `counting.MOST_READ` events are counted.
    """
    with connection.cursor() as cursor:
        cursor.execute(_BACKLOG, [SHARDS, counting.MOST_READ])
        [(count, seconds)] = cursor.fetchall()
    return Backlog(count=count, oldest_seconds=max(seconds, 0.0))
