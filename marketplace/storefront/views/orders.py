"""An order's page while it happens and after, and the list of one's orders."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from inventory import selectors as catalogue
from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import Conflict
from marketplace.kernel.pagination import Window
from marketplace.storefront import visitor
from marketplace.storefront.cards import CARDS, DEFAULT_CARD
from marketplace.storefront.forms import PaymentForm
from marketplace.storefront.presentation.page import AT_REST, STANDS, order_page
from orders import selectors, services
from orders.errors import UnknownOrder
from orders.selectors import OrderView

PAGE_SIZE = 10
MOST_PICTURES = 2
MOST_OF_A_VISIT = 10  # orders listed for a guest


def _context(request: HttpRequest, order_id: UUID) -> dict[str, Any]:
    order = visitor.order_for(request, order_id)
    story = selectors.saga_of(order_id)
    if story.status in AT_REST:  # it may have come to rest since the order was read
        order = selectors.order(order_id)
    now = database_now()
    paying = request.GET.get("paying") == "1"
    return {
        "page": order_page(order, story, now=now, paying=paying),
        "pictured": catalogue.products(skus=[item.sku for item in order.items[:MOST_PICTURES]], active_only=False),
        "now": now,
        "cards": CARDS,
        "default_card": DEFAULT_CARD.token,
        "printed": 0,
    }


@require_safe
@never_cache
def order(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Show an order: what is happening, every step so far, and what can be done."""
    return render(request, "storefront/order.html", _context(request, order_id))


@require_safe
@never_cache
def progress(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Answer the part of the order's page that changes, to be swapped in; 204 while it is what the page has `seen`."""
    context = _context(request, order_id)
    if request.GET.get("seen") == context["page"].version:
        return HttpResponse(status=204)
    lines = request.GET.get("lines", "")
    context["printed"] = int(lines) - 1 if lines.isascii() and lines.isdigit() and len(lines) < 5 else 0
    return render(request, "storefront/parts/order.html", context)


@require_POST
def pay(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Pay an order that was reserved."""
    visitor.order_for(request, order_id)
    form = PaymentForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Please choose one of the cards.")
        return redirect("storefront:order", order_id)
    try:
        services.pay(order_id, method=form.cleaned_data["payment_method"], now=database_now())
    except Conflict as error:
        messages.error(request, error.message)
        return redirect("storefront:order", order_id)
    response = redirect("storefront:order", order_id)
    response["Location"] += "?paying=1"
    return response


@require_POST
def cancel(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Cancel an order that is not shipped yet."""
    view = visitor.order_for(request, order_id)
    actor = visitor.username(request)
    try:
        services.cancel(order_id, actor=actor, now=database_now(), by_staff=_as_staff(request, view))
    except Conflict as error:
        messages.error(request, error.message)
    return redirect("storefront:order", order_id)


def _as_staff(request: HttpRequest, view: OrderView) -> bool:
    """Whether this is somebody of the shop with another's order, and not its buyer."""
    own = view.user_id == visitor.username(request) or view.id in visitor.remembered_orders(request)
    return bool(request.user.is_authenticated and request.user.is_staff and not own)


@require_safe
@never_cache
def my_orders(request: HttpRequest) -> HttpResponse:
    """List one's own orders, the newest first; for a guest those of this visit."""
    name = visitor.username(request)
    if name:
        context = _page_of(name, older=request.GET.get("older", ""), newer=request.GET.get("newer", ""))
    else:
        context = {"orders": _of_this_visit(request)}
    skus = {order.items[0].sku for order in context["orders"]}
    pictured = {one.sku: one for one in catalogue.products(skus=skus, active_only=False)}
    context["orders"] = [(order, pictured.get(order.items[0].sku)) for order in context["orders"]]
    return render(request, "storefront/my_orders.html", {**context, "stands": STANDS})


def _page_of(name: str, *, older: str, newer: str) -> dict[str, Any]:
    """Read the page after the order `older`, or before the order `newer` (ids, from the page's own links)."""
    backwards = bool(_id(newer))
    position = _id(newer) or _id(older)
    found = selectors.orders(window=Window(PAGE_SIZE + 1, position, backwards), user_id=name)
    more, rows = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
    if backwards:
        rows.reverse()
    return {
        "orders": rows,
        "older": rows[-1].id if rows and (more or backwards) else None,
        "newer": rows[0].id if rows and (more if backwards else position) else None,
    }


def _id(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _of_this_visit(request: HttpRequest) -> list[OrderView]:
    found = []
    for order_id in visitor.remembered_orders(request)[:MOST_OF_A_VISIT]:
        try:
            found.append(selectors.order(order_id))
        except UnknownOrder:  # cleared away since
            continue
    return found
