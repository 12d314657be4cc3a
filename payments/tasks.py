"""The background work around payments. PostgreSQL says what is due; a task that is lost is missed by nobody."""

import time
from typing import Final

from celery import shared_task

from marketplace.kernel.clock import database_now
from payments import news, watch
from payments.inbox import bell, processing

SHIFT_SECONDS: Final = 5.0  # after that, others get a turn
FORGOTTEN_AT_ONCE: Final = 5000  # rows a transaction


@shared_task(name=bell.TASK, ignore_result=True)
def take_in_webhooks() -> int:
    """Look into what webhooks tell, until nothing is left; rung for by the inbox's bell."""
    bell.answered()
    until, count = time.monotonic() + SHIFT_SECONDS, 0
    while done := processing.process_due():
        count += done
        if time.monotonic() > until:
            bell.ring()
            break
    return count


@shared_task(name="payments.tasks.forget_webhooks", ignore_result=True)
def forget_webhooks() -> int:
    """Delete webhooks that are done with for a month; by Celery beat, every hour."""
    now, count = database_now(), 0
    while deleted := processing.forget(now=now, limit=FORGOTTEN_AT_ONCE):
        count += deleted
    return count


@shared_task(name="payments.tasks.look_after", ignore_result=True)
def look_after() -> int:
    """Do what nobody rang for, what is due again, and keep watch; by Celery beat, every few seconds."""
    count = processing.process_due() + watch.look_due(now=database_now())
    return count + news.pass_on(now=database_now())
