"""Celery tasks of this project that want to hear of events.

    @subscribe("ORDER_CONFIRMED")
    @shared_task(queue="orders")
    def thank(event: dict[str, Any]) -> None: ...

The task gets the CloudEvent. It is called at least once for each event and must not mind a second time: `event["id"]`
stays the same. Celery keeps no order; where that matters, `event["sequence"]` tells.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from celery import current_app
from kombu.exceptions import OperationalError

from marketplace.outbox.catalog import TYPES, UnknownEventType
from marketplace.outbox.envelope import CloudEvent
from marketplace.outbox.errors import BusUnavailable

TaskT = TypeVar("TaskT")

_tasks_of_type: Final[defaultdict[str, list[Any]]] = defaultdict(list)


def subscribe(*types: str) -> Callable[[TaskT], TaskT]:
    """Decorate a Celery task: it is sent every event of `types`. Raises `UnknownEventType` for a type there is not."""
    for event_type in types:
        if event_type not in TYPES:
            raise UnknownEventType(f"There are no events of the type {event_type!r}.")

    def register(task: TaskT) -> TaskT:
        for event_type in types:
            _tasks_of_type[event_type].append(task)
        return task

    return register


class Subscribers:
    """A transport whose bus is the Celery broker."""

    def __init__(self) -> None:
        current_app.loader.import_default_modules()  # tasks register themselves where they are defined

    def publish(self, events: Sequence[tuple[str, CloudEvent]]) -> None:
        """Send each event to the tasks that subscribed to its type; raises `BusUnavailable` when the broker is gone."""
        wanted = [(task, event) for _, event in events for task in _tasks_of_type.get(event["type"], ())]
        if not wanted:
            return
        try:
            with current_app.producer_or_acquire() as producer:
                for task, event in wanted:
                    task.apply_async(
                        args=[event],
                        task_id=f"{event['id']}:{task.name}",
                        producer=producer,
                        retry=False,  # the relay is who tries again
                        ignore_result=True,
                    )
        except OperationalError as error:
            raise BusUnavailable(str(error)) from error

    def close(self) -> None:
        """Leave the pool of connections to Celery."""
