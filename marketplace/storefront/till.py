"""The till: how this shop is paid in the browser.

By the script of the payment provider, which draws its own fields and takes in what is secret, or, where the gateway has
no script, by choosing one of the sandbox's test cards. No form of ours has a field for a card's number. A page at the
till lets the provider's script in, and nothing else that the shop's pages do without.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils.translation import gettext, gettext_lazy

from marketplace.storefront.cards import CARDS, DEFAULT_CARD, PAYPAL
from marketplace.storefront.languages import current
from marketplace.storefront.middleware import policy
from payments import checkout
from payments.gateways.base import Widget

NOT_PAID_LIKE_THAT: Final = gettext_lazy("Please choose how you want to pay.")
_PAYPAL_SPEAKS: Final[Mapping[str, str]] = {"en": "en_US", "de": "de_DE"}
_TOKENS: Final = r"\A(ctoken|pm)_[A-Za-z0-9_]{1,90}\Z"

# What each provider asks to be let in. Sources: Stripe, "Integration security guide" (Content Security Policy); PayPal,
# "JavaScript SDK reference" (performance and security; with a nonce instead of 'unsafe-inline').
_SOURCES: Final[Mapping[str, Mapping[str, str]]] = {
    "stripe": {
        "script-src": "https://js.stripe.com https://*.js.stripe.com",
        "frame-src": "https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com",
        "connect-src": "https://api.stripe.com",
        "img-src": "https://*.stripe.com",
    },
    "paypal": {
        "script-src": "'nonce-{nonce}' https://*.paypal.com https://*.paypalobjects.com",
        "style-src": "'nonce-{nonce}'",
        "frame-src": "https://*.paypal.com",
        "connect-src": "https://*.paypal.com",
        "img-src": "https://*.paypal.com https://*.paypalobjects.com data:",
    },
}


@dataclass(frozen=True, slots=True)
class Till:
    """How one page takes a payment, for its template. `name` is the provider's script, or "cards"."""

    name: str
    key: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    script: str = ""
    nonce: str = ""

    @property
    def template(self) -> str:
        """The part of a form that says how it is paid."""
        return f"storefront/parts/till_{self.name}.html"

    @property
    def confirming(self) -> str:
        """The part of an order's page by which its buyer confirms."""
        return f"storefront/parts/confirm_{self.name}.html"

    def takes(self, method: str) -> bool:
        """Whether an order that is paid by `method` is confirmed by this script."""
        return method == PAYPAL if self.name == "paypal" else self.name == "stripe"

    def let_in(self, response: HttpResponse) -> HttpResponse:
        """Let the provider's script work on this page, and know the window that it opens."""
        if self.script:
            sources = {name: value.format(nonce=self.nonce) for name, value in _SOURCES[self.name].items()}
            response.headers["Content-Security-Policy"] = policy(sources)
            response.headers["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups"
        return response


def till(*, amount_minor: int, currency: str) -> Till:
    """Return how a page takes a payment of so much by the gateway of the settings."""
    widget = checkout.widget(amount_minor=amount_minor, currency=currency)
    if widget is None:
        return Till("cards")
    nonce = secrets.token_urlsafe(16)
    return Till(widget.name, widget.public_key, widget.parameters, _script(widget), nonce)


def is_cards() -> bool:
    """Whether the shop is paid by test cards."""
    return _name() == "cards"


def default_method() -> str:
    """Return what a form holds before the buyer has said how to pay."""
    return {"cards": DEFAULT_CARD.token, "paypal": PAYPAL}.get(_name(), "")


def method_field() -> forms.Field:
    """Return the field that takes in the payment method: a token of the gateway's, never card data."""
    words = dict.fromkeys(("required", "invalid", "invalid_choice"), NOT_PAID_LIKE_THAT)
    if _name() == "stripe":
        return forms.RegexField(_TOKENS, error_messages=words, validators=[_no_card_data])
    known = [(PAYPAL, "PayPal")] if _name() == "paypal" else [(card.token, gettext(card.name)) for card in CARDS]
    return forms.ChoiceField(choices=known, error_messages=words)


def _no_card_data(value: str) -> None:
    if checkout.looks_like_a_card(value):
        raise ValidationError(NOT_PAID_LIKE_THAT, code="card_data")


def _name() -> str:
    widget = checkout.widget(amount_minor=100, currency="EUR")
    return widget.name if widget is not None else "cards"


def _script(widget: Widget) -> str:
    """The address of the provider's script, which must come from the provider itself."""
    if widget.name == "stripe":
        return f"https://js.stripe.com/{widget.parameters['release']}/stripe.js"
    # Their button for cards would draw fields of PayPal's for a source of money that our orders don't name.
    asked = {"client-id": widget.public_key, **widget.parameters, "components": "buttons", "disable-funding": "card"}
    return f"https://www.paypal.com/sdk/js?{urlencode({**asked, 'locale': _PAYPAL_SPEAKS[current()]})}"
