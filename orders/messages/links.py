"""The way from a mail to the shop: absolute addresses, with a key that opens this one order without a login."""

from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings

from orders import access

TRY_AGAIN: Final = "try-again"


def order_page(order_id: UUID) -> str:
    """Return the address of the order's page, for whoever got the mail."""
    return f"{settings.PUBLIC_URL.rstrip('/')}/orders/{order_id}/open/{access.mailed_key(order_id)}"


def try_again(order_id: UUID) -> str:
    """Return the address at which an order whose payment failed can be tried again."""
    return f"{order_page(order_id)}?{urlencode({'to': TRY_AGAIN})}"
