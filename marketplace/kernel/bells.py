"""Telling a worker that something is there to do. PostgreSQL says what; whoever is not rung for is found by beat."""

from typing import Final

import structlog
from celery import current_app
from django.conf import settings

from marketplace.kernel import redis

log = structlog.get_logger(__name__)

_FLAG_SECONDS: Final = 10  # a ring that nobody answers counts for so long
_EXPIRES_SECONDS: Final = 60


class Bell:
    """Sends the Celery task `task` to `queue`, once however often it is rung until somebody answers it."""

    def __init__(self, *, task: str, queue: str, flag: str) -> None:
        self._task, self._queue, self._flag = task, queue, flag

    def ring(self) -> None:
        """Say that there is something to do. Never raises; does nothing while an earlier ring is unanswered."""
        raised = redis.available(lambda r: bool(r.set(self._flag, 1, nx=True, ex=_FLAG_SECONDS)), None)
        broker_is_redis = settings.CELERY_BROKER_URL.startswith(("redis", "rediss"))
        if not raised and (raised is False or broker_is_redis):
            return
        try:
            current_app.send_task(
                self._task, queue=self._queue, expires=_EXPIRES_SECONDS, retry=False, ignore_result=True
            )
        except Exception as error:  # noqa: BLE001 - each broker has its own; what there is to do is on record
            log.warning("bell_unreachable", task=self._task, error=type(error).__name__, message=str(error))

    def answered(self) -> None:
        """Let the next ring be heard: whoever calls this looks at what is there afterwards."""
        redis.available(lambda r: r.delete(self._flag), None)
