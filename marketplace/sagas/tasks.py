"""The Celery tasks that move sagas. They hold no state: PostgreSQL says what is due."""

from typing import Any

from celery import Task, shared_task

from marketplace.sagas import doorbell, selectors, standby


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
