"""Buying: one press on the product page, or the longer way, which asks for an address, and lets one pay later."""

from typing import Any, TypeVar

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
from marketplace.storefront.forms import ADDRESS, BuyForm, CheckoutForm, DeliveryForm, fresh_key
from marketplace.storefront.presentation.arrival import arrival
from marketplace.storefront.refusals import said
from marketplace.storefront.views.catalogue import asked_quantity, show_product
from orders.errors import SignInRequired
from orders.services import MOST_UNITS

Form = TypeVar("Form", bound=BuyForm)


@require_POST
def buy(request: HttpRequest) -> HttpResponse:
    """Buy Now from the product page: place the order at once, to where that page says.

    A page that doesn't say where to leads to the checkout, which asks for it, and nothing is ordered.
    """
    form = DeliveryForm(request.POST)
    if form.errors.keys() & {*ADDRESS, "email"}:
        return _ask_where(request)
    refused = NOT_UNDERSTOOD
    if form.is_valid():
        answer = _place(request, form)
        if isinstance(answer, HttpResponse):
            return answer
        refused = answer
    product = catalogue.product_by_sku(request.POST.get("sku", ""))
    return show_product(request, product, _offer_again(form, product, refused), refused=refused)


def _ask_where(request: HttpRequest) -> HttpResponse:
    """Lead to the checkout with what was chosen."""
    product = catalogue.product_by_sku(request.POST.get("sku", ""))
    messages.info(request, gettext("Please check where it goes. Nothing is ordered yet."))
    chosen = {name: request.POST.get(name, "") for name in ("quantity", "payment_method")}
    return redirect(f"{reverse('storefront:checkout', args=[product.sku])}?{urlencode(chosen)}")


@require_http_methods(["GET", "HEAD", "POST"])
def checkout(request: HttpRequest, sku: str) -> HttpResponse:
    """The longer way: where it goes, which card, now or later. Who can't order without an account signs in first."""
    product = catalogue.product_by_sku(sku)
    if request.method != "POST":
        if not settings.GUEST_CHECKOUT and not visitor.username(request):
            return _sign_in_first(request, SignInRequired(), back=request.get_full_path())
        form = CheckoutForm.offer(product, quantity=asked_quantity(request), **_wishes(request))
        return _show_checkout(request, product, form)
    form = CheckoutForm({**request.POST.dict(), "sku": product.sku})
    refused = NOT_UNDERSTOOD
    if form.is_valid():
        visitor.remember_delivery(request, address=form.address, email=form.cleaned_data["email"])
        answer = _place(request, form, pay_later=form.cleaned_data["pay"] == "later")
        if isinstance(answer, HttpResponse):
            return answer
        refused = answer
    product = catalogue.product_by_sku(sku)
    return _show_checkout(request, product, _offer_again(form, product, refused), refused=refused)


def _place(request: HttpRequest, form: DeliveryForm, *, pay_later: bool = False) -> HttpResponse | Refused:
    """Place what the valid `form` asks for and lead to the order's page, or say why not."""
    data = form.cleaned_data
    user_id = visitor.username(request)
    order = buying.new_order(
        data,
        user_id=user_id,
        email=data["email"],
        address=form.address,
        language=visitor.language(request),
        pay_later=pay_later,
    )
    try:
        order_id = buying.place_once(order, principal=visitor.principal(request), key=data["key"])
    except SignInRequired as error:
        return _sign_in_first(request, error, back=reverse("storefront:product", args=[data["sku"]]))
    except UnknownProduct:
        messages.error(request, gettext("That isn’t for sale any more. Nothing was ordered."))
        return redirect("storefront:catalogue")
    except MarketplaceError as error:
        product = catalogue.product_by_sku(data["sku"])
        return buying.explain(error, seen_minor=data["price_minor"], product=product)
    if not user_id:
        visitor.remember_order(request, order_id)
    return redirect("storefront:order", order_id)


def _sign_in_first(request: HttpRequest, error: SignInRequired, *, back: str) -> HttpResponse:
    """Lead to the sign-in, and from there on to `back`, an address of ours."""
    messages.warning(request, said(error))
    return redirect(f"{reverse('storefront:sign-in')}?{urlencode({'next': back})}")


def _offer_again(form: Form, product: ProductView, refused: Refused) -> Form:
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
