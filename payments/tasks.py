"""The background work around payments. PostgreSQL says what is due; a task that is lost is missed by nobody."""

import time
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from celery import shared_task

from marketplace.kernel.clock import database_now
from payments import checkout, news, reconciliation, watch
from payments.gateways.base import GatewayUnavailable
from payments.inbox import bell, processing

log = structlog.get_logger(__name__)

SHIFT_SECONDS: Final = 5.0  # after that, others get a turn
LOOKED_BACK: Final = timedelta(days=3)  # by each comparison; a longer one is `manage.py reconcile --days 30`
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


@shared_task(name=checkout.TASK, ignore_result=True)
def look_at(payment_id: str) -> None:
    """Look at a payment whose buyer has just been at the provider's page; the webhook looks again."""
    try:
        checkout.look_at(UUID(payment_id))
    except GatewayUnavailable as error:
        log.warning("payment_not_seen", payment=payment_id, error=str(error))


@shared_task(name="payments.tasks.reconcile", ignore_result=True)
def reconcile() -> int:
    """Compare the last days with the gateway's own list; by Celery beat, every hour. Return how many cases are open."""
    found = reconciliation.reconcile(since=database_now() - LOOKED_BACK)
    if found.open:
        log.error("reconciliation_cases_open", gateway=found.gateway, open=found.open, opened=found.opened)
    return found.open


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
