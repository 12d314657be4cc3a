"""Buying: one press on the product page, or the longer way with an address, another card, or paying later."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_POST

from inventory import selectors as catalogue
from inventory.errors import UnknownProduct
from inventory.selectors import ProductView
from marketplace.kernel.errors import MarketplaceError
from marketplace.storefront import buying, visitor
from marketplace.storefront import till as tills
from marketplace.storefront.buying import NOT_UNDERSTOOD, Refused
from marketplace.storefront.cards import CARDS
from marketplace.storefront.forms import BuyForm, CheckoutForm, fresh_key
from marketplace.storefront.presentation.arrival import arrival
from marketplace.storefront.refusals import said
from marketplace.storefront.views.catalogue import asked_quantity, show_product
from orders.errors import SignInRequired
from orders.services import MOST_UNITS


@require_POST
def buy(request: HttpRequest) -> HttpResponse:
    """Buy Now from the product page: place the order at once, to where the last one of this visit went."""
    form = BuyForm(request.POST)
    refused = NOT_UNDERSTOOD
    if form.is_valid():
        last = visitor.delivery(request)
        email, address = last.get("email", ""), {k: v for k, v in last.items() if k != "email"}
        answer = _place(request, form, email=email, address=address or None)
        if isinstance(answer, HttpResponse):
            return answer
        refused = answer
    product = catalogue.product_by_sku(request.POST.get("sku", ""))
    return show_product(request, product, _offer_again(form, product, refused), refused=refused)


@require_http_methods(["GET", "HEAD", "POST"])
def checkout(request: HttpRequest, sku: str) -> HttpResponse:
    """The longer way: where it goes, which card, now or later."""
    product = catalogue.product_by_sku(sku)
    if request.method != "POST":
        form = CheckoutForm.offer(product, quantity=asked_quantity(request), **_wishes(request))
        return _show_checkout(request, product, form)
    form = CheckoutForm({**request.POST.dict(), "sku": product.sku})
    refused = NOT_UNDERSTOOD
    if form.is_valid():
        email, address = form.cleaned_data["email"], form.address
        visitor.remember_delivery(request, address=address, email=email)
        later = form.cleaned_data["pay"] == "later"
        answer = _place(request, form, email=email, address=address, pay_later=later)
        if isinstance(answer, HttpResponse):
            return answer
        refused = answer
    product = catalogue.product_by_sku(sku)
    return _show_checkout(request, product, _offer_again(form, product, refused), refused=refused)


def _place(
    request: HttpRequest, form: BuyForm, *, email: str, address: Mapping[str, str] | None, pay_later: bool = False
) -> HttpResponse | Refused:
    """Place what the valid `form` asks for and lead to the order's page, or say why not."""
    data = form.cleaned_data
    user_id = visitor.username(request)
    language = visitor.language(request)
    order = buying.new_order(
        data, user_id=user_id, email=email, address=address, language=language, pay_later=pay_later
    )
    try:
        order_id = buying.place_once(order, principal=visitor.principal(request), key=data["key"])
    except SignInRequired as error:
        messages.warning(request, said(error))
        back = urlencode({"next": reverse("storefront:product", args=[data["sku"]])})
        return redirect(f"{reverse('storefront:sign-in')}?{back}")
    except UnknownProduct:
        messages.error(request, gettext("That isn’t for sale any more. Nothing was ordered."))
        return redirect("storefront:catalogue")
    except MarketplaceError as error:
        product = catalogue.product_by_sku(data["sku"])
        return buying.explain(error, seen_minor=data["price_minor"], product=product)
    if not user_id:
        visitor.remember_order(request, order_id)
    return redirect("storefront:order", order_id)


def _offer_again(form: BuyForm, product: ProductView, refused: Refused) -> BuyForm:
    """Return `form` as it was filled in, at the present price.

    It keeps its key, so that pressing again after an answer that got lost shows the order and makes no second one.
    Only a key that was used up for something else is replaced.
    """
    data = {**form.data.dict()} if hasattr(form.data, "dict") else {**form.data}
    data["sku"], data["price_minor"] = product.sku, product.price_minor
    if refused.code == "idempotency_key_reused" or "key" in form.errors:
        data["key"] = fresh_key()
    again = type(form)(data)
    again.full_clean()
    return again


def _wishes(request: HttpRequest) -> dict[str, Any]:
    """What is known beforehand: where the last order went, and the card chosen on the product page."""
    card = request.GET.get("payment_method", "")
    named = tills.is_cards() and card in {one.token for one in CARDS}
    chosen = {"payment_method": card} if named else {}
    return {**visitor.delivery(request), **chosen}


def _quantity(form: BuyForm) -> int:
    """How many the form asks for, where that makes sense; otherwise 1."""
    text = str(form["quantity"].value() or "")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 5 else 1


@cache_control(no_store=True)  # its key is good for one order: Back must fetch a new one
def _show_checkout(
    request: HttpRequest, product: ProductView, form: BuyForm, *, refused: Refused | None = None
) -> HttpResponse:
    till = tills.till(amount_minor=product.price_minor, currency=product.currency)
    context = {
        "product": product,
        "form": form,
        "cards": CARDS,
        "till": till,
        "arrival": arrival(product, country=str(form["country"].value() or ""), quantity=_quantity(form)),
        "most_units": MOST_UNITS,
        "hold_seconds": settings.RESERVATION_TTL_SECONDS,
        "refused": refused,
    }
    response = render(request, "storefront/checkout.html", context, status=refused.status if refused else 200)
    return till.let_in(response)
