"""What happens to every request before anything else: it gets an id, and nonsense is turned away."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from asgiref.sync import iscoroutinefunction
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase, UnreadablePostError
from django.utils.decorators import sync_and_async_middleware

from marketplace.kernel import problems
from marketplace.kernel.ids import new_id

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})

Handler = Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def request_context(get_response: Any) -> Handler:
    """Middleware, the first in the list: request id, log context, and the refusal of requests that can't be read.

    A sane inbound `X-Request-ID` is kept, else one is made; it is on `request.request_id`, in every log line of the
    request, in every problem and in the response's `X-Request-ID`.
    """
    if iscoroutinefunction(get_response):

        async def handle_async(request: HttpRequest) -> HttpResponseBase:
            with structlog.contextvars.bound_contextvars(request_id=_identify(request)):
                return _stamp(request, _turned_away(request) or await get_response(request))

        return handle_async

    def handle(request: HttpRequest) -> HttpResponseBase:
        with structlog.contextvars.bound_contextvars(request_id=_identify(request)):
            return _stamp(request, _turned_away(request) or get_response(request))

    return handle


def _identify(request: HttpRequest) -> str:
    inbound = request.headers.get("X-Request-ID", "")
    request.request_id = inbound if _SANE_ID.fullmatch(inbound) else str(new_id())  # type: ignore[attr-defined]
    return request.request_id  # type: ignore[attr-defined, no-any-return]


def _stamp(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
    return response


def _turned_away(request: HttpRequest) -> HttpResponse | None:
    """Return the problem of an API request that Django or PostgreSQL would choke on later, else None."""
    if not request.path_info.startswith(problems.API_PREFIX):
        return None
    if "\x00" in request.path_info:  # PostgreSQL's text can't hold it, so nothing is called that
        return problems.response(problems.NOTHING_HERE, request)
    if "%00" in request.META.get("QUERY_STRING", ""):
        return problems.response(problems.Problem(400, "malformed_request", "A parameter holds a NUL."), request)
    if request.method in _WITH_BODY:
        return _unreadable_body(request)
    return None


def _unreadable_body(request: HttpRequest) -> HttpResponse | None:
    """Read the body, which is kept in memory and bounded, so that all its ways to be wrong come up here."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        return problems.response(problems.Problem(400, "malformed_request", "Content-Length is not a number."), request)
    try:
        size = len(request.body)
    except (RequestDataTooBig, UnreadablePostError) as error:
        problem = problems.describe(error)
        return None if problem is None else problems.response(problem, request)
    request.META["CONTENT_LENGTH"] = str(size)  # a chunked body has none, and REST framework then sees no body at all
    return None
