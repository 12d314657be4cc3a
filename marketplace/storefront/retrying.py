"""What can be tried again of an order that came to nothing: line by line, as the shelf is today."""

from dataclasses import dataclass
from typing import Any, Self

from django import forms
from django.utils.translation import gettext, gettext_noop, ngettext

from inventory import selectors as catalogue
from marketplace.storefront import till
from marketplace.storefront.buying import Refused
from marketplace.storefront.forms import PaymentForm
from marketplace.storefront.presentation.money import price
from orders.selectors import OrderView
from orders.services import MOST_UNITS, NewOrder, OrderLineRequest

NOTHING_CHOSEN = Refused("nothing_chosen", gettext_noop("Please take at least one thing."), 400)


@dataclass(frozen=True, slots=True)
class RetryLine:
    """One line of the old order as it can be had today. `news`: what changed since, in plain words; empty: nothing.

    `quantity` is what the form proposes, `available` what there is; 0 of what is not for sale any more.
    """

    sku: str
    name: str
    price_minor: int
    quantity: int
    available: int
    news: tuple[str, ...]

    @property
    def field(self) -> str:
        """The name of its quantity in the form."""
        return f"quantity-{self.sku}"

    @property
    def seen(self) -> str:
        """The name of the price that the page shows, in the form."""
        return f"price-{self.sku}"


class RetryForm(PaymentForm):
    """How many of each line, at the price that was seen, and how it is paid."""

    def __init__(self, *arguments: Any, order: OrderView, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.refusal: Refused | None = None
        for item in order.items:
            self.fields[f"quantity-{item.sku}"] = forms.IntegerField(min_value=0, max_value=MOST_UNITS, required=False)
            self.fields[f"price-{item.sku}"] = forms.IntegerField(min_value=0, max_value=10**15, required=False)

    @classmethod
    def offer(cls, order: OrderView, *, method: str = "") -> Self:
        """The form as it is shown at first: everything as it was, as far as there is enough of it."""
        return cls(order=order, initial={"payment_method": method or till.default_method()})

    def clean(self) -> dict[str, Any] | None:
        """Something must be wanted."""
        data = super().clean()
        wanted = [value for name, value in self.cleaned_data.items() if name.startswith("quantity-") and value]
        if not wanted and not self.errors:
            self.refusal = NOTHING_CHOSEN
            self.add_error(None, gettext(NOTHING_CHOSEN.message))
        return data


def shelf(order: OrderView, form: RetryForm) -> list[RetryLine]:
    """The lines of `order` as they can be had now, with the quantities that `form` asks for."""
    offers = {one.sku: one for one in catalogue.products(skus=[item.sku for item in order.items], active_only=False)}
    lines = []
    for item in order.items:
        now = offers.get(item.sku)
        if now is None or not now.is_active or now.currency != order.currency:
            lines.append(RetryLine(item.sku, item.product_name, 0, 0, 0, (gettext("It isn’t for sale any more."),)))
            continue
        news = []
        if now.price_minor != item.price_minor:
            was, costs = price(item.price_minor, order.currency), price(now.price_minor, now.currency)
            prices = {"was": was, "now": costs}
            news.append(gettext("The price changed: it was %(was)s, and it is %(now)s now.") % prices)
        if now.available == 0:
            news.append(gettext("It is sold out now."))
        elif now.available < item.quantity:
            news.append(_short(item.quantity, now.available))
        asked = form.data.get(f"quantity-{item.sku}", "")
        quantity = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 7 else item.quantity
        lines.append(
            RetryLine(item.sku, now.name, now.price_minor, min(quantity, now.available), now.available, tuple(news))
        )
    return lines


def _short(asked: int, left: int) -> str:
    said = ngettext(
        "You wanted %(asked)s, and only %(left)s is left.", "You wanted %(asked)s, and only %(left)s are left.", left
    )
    return said % {"asked": asked, "left": left}


def wish(order: OrderView, form: RetryForm) -> NewOrder:
    """Say in the words of the orders' service what the valid `form` asks for; where it goes is as it was."""
    data = form.cleaned_data
    lines = tuple(
        OrderLineRequest(sku=item.sku, quantity=data[f"quantity-{item.sku}"], price_minor=data.get(f"price-{item.sku}"))
        for item in order.items
        if data.get(f"quantity-{item.sku}")
    )
    return NewOrder(
        lines=lines,
        user_id=order.user_id,
        email=order.email,
        shipping_address=order.shipping_address,
        payment_method=data["payment_method"],
        language=order.language,
    )
