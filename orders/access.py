"""Who may see an order: its buyer, staff, and whoever holds its secret."""

import hashlib
from uuid import UUID

from django.utils.crypto import constant_time_compare, salted_hmac

_SALT = "orders.client-secret"


def client_secret(order_id: UUID) -> str:
    """Return the key to this one order. Derived from SECRET_KEY, so it lies in no table; new with a new SECRET_KEY."""
    return "os_" + salted_hmac(_SALT, str(order_id), algorithm=hashlib.sha256().name).hexdigest()[:40]


def may_see(*, order_id: UUID, owner: str, username: str, is_staff: bool, secret: str) -> bool:
    """Whether a signed-in `username` (empty: nobody), staff or the bearer of `secret` may see the order of `owner`."""
    if is_staff or (username and username == owner):
        return True
    return bool(secret) and constant_time_compare(secret, client_secret(order_id))
