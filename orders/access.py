"""Who may see an order: its buyer, staff, and whoever holds its secret, or a key that was mailed to them."""

import hashlib
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.utils.crypto import constant_time_compare, salted_hmac

_SALT = "orders.client-secret"
_MAILED = "orders.mailed-key"


def client_secret(order_id: UUID) -> str:
    """Return the key to this one order. Derived from SECRET_KEY, so it lies in no table; new with a new SECRET_KEY."""
    return "os_" + salted_hmac(_SALT, str(order_id), algorithm=hashlib.sha256().name).hexdigest()[:40]


def may_see(*, order_id: UUID, owner: str, username: str, is_staff: bool, secret: str) -> bool:
    """Whether a signed-in `username` (empty: nobody), staff or the bearer of `secret` may see the order of `owner`."""
    if is_staff or (username and username == owner):
        return True
    return bool(secret) and constant_time_compare(secret, client_secret(order_id))


def mailed_key(order_id: UUID) -> str:
    """Return a key that opens the page of this one order for MAIL_LINK_DAYS; it says nothing of the secret."""
    return TimestampSigner(salt=_MAILED).sign(order_id.hex).partition(":")[2]


def may_open(*, order_id: UUID, key: str) -> bool:
    """Whether `key` was mailed for this order, and not too long ago."""
    signed = f"{order_id.hex}:{key}"
    try:
        TimestampSigner(salt=_MAILED).unsign(signed, max_age=timedelta(days=settings.MAIL_LINK_DAYS))
    except BadSignature:
        return False
    return True
