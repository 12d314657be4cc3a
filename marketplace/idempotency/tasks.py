"""Forgetting."""

from celery import shared_task

from marketplace.idempotency import records
from marketplace.kernel.clock import database_now

_AT_ONCE = 5000  # rows a transaction


@shared_task
def purge() -> int:
    """Delete the records past their time (30 days); return how many were."""
    now, deleted = database_now(), 0
    while count := records.delete_expired(now=now, limit=_AT_ONCE):
        deleted += count
    return deleted
