"""An order's page while it happens and after, and the list of one's orders."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from fulfillment.selectors import ScanView, scans_of
from inventory import selectors as catalogue
from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import Conflict
from marketplace.kernel.limits import Limit
from marketplace.kernel.pagination import Window
from marketplace.storefront import till as tills
from marketplace.storefront import visitor
from marketplace.storefront.cards import CARDS
from marketplace.storefront.forms import PayForm
from marketplace.storefront.presentation.page import AT_REST, STANDS, order_page
from marketplace.storefront.presentation.returns import returns_page
from marketplace.storefront.refusals import said
from orders import access, selectors, services
from orders.errors import UnknownOrder
from orders.selectors import OrderView
from payments import checkout
from payments.gateways.base import GatewayUnavailable

LOOKS = Limit("looks at a payment", 20, 60)  # of one order: each asks its gateway
PAGE_SIZE = 10
MOST_PICTURES = 2
_MAILED_TO: Mapping[str, str] = {"try-again": "storefront:try-again"}  # what a mail's links may lead on to
MOST_OF_A_VISIT = 10  # orders listed for a guest
BACK_AGAIN = frozenset(
    {"payment_intent", "token"}
)  # what Stripe and PayPal put into the address that they lead back to
MAY_BE_PAID = frozenset({"CREATED", "RESERVED", "PAYMENT_PENDING"})


def _context(request: HttpRequest, order_id: UUID) -> dict[str, Any]:
    order = visitor.order_for(request, order_id)
    story = selectors.saga_of(order_id)
    if story.status in AT_REST:  # it may have come to rest since the order was read
        order = selectors.order(order_id)
    now = database_now()
    paying = request.GET.get("paying") == "1"
    till = tills.till(amount_minor=order.total_minor, currency=order.currency)
    return {
        "page": order_page(order, story, now=now, paying=paying, scans=_scans(order)),
        "pictured": catalogue.products(skus=[item.sku for item in order.items[:MOST_PICTURES]], active_only=False),
        "now": now,
        "cards": CARDS,
        "chosen": tills.default_method(),
        "till": till,
        "confirms_here": till.takes(order.payment_method),
        "paying": paying,
        "printed": 0,
    }


def _scans(order: OrderView) -> list[ScanView]:
    parcel = order.shipment
    return scans_of(parcel.id) if parcel is not None and parcel.tracking_number else []


@require_safe
@never_cache
def order(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Show an order: what is happening, every step so far, and what can be done."""
    context = _context(request, order_id)
    if BACK_AGAIN & request.GET.keys():
        checkout.buyer_was_there(order_id)
    context["returns"] = returns_page(context["page"].order, now=context["now"])
    response = render(request, "storefront/order.html", context)
    return response if context["page"].finished else context["till"].let_in(response)


@require_safe
@never_cache
def open_mailed(request: HttpRequest, order_id: UUID, key: str) -> HttpResponse:
    """Open an order by the key in a mail, for this visit, without a login; `?to=` leads on to one of its other pages.

    A key that is wrong, or too old, opens nothing; who may see the order anyway is led to it all the same.
    """
    if access.may_open(order_id=order_id, key=key):
        visitor.remember_order(request, order_id)
    else:
        visitor.order_for(request, order_id)
    page = _MAILED_TO.get(request.GET.get("to", ""), "storefront:order")
    response = redirect(page, order_id)
    response.headers["Referrer-Policy"] = "no-referrer"  # the address is a key
    return response


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
    form = PayForm(request.POST)
    if not form.is_valid():
        messages.error(request, tills.NOT_PAID_LIKE_THAT)
        return redirect("storefront:order", order_id)
    try:
        attempt = form.cleaned_data["attempt"]
        services.pay(order_id, method=form.cleaned_data["payment_method"], attempt=attempt, now=database_now())
    except Conflict as error:
        messages.error(request, said(error))
        return redirect("storefront:order", order_id)
    response = redirect("storefront:order", order_id)
    response["Location"] += "?paying=1"
    return response


@require_safe
@never_cache
def confirmation(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Answer what the provider's script needs so that the buyer can confirm. It is for this browser, and kept nowhere.

    `state` is "ready" with what it needs, "wait" while the provider has still to be asked, or "over".
    """
    order = visitor.order_for(request, order_id)
    if order.status not in MAY_BE_PAID:
        return JsonResponse({"state": "over"})
    try:
        needed = checkout.confirmation(order_id)
    except GatewayUnavailable:
        needed = {}  # the script asks again
    return JsonResponse({**needed, "state": "ready"} if needed else {"state": "wait"})


@require_POST
def look(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Take word from the provider's script that the buyer has been there: worth a look, if not without end."""
    visitor.order_for(request, order_id)
    LOOKS.check(str(order_id))
    checkout.buyer_was_there(order_id)
    return HttpResponse(status=204)


@require_POST
def cancel(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Cancel an order that is not shipped yet."""
    view = visitor.order_for(request, order_id)
    actor = visitor.username(request)
    try:
        services.cancel(order_id, actor=actor, now=database_now(), by_staff=_as_staff(request, view))
    except Conflict as error:
        messages.error(request, said(error))
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
