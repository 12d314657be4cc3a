"""The Celery tasks that move sagas. They hold no state: PostgreSQL says what is due."""

from datetime import timedelta
from typing import Any

from celery import Task, shared_task
from django.conf import settings

from marketplace.sagas import archive, doorbell, selectors, standby

ARCHIVED_AT_A_TIME = 50_000  # so that the worker is not away for long; the next hour goes on


def served_queues(task: "Task[Any, Any]") -> list[str]:
    """The queues that this worker consumes, as it was told by `-Q`."""
    return list(task.app.amqp.queues.consume_from)


@shared_task(bind=True, name=doorbell.STEP_TASK, ignore_result=True)
def step(self: "Task[Any, Any]", queue: str, slot: int = 0) -> int:
    """Answer the doorbell: move everything due in the queues of this worker, not only in the one that rang."""
    return doorbell.answer(queue, slot, served_queues(self))


@shared_task(name="marketplace.sagas.tasks.sweep", ignore_result=True)
def sweep() -> int:
    """Ring for every queue in which something is due: timers, retries, probes, dead workers' leases, lost messages."""
    standby.send_probes()
    queues = selectors.queues_with_due_sagas()
    for queue in queues:
        doorbell.ring_anyway(queue)
    return len(queues)


@shared_task(name="marketplace.sagas.tasks.archive_finished", ignore_result=True)
def archive_finished() -> int:
    """Archive what ended more than SAGA_ARCHIVE_AFTER_DAYS ago; nothing where that is 0."""
    days = settings.SAGA_ARCHIVE_AFTER_DAYS
    return archive.archive(older_than=timedelta(days=days), limit=ARCHIVED_AT_A_TIME) if days else 0
