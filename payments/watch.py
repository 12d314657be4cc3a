"""Watching keys whose authorization may yet land, although its payment is over.

The answer to an authorization was lost, and it was undone: the gateway knew of nothing to void. If the request was only
slow, it lands after the void. Some gateways refuse it then; not all can. So until the gateway forgets the key, and once
after that, the charge is looked for by our key, less and less often. What is found is news like any other: those who
listen may want the late money, and where nobody does it is given back (`payments.news`).
"""

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import transaction

from payments import services
from payments.errors import RefundUnderWay, SightingOutdated
from payments.gateways.base import ChargeStatus
from payments.models import WatchedKey
from payments.observations import Sighting, sights

log = structlog.get_logger(__name__)

AT_ONCE: Final = 20
FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(hours=1)


def look_due(*, now: datetime, limit: int = AT_ONCE) -> int:
    """Look for the charges of the watched keys that are due, the oldest due first; return how many were looked for.

    To be called outside of any transaction: it asks gateways.
    """
    watched = _claim(now, limit)
    seen = sights([one.payment_id for one in watched])
    for one in watched:
        sighting = seen[one.payment_id]
        if isinstance(sighting, Exception):  # the gateway does not answer; its time comes again
            log.warning("watched_key_not_seen", payment=str(one.payment_id), error=str(sighting))
        else:
            _take_in(one, sighting, now=now)
    return len(watched)


def _claim(now: datetime, limit: int) -> list[WatchedKey]:
    """Take what is due, and say when its next time is: also if we die now."""
    with transaction.atomic():
        due = WatchedKey.objects.select_for_update(skip_locked=True).filter(due_at__lte=now)
        watched = list(due.order_by("due_at")[:limit])
        for one in watched:
            after_pause = now + min(FIRST_PAUSE * 2 ** min(one.looks, 20), LONGEST_PAUSE)
            one.looks += 1
            one.due_at = after_pause if now >= one.until else max(now + FIRST_PAUSE, min(after_pause, one.until))
        WatchedKey.objects.bulk_update(watched, ["looks", "due_at"])
    return watched


def _take_in(one: WatchedKey, sighting: Sighting, *, now: datetime) -> None:
    charge = sighting.charge
    undecided = charge is None or charge.status is ChargeStatus.PENDING
    try:
        with transaction.atomic():
            event_id = f"watch:{one.payment_id}:{one.looks}"
            occurred_at = charge.created_at if charge is not None else now
            observed = services.observe(sighting, event_id=event_id, occurred_at=occurred_at, now=now)
            if not undecided or now >= one.until:  # one charge a key: there will be no other
                WatchedKey.objects.filter(pk=one.pk).delete()
    except (SightingOutdated, RefundUnderWay):
        return  # it moves; its time comes again
    if observed is not None:
        log.warning("late_money", payment=str(one.payment_id), kind=observed.kind, status=observed.payment.status)
