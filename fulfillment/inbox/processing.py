"""Looking into webhooks: which parcel is it about, and what of what it says is new?

Claimed under a lease, so that a worker's death only delays; taken in under the shipment's lock, together with the mark
that the webhook is done. One about a parcel that nobody here knows (its label may not be on record yet, or it may be of
another shop with the same account) is looked into again after growing pauses, for a day.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction

from fulfillment import label_refunds, scanning
from fulfillment.carriers.base import Scan, ScanKind
from fulfillment.errors import UnknownEvent
from fulfillment.models import CarrierEvent, Shipment
from fulfillment.scanning import News
from fulfillment.states import EventStatus
from marketplace.inbox import Inbox
from marketplace.kernel.bells import Bell
from marketplace.kernel.clock import database_now

log = structlog.get_logger(__name__)

AT_ONCE: Final = 100
ABOUT_REFUNDS: Final = "refund."  # how the kind of a webhook begins that is about the money for a label
TASK: Final = "fulfillment.tasks.take_in_webhooks"
BELL: Final = Bell(task=TASK, queue="fulfillment", flag="fulfillment:inbox:bell")
INBOX: Final = Inbox(CarrierEvent)


def process_due(*, limit: int = AT_ONCE) -> int:
    """Look into the webhooks that are due, the oldest first, and pass on what came of them; return how many."""
    claimed = INBOX.claim(limit)
    shipments = _shipments(claimed)
    known = [event for event in claimed if event.id in shipments]
    for event in claimed:
        if event.id not in shipments:
            INBOX.again(event, EventStatus.PARKED, "Nobody here knows this parcel.")
    if known:
        try:
            _take_in(known, shipments)
        except Exception:
            log.warning("webhooks_taken_in_one_by_one", webhooks=len(known), exc_info=True)
            for event in known:
                _take_in_alone(event, shipments)
    scanning.pass_on(now=database_now())
    return len(claimed)


def replay(webhook_id: int, *, actor: str, now: datetime) -> None:
    """Have a webhook looked into again, whatever came of it before. Raises `UnknownEvent`."""
    if not INBOX.replay(webhook_id, actor=actor, now=now):
        raise UnknownEvent(id=webhook_id)
    BELL.ring()


def _shipments(events: Sequence[CarrierEvent]) -> dict[int, UUID]:
    """The shipment that each webhook is about, by our key first; those that nobody knows are left out. One query.

    Looked up by each of its names apart: each has an index of its own.
    """
    named = Shipment.objects.order_by().values_list(
        "id", "carrier", "label_key", "tracking_number", "carrier_reference"
    )
    theirs = named.filter(carrier__in={event.carrier for event in events})
    by_key = named.filter(label_key__in={event.shipment_key for event in events}).exclude(label_key="")
    by_number = theirs.filter(tracking_number__in={event.tracking_number for event in events})
    by_reference = theirs.filter(carrier_reference__in={event.reference for event in events})
    rows = by_key.union(by_number.exclude(tracking_number=""), by_reference.exclude(carrier_reference=""))
    known: dict[tuple[str, str, str], UUID] = {}
    for shipment_id, carrier, key, number, reference in rows:
        known |= {(carrier, "key", key): shipment_id, (carrier, "number", number): shipment_id}
        known[carrier, "reference", reference] = shipment_id
    found = {}
    for event in events:
        names = (("key", event.shipment_key), ("number", event.tracking_number), ("reference", event.reference))
        ids = [
            known[event.carrier, kind, name] for kind, name in names if name and (event.carrier, kind, name) in known
        ]
        if ids:
            found[event.id] = ids[0]
    return found


def _take_in(events: Sequence[CarrierEvent], shipments: dict[int, UUID]) -> None:
    with transaction.atomic():
        now = database_now()
        refunds = [shipments[event.id] for event in events if event.kind.startswith(ABOUT_REFUNDS)]
        label_refunds.hurry(refunds, now=now)
        counts = scanning.take_in([_news(event, shipments[event.id]) for event in events], now=now)
        for event in events:
            new = counts[shipments[event.id]]
            INBOX.done(event, f"{new} new scan{'s' * (new != 1)} of its parcel." if new else "No news.", now=now)


def _take_in_alone(event: CarrierEvent, shipments: dict[int, UUID]) -> None:
    """Deal with one webhook; what goes wrong is on record with it, and stops no other."""
    try:
        _take_in([event], shipments)
    except Exception as error:
        log.exception("webhook_failed", carrier=event.carrier, webhook=event.event_id)
        INBOX.again(event, EventStatus.RECEIVED, f"{type(error).__name__}: {error}")


def _news(event: CarrierEvent, shipment_id: UUID) -> News:
    said: dict[str, Any] = event.scans
    scans = [
        Scan(one["id"], ScanKind(one["kind"]), datetime.fromisoformat(one["at"]), one["place"], one["message"])
        for one in said["scans"]
    ]
    day = said.get("estimated_delivery")
    return News(shipment_id, scans, date.fromisoformat(day) if day else None)
