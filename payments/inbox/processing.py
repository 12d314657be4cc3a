"""Looking into webhooks: what does the gateway really believe, and what does that change for the payment?

Claimed under a lease, so that a worker's death only delays; asked outside of any transaction, several charges at once;
taken in under the payment's lock, together with the mark that the webhook is done. What can't be done now is tried
again after growing pauses, for a day: the gateway does not answer, a refund of ours is under way, or nobody here knows
the charge (it may be of another shop with the same account).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction

from marketplace.inbox import Inbox
from marketplace.kernel.clock import database_now
from payments import gateways, news, services
from payments.errors import RefundUnderWay, SightingOutdated
from payments.gateways.base import GatewayUnavailable, NamesParts
from payments.inbox import bell
from payments.inbox.errors import UnknownEvent
from payments.models import Payment, WebhookEvent
from payments.observations import Observed, Sighting, sights
from payments.states import WebhookStatus

log = structlog.get_logger(__name__)

AT_ONCE: Final = 50
INBOX: Final = Inbox(WebhookEvent)
LOOKS: Final = 3  # at a payment that changes while it is looked at


def process_due(*, limit: int = AT_ONCE) -> int:
    """Look into the webhooks that are due, the oldest first, and pass on what came of them; return how many.

    To be called outside of any transaction: it asks gateways.
    """
    claimed = INBOX.claim(limit)
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
    if not INBOX.replay(webhook_id, actor=actor, now=now):
        raise UnknownEvent(id=webhook_id)
    bell.ring()


def forget(*, now: datetime, limit: int) -> int:
    """Delete webhooks that are done with for a month, the oldest first, at most `limit`; return how many.

    What they changed stays on record, as news. One that comes again after that is a new one, and changes nothing.
    """
    return INBOX.forget(now=now, limit=limit)


def _by_payment(events: Sequence[WebhookEvent]) -> dict[UUID | None, list[WebhookEvent]]:
    """Group webhooks by the payment that they are about; None for those that nobody knows. One query for most."""
    named = Payment.objects.order_by().values_list("id", "gateway", "authorization_key", "gateway_reference")
    theirs = named.filter(gateway__in={event.gateway for event in events})
    # Apart, because each name has an index of its own.
    by_its_key = named.filter(authorization_key__in={event.authorization_key for event in events} - {""})
    by_theirs = theirs.filter(gateway_reference__in={event.reference for event in events})
    rows = by_its_key.union(by_theirs.exclude(gateway_reference=""))
    by_key: dict[tuple[str, str], UUID] = {}
    by_reference: dict[tuple[str, str], UUID] = {}
    for payment_id, gateway, key, reference in rows:
        by_key[gateway, key] = by_reference[gateway, reference] = payment_id
    grouped: dict[UUID | None, list[WebhookEvent]] = {}
    for event in events:
        found = by_key.get((event.gateway, event.authorization_key)) if event.authorization_key else None
        if found is None and event.reference:
            found = by_reference.get((event.gateway, event.reference)) or _by_a_part(event)
        grouped.setdefault(found, []).append(event)
    return grouped


def _by_a_part(event: WebhookEvent) -> UUID | None:
    """The payment of which a webhook names only a part, as the gateway is asked; None where it does not say."""
    gateway = gateways.gateway(event.gateway)
    if not isinstance(gateway, NamesParts):
        return None
    try:
        reference = gateway.charge_behind(reference=event.reference)
    except GatewayUnavailable as error:
        log.warning("webhook_not_placed", gateway=event.gateway, webhook=event.event_id, error=error.message)
        return None
    named = Payment.objects.filter(gateway=event.gateway, gateway_reference=reference).exclude(gateway_reference="")
    return named.values_list("id", flat=True).first()


def _look_into(event: WebhookEvent, payment_id: UUID | None, seen: dict[UUID, Sighting | Exception]) -> None:
    """Deal with one webhook; what goes wrong is on record with it, and stops no other."""
    if payment_id is None:
        INBOX.again(event, WebhookStatus.PARKED, "Nobody here knows this charge.")
        return
    try:
        observed = _take_in(event, payment_id, seen)
    except (SightingOutdated, RefundUnderWay, GatewayUnavailable) as busy:
        INBOX.again(event, WebhookStatus.RECEIVED, busy.message)
    except Exception as error:
        log.exception("webhook_failed", gateway=event.gateway, webhook=event.event_id)
        INBOX.again(event, WebhookStatus.RECEIVED, f"{type(error).__name__}: {error}")
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
                INBOX.done(
                    event, "No news." if observed is None else f"The payment is {observed.payment.status}.", now=now
                )
        except SightingOutdated:
            seen |= sights([payment_id])
            continue
        if observed is not None:
            seen |= sights([payment_id])  # the next webhook about it needs another look: this one moved it
        return observed
    raise SightingOutdated
