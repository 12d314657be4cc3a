"""Who is looking, and what this visit remembers: a guest's keys to their orders, and where things were sent last."""

from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest
from django.utils.translation import get_language_from_request

from marketplace.storefront.forms import ADDRESS, DestinationForm
from orders import access, selectors
from orders.errors import UnknownOrder
from orders.selectors import OrderView

_ORDERS: Final = "orders"
_DELIVERY: Final = "delivery"
MOST_REMEMBERED: Final = 30  # orders of one visit; the oldest is forgotten first


def username(request: HttpRequest) -> str:
    """The shopper's user name; empty for a guest."""
    return request.user.get_username() if request.user.is_authenticated else ""


def principal(request: HttpRequest) -> str:
    """Whose idempotency keys these are.

    A guest is known by the key alone: two presses of a first visit may both come without a session, and must still be
    one order. The key is drawn at random for each page, so it can't be somebody else's.
    """
    name = username(request)
    return f"user:{name}" if name else "guest"


def language(request: HttpRequest) -> str:
    """The visitor's language: the one chosen on a page, or else what the browser asks for, as far as we speak it."""
    return get_language_from_request(request)


def remember_order(request: HttpRequest, order_id: UUID) -> None:
    """Keep the secret of a guest's order in this visit's session, so that its page opens for them."""
    kept: dict[str, str] = request.session.get(_ORDERS, {})
    kept[str(order_id)] = access.client_secret(order_id)
    request.session[_ORDERS] = dict(list(kept.items())[-MOST_REMEMBERED:])


def remembered_orders(request: HttpRequest) -> list[UUID]:
    """The orders of this visit, the newest first."""
    return [UUID(order_id) for order_id in reversed(request.session.get(_ORDERS, {}))]


def order_for(request: HttpRequest, order_id: UUID) -> OrderView:
    """Return the order if this visitor may see it; raises `UnknownOrder`, also where it belongs to somebody else."""
    view = selectors.order(order_id)
    allowed = access.may_see(
        order_id=order_id,
        owner=view.user_id,
        username=username(request),
        is_staff=bool(request.user.is_authenticated and request.user.is_staff),
        secret=request.session.get(_ORDERS, {}).get(str(order_id), ""),
    )
    if not allowed:
        raise UnknownOrder
    return view


def remember_delivery(request: HttpRequest, *, address: dict[str, str], email: str) -> None:
    """Keep where this order goes as the default for the next one of this visit."""
    request.session[_DELIVERY] = {**address, "email": email, "by": username(request)}


def delivery(request: HttpRequest) -> dict[str, Any]:
    """Where things were sent last, with the e-mail address; empty at first.

    By this visit, or else by this account's last order. What a guest of this browser has said before somebody signed in
    is only taken where that account has none.
    """
    kept: dict[str, Any] = dict(request.session.get(_DELIVERY, {}))
    said_by, name = kept.pop("by", ""), username(request)
    if name and said_by != name:
        kept = _of_account(name) or (kept if not said_by else {})
    if not kept.get("email") and request.user.is_authenticated:
        return {**kept, "email": request.user.email}
    return kept


def _of_account(name: str) -> dict[str, Any]:
    """Where the account's last order went, as far as a form of ours can hold it; else empty."""
    address, email = selectors.last_destination(name) or ({}, "")
    lines = [address.get(part) for part in ("line1", "line2") if address.get(part)]
    found = {**{part: address.get(part) for part in ADDRESS}, "line1": ", ".join(map(str, lines)), "email": email}
    fits = all(isinstance(text, str) for text in found.values()) and DestinationForm(found).is_valid()
    return found if fits else {}
