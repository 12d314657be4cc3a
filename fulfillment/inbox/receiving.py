"""Taking a webhook in: verified, written down once, and no more, so that it is answered at once."""

from collections.abc import Mapping
from typing import Any, Final

from fulfillment import carriers
from fulfillment.carriers.base import Notice, NotUnderstood
from fulfillment.errors import UnknownCarrier, WebhookTooLarge
from fulfillment.inbox.processing import BELL
from fulfillment.models import EVENT_ID_LENGTH, KEY_LENGTH
from marketplace.inbox import PATIENCE
from marketplace.inbox.arrival import LARGEST, Receipt, as_text, can_be_kept, keep
from marketplace.kernel import bulk

MOST_SCANS: Final = 500

_STORE: Final = """
    INSERT INTO fulfillment_carrierevent
        (carrier, event_id, kind, shipment_key, reference, tracking_number, scans, payload, occurred_at, received_at,
         given_up_at, status, due_at, tries, outcome, replayed_by)
    SELECT %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, now, now + make_interval(secs => %s), 'RECEIVED', now, 0, '', ''
    FROM clock_timestamp() AS now
    ON CONFLICT (carrier, event_id) DO NOTHING
"""


def receive(carrier: str, *, body: bytes, headers: Mapping[str, str]) -> Receipt:
    """Verify the raw `body` of a webhook and write it down, once per event; a worker is told when it is committed.

    Raises `UnknownCarrier`, `WebhookTooLarge`, `NotGenuine`, `NotUnderstood`, and `OperationalError` when PostgreSQL
    does not answer within a second: then nothing is on record, and the carrier has to send it again. Takes its own
    transaction.
    """
    if not carriers.is_ready(carrier):
        raise UnknownCarrier(carrier=carrier)
    if len(body) > LARGEST:
        raise WebhookTooLarge(limit=LARGEST)
    notice = carriers.carrier(carrier).verify(body=body, headers=headers)
    _check(notice)
    said = (notice.event_id, notice.kind, notice.shipment_key, notice.reference, notice.tracking_number)
    told = (bulk.to_json(_scans(notice)), as_text(body), notice.occurred_at, PATIENCE.total_seconds())
    new = keep(_STORE, [carrier, *said, *told], ring=BELL.ring)
    return Receipt(notice.event_id, duplicate=not new)


def _check(notice: Notice) -> None:
    """Raise `NotUnderstood` for what can't be written down."""
    texts = [notice.event_id, notice.kind, notice.shipment_key, notice.reference, notice.tracking_number]
    texts += [text for scan in notice.scans for text in (scan.event_id, scan.place, scan.message)]
    fits = 0 < len(notice.event_id) <= EVENT_ID_LENGTH and len(notice.kind) <= 100 and len(notice.reference) <= 255
    fits = fits and len(notice.shipment_key) <= KEY_LENGTH and len(notice.tracking_number) <= 100
    fits = fits and all(0 < len(scan.event_id) <= EVENT_ID_LENGTH for scan in notice.scans)
    dated = all(at.tzinfo is not None for at in (notice.occurred_at, *(scan.occurred_at for scan in notice.scans)))
    if not fits or not dated or len(notice.scans) > MOST_SCANS or not all(map(can_be_kept, texts)):
        raise NotUnderstood


def _scans(notice: Notice) -> dict[str, Any]:
    scans = [
        {"id": s.event_id, "kind": s.kind, "at": s.occurred_at.isoformat(), "place": s.place, "message": s.message}
        for s in notice.scans
    ]
    day = notice.estimated_delivery
    return {"scans": scans, "estimated_delivery": day.isoformat() if day else None}
