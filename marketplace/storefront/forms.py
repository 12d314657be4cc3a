"""What a shopper may send. A form checks shape; what the shop can do about it is for the services to say."""

import secrets
from typing import Any, Final, Self

from django import forms
from django.contrib.auth.forms import AuthenticationForm, BaseUserCreationForm
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from inventory.selectors import ProductView
from marketplace.accounts.doors import Counting
from marketplace.accounts.models import User
from marketplace.storefront import countries, till
from orders.services import MOST_UNITS

ADDRESS: Final = ("name", "line1", "postal_code", "city", "country")


def fresh_key() -> str:
    """Return an idempotency key nobody can guess: for a guest it is also what tells one visitor from another."""
    return f"shop-{secrets.token_urlsafe(24)}"


class PaymentForm(forms.Form):
    """How it is paid: one of the test cards, or what the payment provider's script has made of it. No card data."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["payment_method"] = till.method_field()


class PayForm(PaymentForm):
    """How an order that waits for it is paid, and which of its attempts to be paid the page was made for."""

    attempt = forms.IntegerField(min_value=1, required=False)


class BuyForm(PaymentForm):
    """One press of Buy Now: what, how many, at the price that was seen, and the key that makes it happen once."""

    sku = forms.CharField(max_length=64, widget=forms.HiddenInput)
    price_minor = forms.IntegerField(min_value=0, max_value=10**15, widget=forms.HiddenInput)
    key = forms.RegexField(r"\A[\x21-\x7e]{16,255}\Z", widget=forms.HiddenInput)
    quantity = forms.IntegerField(
        min_value=1,
        max_value=MOST_UNITS,
        error_messages={
            "required": _("How many would you like?"),
            "invalid": _("Please give a whole number."),
            "min_value": _("At least 1, please."),
            "max_value": _("At most %(limit_value)s at a time, please."),
        },
    )

    @classmethod
    def offer(cls, product: ProductView, *, quantity: int = 1, **initial: Any) -> Self:
        """Return the form that offers `product` at its present price, under a key of its own."""
        return cls(
            initial={
                "sku": product.sku,
                "price_minor": product.price_minor,
                "key": fresh_key(),
                "quantity": quantity,
                "payment_method": till.default_method(),
                **initial,
            }
        )


class DestinationForm(forms.Form):
    """Where it goes, and where its news go."""

    name = forms.CharField(label=_("Name"), max_length=100)
    line1 = forms.CharField(label=_("Street and number"), max_length=100)
    postal_code = forms.CharField(label=_("Postal code"), max_length=20)
    city = forms.CharField(label=_("City"), max_length=100)
    country = forms.ChoiceField(label=_("Country"), choices=countries.choices, initial="DE")
    email = forms.EmailField(
        label=_("E-mail"), max_length=254, required=False, help_text=_("For news of this order only.")
    )


class DeliveryForm(DestinationForm, BuyForm):
    """Buy Now with where it goes: on a product's page out of sight, as it was the last time."""

    @property
    def address(self) -> dict[str, str]:
        """The address, in the words of the orders' service. Only of a valid form."""
        return {name: self.cleaned_data[name] for name in ADDRESS}

    @property
    def destination(self) -> dict[str, str]:
        """Where the form sends it as it is, with the country's name, to be shown; empty while a part is missing."""
        shown = {name: str(self[name].value() or "") for name in ADDRESS}
        shown["country_name"] = countries.country_name(shown["country"])
        return shown if all(shown.values()) else {}


class CheckoutForm(DeliveryForm):
    """Buy Now with an address that is asked for, or a reservation to be paid later."""

    pay = forms.ChoiceField(choices=[("now", "now"), ("later", "later")], required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        completion = {"name": "name", "line1": "address-line1", "city": "address-level2", "email": "email"}
        completion |= {"postal_code": "postal-code", "country": "country"}
        for field, token in completion.items():
            self.fields[field].widget.attrs["autocomplete"] = f"shipping {token}"
        if self.data.get("pay") == "later":
            self.fields["payment_method"].required = False


class SignInForm(Counting, AuthenticationForm):
    """Who comes in."""


class RegisterForm(BaseUserCreationForm):  # type: ignore[type-arg]  # generic in its stubs only
    """A new account."""

    class Meta:
        model = User
        fields = ("username", "email")
        labels = {"username": _("User name"), "email": _("E-mail")}
        help_texts = {"username": _("Letters, digits and @ . + - _ only. It can’t be changed later.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].required = False
        self.fields["password1"].help_text = gettext(
            "At least 8 characters, not only digits, and none of the common ones."
        )
        self.fields["password2"].help_text = ""
        self.fields["password2"].label = gettext("Password again")
        self.fields["username"].widget.attrs.pop("autofocus", None)
