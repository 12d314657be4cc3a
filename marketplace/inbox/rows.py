"""The statements on a table of webhooks: claimed under a lease, done, tried again after growing pauses, given up.

A worker's death only delays: what it had claimed is due again when its lease is over. What can't be done now is tried
again for a day, and then left to a person.
"""

from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

import structlog
from django.conf import settings
from django.db import models, transaction
from django.db.models import F, QuerySet

from marketplace.kernel.clock import database_now

log = structlog.get_logger(__name__)

FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(minutes=15)
PATIENCE: Final = timedelta(hours=24)
KEPT: Final = timedelta(days=30)

Event = TypeVar("Event", bound=models.Model)


def pause_after(tries: int) -> timedelta:
    """How long to wait after so many tries in vain, from 1: longer each time, up to `LONGEST_PAUSE`."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(tries - 1, 20)
    return min(doubled, LONGEST_PAUSE)


class Inbox(Generic[Event]):
    """The webhooks in the table of `model`.

    It has the columns event_id, status (RECEIVED, PARKED, DONE or FAILED), due_at (empty once it is over), tries,
    outcome, given_up_at, processed_at and replayed_by.
    """

    def __init__(self, model: type[Event]) -> None:
        self._model = model

    @property
    def _rows(self) -> "QuerySet[Event]":
        return self._model._default_manager.all()

    def claim(self, limit: int) -> list[Event]:
        """Take what is due, the oldest first, for WEBHOOK_LEASE_SECONDS. Its own transaction."""
        with transaction.atomic():
            now = database_now()
            due = self._rows.select_for_update(skip_locked=True).filter(due_at__lte=now)
            events = list(due.order_by("due_at", "id")[:limit])
            ids = [event.pk for event in events]
            until = now + timedelta(seconds=settings.WEBHOOK_LEASE_SECONDS)
            self._rows.filter(pk__in=ids).update(due_at=until, tries=F("tries") + 1)
        for event in events:
            held = _any(event)
            held.due_at, held.tries = until, held.tries + 1
        return events

    def done(self, event: Event, outcome: str, *, now: datetime) -> None:
        """It is dealt with; `outcome` says what came of it."""
        self._ours(event).update(status="DONE", due_at=None, processed_at=now, outcome=outcome)

    def again(self, event: Event, status: str, why: str) -> None:
        """Try it again later, as RECEIVED or PARKED; give it up after a day, for a person to see."""
        now, known = database_now(), _any(event)
        pause = pause_after(known.tries)
        if now + pause > known.given_up_at:
            self._ours(event).update(status="FAILED", due_at=None, processed_at=now, outcome=why)
            log.error("webhook_given_up", table=self._model._meta.label, webhook=known.event_id, why=why)
        else:
            self._ours(event).update(status=status, due_at=now + pause, outcome=why)

    def replay(self, webhook_id: int, *, actor: str, now: datetime) -> bool:
        """Have it looked into again, whatever came of it before; False where there is none of that id."""
        anew = {"status": "RECEIVED", "due_at": now, "given_up_at": now + PATIENCE, "tries": 0, "outcome": ""}
        return bool(self._rows.filter(pk=webhook_id).update(**anew, replayed_by=actor))

    def forget(self, *, now: datetime, limit: int) -> int:
        """Delete webhooks that are done with for `KEPT`, the oldest first, at most `limit`; return how many.

        One that comes again after that is a new one, and changes nothing.
        """
        old = self._rows.filter(status="DONE", processed_at__lt=now - KEPT).order_by("id")
        deleted, _ = self._rows.filter(pk__in=list(old.values_list("id", flat=True)[:limit])).delete()
        return deleted

    def _ours(self, event: Event) -> "QuerySet[Event]":
        """The webhook, unless somebody else has taken it over since (our lease ran out) or it was replayed."""
        return self._rows.filter(pk=event.pk, due_at=_any(event).due_at)


def _any(event: models.Model) -> Any:
    return event  # which columns it has, the class says
