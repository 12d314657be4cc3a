"""Trying again what came to nothing: the same things, the same address, another card, at today's prices."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from inventory.errors import UnknownProduct
from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.problems import status_of
from marketplace.storefront import retrying, visitor
from marketplace.storefront import till as tills
from marketplace.storefront.buying import NOT_UNDERSTOOD, Refused
from marketplace.storefront.cards import CARDS
from marketplace.storefront.presentation.page import ENDED
from marketplace.storefront.refusals import said
from marketplace.storefront.retrying import RetryForm, shelf
from orders import services
from orders.errors import NotRetryable, PriceChanged
from orders.selectors import OrderView
from orders.services import MOST_UNITS


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def try_again(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Offer a new order in the place of one that came to nothing, and place it; once, however often it is pressed."""
    order = visitor.order_for(request, order_id)
    if order.status not in ENDED:
        return redirect("storefront:order", order_id)  # there is nothing to try again, perhaps it only has to be paid
    if order.retried_by is not None:
        return _lead_on(request, order, order.retried_by)
    if request.method != "POST":
        return _show(request, order, RetryForm.offer(order))
    return _place(request, order, RetryForm(request.POST, order=order))


def _place(request: HttpRequest, order: OrderView, form: RetryForm) -> HttpResponse:
    if not form.is_valid():
        return _show(request, order, form, refused=form.refusal or NOT_UNDERSTOOD)
    try:
        new = services.try_again(order.id, retrying.wish(order, form), now=database_now())
    except NotRetryable as error:
        messages.info(request, said(error))
        return redirect("storefront:order", order.id)
    except MarketplaceError as error:
        again = RetryForm.offer(order, method=form.cleaned_data["payment_method"])
        return _show(request, order, again, refused=_explain(error))
    return _lead_on(request, order, new.id, told=False)


def _lead_on(request: HttpRequest, order: OrderView, successor: UUID, *, told: bool = True) -> HttpResponse:
    """Lead to the order that took this one's place; if that came to nothing too, to trying that one again."""
    if order.id in visitor.remembered_orders(request):  # a guest's, or opened from a mail without a login
        visitor.remember_order(request, successor)
    if not told:
        return redirect("storefront:order", successor)
    newer = visitor.order_for(request, successor)
    if newer.status in ENDED and request.method != "POST":
        return redirect("storefront:try-again", successor)
    messages.info(request, gettext("You have tried this again already. Here is that order."))
    return redirect("storefront:order", successor)


def _explain(error: MarketplaceError) -> Refused:
    message = said(error)
    if isinstance(error, PriceChanged):
        message = gettext("A price changed while you were looking. Please check the new one.")
    if isinstance(error, UnknownProduct):
        message = gettext("Something isn’t for sale any more. Please check what is left.")
    return Refused(error.code, message, status_of(error, in_body=True))


def _show(request: HttpRequest, order: OrderView, form: RetryForm, *, refused: Refused | None = None) -> HttpResponse:
    lines = shelf(order, form)
    total = sum(line.price_minor * line.quantity for line in lines)
    till = tills.till(amount_minor=max(total, 1), currency=order.currency)
    context: dict[str, Any] = {
        "order": order,
        "lines": lines,
        "form": form,
        "cards": CARDS,
        "till": till,
        "total_minor": total,
        "most_units": MOST_UNITS,
        "anything": any(line.available for line in lines),
        "refused": refused,
    }
    response = render(request, "storefront/try_again.html", context, status=refused.status if refused else 200)
    return till.let_in(response)
