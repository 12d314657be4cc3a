"""Looking into webhooks: what does the gateway really believe, and what does that change for the payment?

Claimed under a lease, so that a worker's death only delays; asked outside of any transaction, several charges at once;
taken in under the payment's lock, together with the mark that the webhook is done. What can't be done now is tried
again after growing pauses, for a day: the gateway does not answer, a refund of ours is under way, or nobody here knows
the charge (it may be of another shop with the same account).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F, Q, QuerySet

from marketplace.kernel.clock import database_now
from payments import news, services
from payments.errors import RefundUnderWay, SightingOutdated
from payments.gateways.base import GatewayUnavailable
from payments.inbox import bell
from payments.inbox.errors import UnknownEvent
from payments.models import Payment, WebhookEvent
from payments.observations import Observed, Sighting, sights
from payments.states import WebhookStatus

log = structlog.get_logger(__name__)

AT_ONCE: Final = 50
LEASE: Final = timedelta(minutes=2)  # longer than a batch can take: each call has its time-out
FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(minutes=15)
PATIENCE: Final = timedelta(hours=24)
KEPT: Final = timedelta(days=30)
LOOKS: Final = 3  # at a payment that changes while it is looked at


def process_due(*, limit: int = AT_ONCE) -> int:
    """Look into the webhooks that are due, the oldest first, and pass on what came of them; return how many.

    To be called outside of any transaction: it asks gateways.
    """
    claimed = _claim(limit)
    by_payment = _by_payment(claimed)
    seen = sights([payment_id for payment_id in by_payment if payment_id is not None])
    for payment_id, events in by_payment.items():
        for event in events:
            _look_into(event, payment_id, seen)
    for payment_id in seen:
        news.pass_on(now=database_now(), payment_id=payment_id)
    return len(claimed)


def replay(webhook_id: int, *, actor: str, now: datetime) -> None:
    """Have a webhook looked into again, whatever came of it before. Raises `UnknownEvent`."""
    known = WebhookEvent.objects.filter(pk=webhook_id).update(
        status=WebhookStatus.RECEIVED, due_at=now, given_up_at=now + PATIENCE, tries=0, outcome="", replayed_by=actor
    )
    if not known:
        raise UnknownEvent(id=webhook_id)
    bell.ring()


def forget(*, now: datetime, limit: int) -> int:
    """Delete webhooks that are done with for `KEPT`, the oldest first, at most `limit`; return how many.

    What they changed stays on record, as news. One that comes again after that is a new one, and changes nothing.
    """
    old = WebhookEvent.objects.filter(status=WebhookStatus.DONE, processed_at__lt=now - KEPT).order_by("id")
    deleted, _ = WebhookEvent.objects.filter(pk__in=list(old.values_list("id", flat=True)[:limit])).delete()
    return deleted


def _claim(limit: int) -> list[WebhookEvent]:
    """Take what is due, for the time of a lease."""
    with transaction.atomic():
        now = database_now()
        due = WebhookEvent.objects.select_for_update(skip_locked=True).filter(due_at__lte=now)
        events = list(due.order_by("due_at", "id")[:limit])
        ids = [event.id for event in events]
        WebhookEvent.objects.filter(pk__in=ids).update(due_at=now + LEASE, tries=F("tries") + 1)
    for event in events:
        event.tries += 1
    return events


def _by_payment(events: Sequence[WebhookEvent]) -> dict[UUID | None, list[WebhookEvent]]:
    """Group webhooks by the payment that they are about; None for those that nobody knows. One query."""
    keys = {event.authorization_key for event in events} - {""}
    references = {event.reference for event in events} - {""}
    rows = Payment.objects.filter(Q(authorization_key__in=keys) | Q(gateway_reference__in=references))
    by_key: dict[tuple[str, str], UUID] = {}
    by_reference: dict[tuple[str, str], UUID] = {}
    for payment_id, gateway, key, reference in rows.values_list(
        "id", "gateway", "authorization_key", "gateway_reference"
    ):
        by_key[gateway, key] = by_reference[gateway, reference] = payment_id
    grouped: dict[UUID | None, list[WebhookEvent]] = {}
    for event in events:
        found = by_key.get((event.gateway, event.authorization_key)) if event.authorization_key else None
        if found is None and event.reference:
            found = by_reference.get((event.gateway, event.reference))
        grouped.setdefault(found, []).append(event)
    return grouped


def _look_into(event: WebhookEvent, payment_id: UUID | None, seen: dict[UUID, Sighting | Exception]) -> None:
    """Deal with one webhook; what goes wrong is on record with it, and stops no other."""
    if payment_id is None:
        _again(event, WebhookStatus.PARKED, "Nobody here knows this charge.")
        return
    try:
        observed = _take_in(event, payment_id, seen)
    except (SightingOutdated, RefundUnderWay, GatewayUnavailable) as busy:
        _again(event, WebhookStatus.RECEIVED, busy.message)
    except Exception as error:
        log.exception("webhook_failed", gateway=event.gateway, webhook=event.event_id)
        _again(event, WebhookStatus.RECEIVED, f"{type(error).__name__}: {error}")
    else:
        log.info("webhook_done", gateway=event.gateway, kind=event.kind, news=observed.kind if observed else "")


def _take_in(event: WebhookEvent, payment_id: UUID, seen: dict[UUID, Sighting | Exception]) -> Observed | None:
    for _ in range(LOOKS):
        sighting = seen[payment_id]
        if isinstance(sighting, Exception):
            raise sighting
        try:
            with transaction.atomic():
                now = database_now()
                observed = services.observe(sighting, event_id=event.event_id, occurred_at=event.occurred_at, now=now)
                _done(event, "No news." if observed is None else f"The payment is {observed.payment.status}.", now=now)
        except SightingOutdated:
            seen |= sights([payment_id])
            continue
        if observed is not None:
            seen |= sights([payment_id])  # the next webhook about it needs another look: this one moved it
        return observed
    raise SightingOutdated


def _done(event: WebhookEvent, outcome: str, *, now: datetime) -> None:
    _ours(event).update(status=WebhookStatus.DONE, due_at=None, processed_at=now, outcome=outcome)


def _again(event: WebhookEvent, status: WebhookStatus, why: str) -> None:
    """Try it again later; give it up after a day, for a person to see."""
    now = database_now()
    pause = min(FIRST_PAUSE * 2 ** min(event.tries - 1, 20), LONGEST_PAUSE)
    if now + pause > event.given_up_at:
        _ours(event).update(status=WebhookStatus.FAILED, due_at=None, processed_at=now, outcome=why)
        log.error("webhook_given_up", gateway=event.gateway, webhook=event.event_id, why=why)
    else:
        _ours(event).update(status=status, due_at=now + pause, outcome=why)


def _ours(event: WebhookEvent) -> "QuerySet[WebhookEvent]":
    """The webhook, unless somebody else has taken it over since (our lease ran out) or it was replayed."""
    return WebhookEvent.objects.filter(pk=event.pk, tries=event.tries, due_at__isnull=False)
