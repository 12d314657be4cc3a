"""Keeping the mailbox small."""

from typing import Final

from celery import shared_task

from marketplace.kernel.clock import database_now
from marketplace.mail import mailbox

FORGOTTEN_AT_ONCE: Final = 500  # rows a transaction


@shared_task(name="marketplace.mail.tasks.forget", ignore_result=True)
def forget() -> int:
    """Delete collected mails that nobody will look at any more; by Celery beat, every hour."""
    now, count = database_now(), 0
    while deleted := mailbox.forget(now=now, limit=FORGOTTEN_AT_ONCE):
        count += deleted
    return count
