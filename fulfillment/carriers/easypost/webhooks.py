"""EasyPost's webhooks: signed over the raw body with a secret of ours (HMAC-SHA256).

The signature has no time in it, so an old webhook can't be told from a late one; EasyPost sends late ones for hours. A
replayed one does nothing: it is stored once per event id, and only ever makes us look the parcel up.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from easypost.errors import SignatureVerificationError
from easypost.util import validate_webhook

from fulfillment.carriers.base import NotGenuine, Notice, NotUnderstood
from fulfillment.carriers.easypost import reading

_HEADER: Final = "X-Hmac-Signature"


def verify(body: bytes, headers: Mapping[str, str], *, secret: str) -> Notice:
    """Return what a genuine webhook says; raises `NotGenuine`, and `NotUnderstood`."""
    given = {name.lower(): value for name, value in headers.items()}.get(_HEADER.lower(), "")
    if not secret or not given.isascii():
        raise NotGenuine
    try:  # the SDK compares in constant time
        said = validate_webhook(body, {_HEADER: given}, secret)
    except SignatureVerificationError as problem:
        raise NotGenuine from problem
    except json.JSONDecodeError as problem:
        raise NotUnderstood from problem
    try:
        return _notice(said)
    except (ValueError, TypeError, LookupError, AttributeError) as problem:
        raise NotUnderstood from problem


def _notice(said: Mapping[str, Any]) -> Notice:
    told = said["result"]
    is_tracker = told.get("object") == "Tracker"
    is_part = is_tracker or told.get("object") == "Refund"  # of a shipment, which it names
    return Notice(
        event_id=str(said["id"]),
        kind=str(said["description"]),
        occurred_at=reading.instant(said["created_at"]),
        reference=str((told.get("shipment_id") if is_part else told.get("id")) or ""),
        tracking_number=str(told.get("tracking_code") or ""),
        scans=reading.scans(told) if is_tracker else (),
        estimated_delivery=reading.day(told.get("est_delivery_date")) if is_tracker else None,
    )
