"""Looking around: the shelves, the search, a product and how much of it is left."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_safe

from inventory import selectors
from inventory.selectors import ProductView
from marketplace.storefront import till, visitor
from marketplace.storefront.buying import Refused
from marketplace.storefront.cards import CARDS
from marketplace.storefront.forms import DeliveryForm
from marketplace.storefront.presentation.arrival import arrival
from orders.services import MOST_UNITS

LONGEST_SEARCH = 100  # characters


@require_safe
@never_cache
def catalogue(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Show everything, one shelf, or what was searched for."""
    shelves = selectors.categories()
    shelf = next((one for one in shelves if one.slug == slug), None)
    if slug and shelf is None:
        raise Http404
    search = " ".join(request.GET.get("q", "").replace("\x00", " ").split())[:LONGEST_SEARCH]
    products = selectors.products(category=slug or None, search=search or None)
    context = {"shelves": shelves, "shelf": shelf, "search": search, "products": products}
    return render(request, "storefront/catalogue.html", context)


@require_safe
def product(request: HttpRequest, sku: str) -> HttpResponse:
    """Show one product, with a form to buy it: in one press if it is known where to, else by way of the checkout."""
    found = selectors.product_by_sku(sku)
    form = DeliveryForm.offer(found, quantity=asked_quantity(request), **visitor.delivery(request))
    return show_product(request, found, form)


@cache_control(no_store=True)  # its key is good for one order: Back must fetch a new one
def show_product(
    request: HttpRequest,
    found: ProductView,
    form: DeliveryForm,
    *,
    refused: Refused | None = None,
) -> HttpResponse:
    """Write the product page; `refused` says why the last press came to nothing."""
    destination = form.destination
    context: dict[str, Any] = {
        "product": found,
        "form": form,
        "cards": CARDS,
        "one_press": till.is_cards() and destination,
        "destination": destination,
        "most_units": MOST_UNITS,
        "arrival": arrival(found, country=destination.get("country", "")),
        "refused": refused,
    }
    return render(request, "storefront/product.html", context, status=refused.status if refused else 200)


@require_safe
@never_cache
def availability(request: HttpRequest, sku: str) -> HttpResponse:
    """Answer how much is left, for the product page to swap in; 204 while it is what the page has `seen`."""
    found = selectors.product_by_sku(sku)
    if request.GET.get("seen") == str(found.available):
        return HttpResponse(status=204)
    return render(request, "storefront/parts/availability_update.html", {"product": found})


def asked_quantity(request: HttpRequest) -> int:
    """The quantity that the page's address asks for, where it makes sense; otherwise 1."""
    text = request.GET.get("quantity", "")
    return min(int(text), MOST_UNITS) if text.isascii() and text.isdigit() and 0 < len(text) < 7 and int(text) else 1
