"""Taking a webhook in: verified, written down once, and no more, so that it is answered at once."""

import re
from collections.abc import Mapping
from typing import Final

from marketplace.inbox import PATIENCE
from marketplace.inbox.arrival import LARGEST, Receipt, as_text, can_be_kept, keep
from payments import gateways
from payments.gateways.base import NotUnderstood
from payments.inbox import bell
from payments.inbox.errors import UnknownGateway, WebhookTooLarge
from payments.models import EVENT_ID_LENGTH, KEY_LENGTH

# Stripe sends along what a buyer's browser confirms the payment with: neither for our books nor for our staff's eyes.
_OF_THE_BUYER: Final = re.compile(r'("client_secret"\s*:\s*)"[^"]*"')

_STORE: Final = """
    INSERT INTO payments_webhookevent
        (gateway, event_id, kind, authorization_key, reference, payload, occurred_at, received_at, given_up_at, status,
         due_at, tries, outcome, replayed_by)
    SELECT %s, %s, %s, %s, %s, %s, %s, now, now + make_interval(secs => %s), 'RECEIVED', now, 0, '', ''
    FROM clock_timestamp() AS now
    ON CONFLICT (gateway, event_id) DO NOTHING
"""


def receive(gateway: str, *, body: bytes, headers: Mapping[str, str]) -> Receipt:
    """Verify the raw `body` of a webhook and write it down, once per event; a worker is told when it is committed.

    Raises `UnknownGateway`, `WebhookTooLarge`, `NotGenuine`, `NotUnderstood`, and `OperationalError` when PostgreSQL
    does not answer within a second: then nothing is on record, and the gateway has to send it again. Takes its own
    transaction.
    """
    if not gateways.is_ready(gateway):
        raise UnknownGateway(gateway=gateway)
    if len(body) > LARGEST:
        raise WebhookTooLarge(limit=LARGEST)
    notice = gateways.gateway(gateway).verify(body=body, headers=headers)
    payload = _OF_THE_BUYER.sub(r'\1"(not kept)"', as_text(body))
    said = (notice.event_id, notice.kind, notice.authorization_key, notice.reference)
    fits = 0 < len(notice.event_id) <= EVENT_ID_LENGTH and len(notice.kind) <= 100
    if not fits or max(map(len, said)) > KEY_LENGTH or not all(map(can_be_kept, said)):
        raise NotUnderstood
    new = keep(_STORE, [gateway, *said, payload, notice.occurred_at, PATIENCE.total_seconds()], ring=bell.ring)
    return Receipt(notice.event_id, duplicate=not new)
