"""The background work around parcels. PostgreSQL says what is due; a task that is lost is missed by nobody."""

import time
from typing import Final

from celery import shared_task

from fulfillment import label_refunds, scanning
from fulfillment.inbox import processing
from marketplace.kernel.clock import database_now

SHIFT_SECONDS: Final = 5.0  # after that, others get a turn
FORGOTTEN_AT_ONCE: Final = 5000  # rows a transaction


@shared_task(name=processing.TASK, ignore_result=True)
def take_in_webhooks() -> int:
    """Look into what webhooks tell, until nothing is left; rung for by the inbox's bell."""
    processing.BELL.answered()
    until, count = time.monotonic() + SHIFT_SECONDS, 0
    while done := processing.process_due():
        count += done
        if time.monotonic() > until:
            processing.BELL.ring()
            break
    return count


@shared_task(name="fulfillment.tasks.look_after", ignore_result=True)
def look_after() -> int:
    """Do what nobody rang for, and what is due again; by Celery beat, every few seconds."""
    return processing.process_due() + scanning.pass_on(now=database_now())


@shared_task(name="fulfillment.tasks.look_at_label_refunds", ignore_result=True)
def look_at_label_refunds() -> int:
    """Ask the carriers what became of the money for labels that were given back; by Celery beat, every minute."""
    return label_refunds.look_due(now=database_now())


@shared_task(name="fulfillment.tasks.forget_webhooks", ignore_result=True)
def forget_webhooks() -> int:
    """Delete webhooks that are done with for a month; by Celery beat, every hour."""
    now, count = database_now(), 0
    while deleted := processing.INBOX.forget(now=now, limit=FORGOTTEN_AT_ONCE):
        count += deleted
    return count
