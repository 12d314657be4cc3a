import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.db import transaction

from marketplace.kernel.ids import new_id
from marketplace.outbox.catalog import TYPES_OF_TOPIC
from marketplace.outbox.envelope import CloudEvent
from marketplace.outbox.services import Event, append

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def told(saga_id: UUID, type: str = "ORDER_CREATED", **data: object) -> Event:
    topic = next(topic for topic, types in TYPES_OF_TOPIC.items() if type in types)
    return Event(topic=topic, type=type, saga_id=saga_id, subject_id=saga_id, data=data)


@pytest.fixture
def tell() -> Callable[..., None]:
    """Append events in a transaction of their own."""

    def tell(*events: Event) -> None:
        with transaction.atomic():
            append(events, now=NOON)

    return tell


class Memory:
    """A bus that keeps what it took. Like a real one it may be down; unlike one it can be told to be."""

    def __init__(self) -> None:
        self.took: list[tuple[str, CloudEvent]] = []
        self.failures: list[Exception] = []
        self.closed = False

    def publish(self, events: Sequence[tuple[str, CloudEvent]]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        for topic, event in events:
            self.took.append((topic, json.loads(json.dumps(event))))

    def close(self) -> None:
        self.closed = True

    @property
    def types(self) -> list[str]:
        return [event["type"] for _, event in self.took]

    def sequences(self, saga_id: UUID) -> list[int]:
        return [event["sequence"] for _, event in self.took if event["sagaid"] == str(saga_id)]


@pytest.fixture
def bus() -> Memory:
    return Memory()


@pytest.fixture
def saga() -> UUID:
    return new_id()
