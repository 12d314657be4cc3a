"""Stripe's webhooks, verified by the SDK."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import stripe
from django.utils import timezone

from payments.gateways.base import NotGenuine, Notice, NotUnderstood
from payments.gateways.stripe import reading

TOLERANCE_SECONDS: Final = 300


def verify(*, body: bytes, headers: Mapping[str, str], secret: str) -> Notice:
    """Return what a genuine webhook says. Raises `NotGenuine` and `NotUnderstood`."""
    header = next((value for name, value in headers.items() if name.lower() == "stripe-signature"), "")
    try:  # the SDK compares in constant time
        stripe.WebhookSignature.verify_header(body, header, secret, TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, UnicodeDecodeError) as problem:
        raise NotGenuine from problem
    signed = re.search(r"(?:^|,)t=(\d+)", header)  # it takes any time that is still to come
    if signed is None or int(signed[1]) > timezone.now().timestamp() + TOLERANCE_SECONDS:
        raise NotGenuine
    try:
        said = json.loads(body)
        about: Mapping[str, Any] = said["data"]["object"]
        return Notice(
            event_id=str(said["id"]),
            kind=str(said["type"]),
            authorization_key=str((about.get("metadata") or {}).get(reading.KEY, "")),
            reference=str(about["id"] if about["object"] == "payment_intent" else about.get("payment_intent") or ""),
            occurred_at=datetime.fromtimestamp(said["created"], UTC),
        )
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as problem:
        raise NotUnderstood from problem
