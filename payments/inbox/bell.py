"""How a worker learns that a webhook is there. PostgreSQL holds them; the periodic task finds what nobody rang for."""

from typing import Final

import structlog
from celery import current_app
from django.conf import settings

from marketplace.kernel import redis

log = structlog.get_logger(__name__)

TASK: Final = "payments.tasks.take_in_webhooks"
QUEUE: Final = "payments"
_FLAG: Final = "payments:inbox:bell"
_FLAG_SECONDS: Final = 10  # a ring that nobody answers counts for so long


def ring() -> None:
    """Say that a webhook is there. Never raises; does nothing while an earlier ring is unanswered."""
    raised = redis.available(lambda r: bool(r.set(_FLAG, 1, nx=True, ex=_FLAG_SECONDS)), None)
    broker_is_redis = settings.CELERY_BROKER_URL.startswith(("redis", "rediss"))
    if not raised and (raised is False or broker_is_redis):
        return
    try:
        current_app.send_task(TASK, queue=QUEUE, expires=60, retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001 - each broker has its own; the webhook is on record, and is found
        log.warning("inbox_bell_unreachable", error=type(error).__name__, message=str(error))


def answered() -> None:
    """Let the next ring be heard: whoever calls this looks at what is there afterwards."""
    redis.available(lambda r: r.delete(_FLAG), None)
