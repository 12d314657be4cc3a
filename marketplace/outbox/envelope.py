"""Events as the world reads them: CloudEvents 1.0 in structured JSON mode."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from marketplace.outbox.catalog import SOURCE_OF_TOPIC

_LOW_64_BITS: Final = (1 << 64) - 1

CloudEvent = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One row of the outbox; `position` is its place in the table, `sequence` its place in its saga."""

    position: int
    event_id: UUID
    topic: str
    type: str
    saga_id: UUID
    sequence: int
    subject_id: UUID
    data: dict[str, Any]
    occurred_at: datetime


def cloud_event(event: StoredEvent) -> CloudEvent:
    """Return `event` as a CloudEvent: the same one, id and all, however often it is sent.

    All events of a saga are in one trace (W3C Trace Context): the saga's id is the trace's, the event's the span's.
    """
    return {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": SOURCE_OF_TOPIC[event.topic],
        "type": event.type,
        "subject": str(event.subject_id),
        "time": event.occurred_at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "sagaid": str(event.saga_id),
        "partitionkey": str(event.saga_id),
        "sequence": event.sequence,
        "traceparent": f"00-{event.saga_id.hex}-{event.event_id.int & _LOW_64_BITS:016x}-01",
        "data": event.data,
    }
