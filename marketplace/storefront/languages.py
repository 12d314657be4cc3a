"""The language of a page: what its visitor has chosen, or else what the browser asks for, as far as we speak it.

Only the shop's own pages, and the pages that say what went wrong, come in other languages. The admin and the API speak
English to everybody.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from babel import Locale
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers

from marketplace.paper.languages import locale_of
from marketplace.storefront.middleware import is_shop

_DEPENDS_ON: Final = ("Accept-Language", "Cookie")


class LanguageMiddleware:
    """Has the shop's pages written in their visitor's language, and tells caches what that depends on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Speak the visitor's language for the length of this request."""
        with translation.override(translation.get_language_from_request(request)):
            response = self._get_response(request)
        if request.resolver_match is None or is_shop(request):
            patch_vary_headers(response, _DEPENDS_ON)
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Speak English again where the page turns out not to be one of the shop's."""
        if not is_shop(request):
            translation.activate(settings.LANGUAGE_CODE)


def current() -> str:
    """Return the language that is active, as one of ours: `en`, `de`."""
    return translation.get_supported_language_variant(translation.get_language() or settings.LANGUAGE_CODE)


def current_locale() -> Locale:
    """Return how the active language writes amounts and dates."""
    return locale_of(current())
