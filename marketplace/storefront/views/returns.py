"""Sending something back: the page on which a buyer says what and why, and thinking better of it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.problems import status_of
from marketplace.storefront import visitor
from marketplace.storefront.presentation.returns import Returns, returns_page
from marketplace.storefront.refusals import said
from orders.returns import selectors, services
from orders.returns.errors import ReturnTermOver, ReturnUnderWay
from orders.returns.selectors import Returnable
from orders.selectors import OrderView


class ReturnForm(forms.Form):
    """How many of each line, and why."""

    reason = forms.CharField(
        label=gettext_lazy("Why do you send it back?"),
        max_length=services.LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": gettext_lazy("Please tell us why.")},
    )

    def __init__(self, *args: Any, left: Sequence[Returnable], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left = left
        for line in left:
            attrs = {"min": 0, "max": line.left, "inputmode": "numeric", "data-testid": f"return-{line.sku}"}
            self.fields[line.sku] = forms.IntegerField(
                label=gettext("How many of %(left)s?") % {"left": line.left},
                min_value=0,
                max_value=line.left,
                initial=0,
                widget=forms.NumberInput(attrs=attrs),
            )

    def rows(self) -> list[tuple[Returnable, Any]]:
        """Each line with its field."""
        return [(line, self[line.sku]) for line in self._left]

    def clean(self) -> dict[str, Any]:
        """Something has to be chosen."""
        data = super().clean() or self.cleaned_data
        if not self.errors and not self.chosen(data):
            raise forms.ValidationError(gettext("Please say how many you send back."))
        return data

    def chosen(self, data: dict[str, Any]) -> dict[str, int]:
        """The units by SKU, those that are none left out."""
        return {line.sku: data[line.sku] for line in self._left if data.get(line.sku)}


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def ask(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Ask what is to be sent back, and why; then write it down. Pressing twice asks once."""
    order = visitor.order_for(request, order_id)
    known = returns_page(order, now=database_now())
    if not known.may_ask:
        messages.info(request, _why_not(order, known))
        return redirect("storefront:order", order_id)
    form = ReturnForm(request.POST if request.method == "POST" else None, left=known.left)
    if form.is_valid():
        try:
            _request(request, order, form)
        except ReturnUnderWay:
            return redirect("storefront:order", order_id)  # pressed twice: it is on the page already
        except MarketplaceError as error:
            form.add_error(None, said(error))
            return _show(request, order, known, form, status=status_of(error, in_body=True))
        messages.success(request, gettext("We have written it down. You find what becomes of it here."))
        return redirect("storefront:order", order_id)
    return _show(request, order, known, form, status=422 if form.is_bound else 200)


def _request(request: HttpRequest, order: OrderView, form: ReturnForm) -> None:
    lines = form.chosen(form.cleaned_data)
    who = visitor.username(request)
    services.request(order.id, lines=lines, reason=form.cleaned_data["reason"], actor=who, now=database_now())


def _why_not(order: OrderView, known: Returns) -> str:
    if order.status != "DELIVERED":
        return gettext("Something can be returned once it has been delivered.")
    if any(one.status in ("REQUESTED", "APPROVED", "RECEIVED") for one in known.stories):
        return said(ReturnUnderWay())
    if not known.left:
        return gettext("All of this order has been sent back already.")
    return said(ReturnTermOver())


def _show(request: HttpRequest, order: OrderView, known: Returns, form: ReturnForm, *, status: int) -> HttpResponse:
    context = {"order": order, "returns": known, "form": form}
    return render(request, "storefront/return.html", context, status=status)


@require_POST
def withdraw(request: HttpRequest, order_id: UUID, return_id: UUID) -> HttpResponse:
    """Withdraw a return, as long as nobody has decided about it."""
    visitor.order_for(request, order_id)
    try:
        wish = selectors.one_of(order_id, return_id)
        services.withdraw(wish.id, actor=visitor.username(request), now=database_now())
    except MarketplaceError as error:
        messages.error(request, said(error))
    else:
        messages.success(request, gettext("You have withdrawn your return."))
    return redirect("storefront:order", order_id)
