"""What holds for every page of the shop: a strict Content-Security-Policy, and errors told in the shop's own look."""

from collections.abc import Callable, Mapping
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from marketplace.kernel import problems
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.problems import status_of

log = structlog.get_logger(__name__)

# Nothing inline, nothing from elsewhere (but at the till), and no page of ours in somebody else's frame.
_POLICY: Final[Mapping[str, str]] = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
_PAGES: Final = frozenset({403, 404, 409, 422})


def policy(also: Mapping[str, str] | None = None) -> str:
    """Return the Content-Security-Policy of a page that needs, beside our own, the sources `also` by directive."""
    also = also or {}
    wanted = {**dict.fromkeys(also, ""), **_POLICY}
    return "; ".join(" ".join(f"{name} {own} {also.get(name, '')}".split()) for name, own in wanted.items())


POLICY: Final = policy()


class ShopMiddleware:
    """Looks after the storefront's own pages and the error pages; the admin and the API have their own ways."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set the policy on what the shop answers."""
        response = self._get_response(request)
        if request.resolver_match is None or is_shop(request):
            response.headers.setdefault("Content-Security-Policy", POLICY)
            response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a refusal that no view had words for, and a database that is away; leave the rest to Django."""
        if not is_shop(request):
            return None
        if isinstance(exception, OperationalError | InterfaceError):
            log.error("database_unavailable", path=request.path, exc_info=exception)
            return _sorry_for_now()
        if not isinstance(exception, MarketplaceError):
            return None
        status = status_of(exception)
        if status == 503:
            log.error("request_failed", code=exception.code, path=request.path, exc_info=exception)
            return _sorry_for_now()
        if status == 429:
            return problems.answer(exception, request)
        return render(request, f"{status}.html", {"refusal": exception}, status=status) if status in _PAGES else None


def is_shop(request: HttpRequest) -> bool:
    """Whether the address of `request` is that of one of the shop's own pages."""
    return request.resolver_match is not None and request.resolver_match.app_name == "storefront"


def _sorry_for_now() -> HttpResponse:
    """Without the request, so that nothing on the page asks the database who is looking."""
    return HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": "5"})
