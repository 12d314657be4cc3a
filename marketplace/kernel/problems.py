"""Errors on the wire: RFC 9457 problem details, for everything that can go wrong under `/api/`.

This is the one place where an error meets an HTTP status. A problem reads `{type, title, status, detail, instance,
code, retryable, requestId, errors: [{pointer, code, detail}]}`; what an error of ours carries as data follows as
further members, in camelCase (`pointer` becomes an entry of `errors`, `retry_after` the `Retry-After` header).
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import structlog
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, UnreadablePostError
from django.views import defaults
from django.views.csrf import csrf_failure as csrf_failure_page
from rest_framework import exceptions as drf
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from marketplace.kernel.bulk import to_json
from marketplace.kernel.errors import Conflict, MarketplaceError, NotFound, Refusal, Unavailable
from marketplace.kernel.naming import AsSent, camel, camel_keys

log = structlog.get_logger(__name__)

CONTENT_TYPE: Final = "application/problem+json"
API_PREFIX: Final = "/api/"
RETRY_AFTER_SECONDS: Final = 2
CHALLENGE: Final = "Token"  # the scheme that a 401 has to name (RFC 9110, section 15.5.2)

# By class, the most special first; then by code, for what its class does not tell.
STATUS_OF_CLASS: Final[tuple[tuple[type[MarketplaceError], int], ...]] = (
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
    (Refusal, 422),
)
STATUS_OF_CODE: Final[Mapping[str, int]] = {
    "already_shipped": 409,
    "idempotency_in_progress": 409,
    "idempotency_key_malformed": 400,
    "idempotency_key_missing": 400,
    "idempotency_key_reused": 422,
    "invalid_amount": 400,
    "invalid_cursor": 400,
    "price_changed": 409,
    "sign_in_required": 401,
    "throttled": 429,
    "webhook_not_genuine": 400,
    "webhook_not_understood": 400,
    "webhook_too_large": 413,
    "wrong_credentials": 401,
}
# An address that names nothing is a 404. A body that names nothing came to the right address and can't be processed.
STATUS_OF_CODE_IN_BODY: Final[Mapping[str, int]] = {"unknown_sku": 422}

_CODE_OF_DRF: Final[Mapping[type[drf.APIException], str]] = {
    drf.ParseError: "malformed_json",
    drf.NotAuthenticated: "not_authenticated",
    drf.AuthenticationFailed: "authentication_failed",
    drf.PermissionDenied: "permission_denied",
    drf.NotFound: "not_found",
    drf.MethodNotAllowed: "method_not_allowed",
    drf.NotAcceptable: "not_acceptable",
    drf.UnsupportedMediaType: "unsupported_media_type",
    drf.Throttled: "throttled",
}
_RESERVED: Final = frozenset(
    {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
        "retryable",
        "requestId",
        "errors",
        "pointer",
        "retryAfter",
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, before it is written: `extra` holds further members, by their names on the wire."""

    status: int
    code: str
    detail: str
    title: str = ""
    retryable: bool = False
    errors: tuple[dict[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


NOTHING_HERE: Final = Problem(404, "not_found", "There is nothing at this address.")
UNREADABLE: Final = Problem(400, "malformed_request", "The request can't be read.")
FORBIDDEN: Final = Problem(403, "permission_denied", "You are not allowed to do this.")
BODY_TOO_LARGE: Final = Problem(413, "body_too_large", "The body is larger than this server reads.")
INTERNAL_ERROR: Final = Problem(500, "internal_error", "Something went wrong on our side; it is logged.")

_OF_DJANGO: Final[tuple[tuple[tuple[type[Exception], ...], Problem], ...]] = (
    ((RequestDataTooBig,), BODY_TOO_LARGE),
    ((Http404,), NOTHING_HERE),
    ((PermissionDenied,), FORBIDDEN),
    ((SuspiciousOperation, BadRequest, UnreadablePostError), UNREADABLE),
)


def status_of(error: MarketplaceError, *, in_body: bool = False) -> int:
    """Return the HTTP status for `error`; `in_body` when what it speaks of was named in the request's body."""
    if in_body and error.code in STATUS_OF_CODE_IN_BODY:
        return STATUS_OF_CODE_IN_BODY[error.code]
    if error.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[error.code]
    return next((status for kind, status in STATUS_OF_CLASS if isinstance(error, kind)), 500)


def describe(error: BaseException, *, method: str = "GET") -> Problem | None:
    """Return the problem that `error` is to a client that sent a `method` request; None for what nobody foresaw."""
    if isinstance(error, MarketplaceError):
        return _ours(error, in_body=method in {"POST", "PUT", "PATCH"})
    if isinstance(error, drf.ValidationError):
        errors = tuple(_field_errors(error.detail))
        count = "One part" if len(errors) == 1 else f"{len(errors)} parts"
        return Problem(400, "validation_error", f"{count} of the request can't be accepted.", errors=errors)
    if isinstance(error, drf.APIException):
        return _rest_framework(error)
    if isinstance(error, OperationalError | InterfaceError):
        return _ours(Unavailable(), in_body=False)
    return next((problem for kinds, problem in _OF_DJANGO if isinstance(error, kinds)), None)


def response(problem: Problem, request: HttpRequest) -> HttpResponse:
    """Write `problem` as the answer to `request`."""
    body = {
        "type": f"urn:problem-type:marketplace:{problem.code}",
        "title": problem.title or HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.path,
        "code": problem.code,
        "retryable": problem.retryable,
        "requestId": getattr(request, "request_id", ""),
        "errors": list(problem.errors),
        **problem.extra,
    }
    return HttpResponse(to_json(body), content_type=CONTENT_TYPE, status=problem.status, headers=dict(problem.headers))


def answer(error: MarketplaceError, request: HttpRequest) -> HttpResponse:
    """Write an error of ours as the answer to `request`, whose sender is a program."""
    return response(_ours(error, in_body=False), request)


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponseBase | None:
    """REST framework's EXCEPTION_HANDLER; what nobody foresaw is raised on, to the log and `server_error` below."""
    request = context["request"]._request
    problem = describe(error, method=request.method)
    if problem is None:
        return None
    if problem.status >= 500:
        log.error("request_failed", code=problem.code, path=request.path, exc_info=error)
    set_rollback()
    return response(problem, request)


# --- Django's own handlers, for what happens outside of a REST view; urls.py names them -------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400."""
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    return response(describe(exception) or UNREADABLE, request)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    if not _is_api(request):
        return defaults.permission_denied(request, exception)
    return response(FORBIDDEN, request)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    if not _is_api(request):
        return csrf_failure_page(request, reason=reason)
    return response(Problem(403, "csrf_failed", "The CSRF token is missing or wrong."), request)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    if not _is_api(request):
        return defaults.page_not_found(request, exception)
    return response(NOTHING_HERE, request)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: called while the error is being handled, and logged with its traceback by Django."""
    error = sys.exc_info()[1]
    if not _is_api(request):
        return defaults.server_error(request)
    foreseen = describe(error, method=request.method or "") if error else None
    return response(
        foreseen or Problem(500, "internal_error", "Something went wrong on our side; it is logged."), request
    )


# --- from errors to problems ------------------------------------------------------------------------------------------


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(API_PREFIX)


def _ours(error: MarketplaceError, *, in_body: bool) -> Problem:
    status = status_of(error, in_body=in_body)
    headers = {"WWW-Authenticate": CHALLENGE} if status == 401 else {}
    wait = error.data.get("retry_after", RETRY_AFTER_SECONDS if status == 503 else None)
    if wait is not None:
        headers["Retry-After"] = str(wait)
    pointer = error.data.get("pointer")
    extra = {camel(name): camel_keys(value) for name, value in error.data.items()}
    return Problem(
        status,
        error.code,
        error.message,
        title=(type(error).__doc__ or "").strip().splitlines()[0].rstrip("."),
        retryable=error.retryable,
        errors=() if pointer is None else (_entry(pointer, error.code, error.message),),
        headers=headers,
        extra={name: value for name, value in extra.items() if name not in _RESERVED},
    )


def _rest_framework(error: drf.APIException) -> Problem:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(wait)
    code = next((code for kind, code in _CODE_OF_DRF.items() if isinstance(error, kind)), str(error.default_code))
    detail = error.detail if isinstance(error.detail, str) else str(error.default_detail)
    status = error.status_code
    return Problem(status, code, str(detail), retryable=status in {429, 503}, headers=headers)


def _field_errors(detail: object, pointer: str = "") -> Iterator[dict[str, str]]:
    """Flatten REST framework's nested error details into entries with a JSON pointer (RFC 6901) each."""
    if isinstance(detail, str):
        yield _entry(pointer, getattr(detail, "code", None) or "invalid", detail)
    elif isinstance(detail, Mapping):
        for key, value in detail.items():
            whole = key == api_settings.NON_FIELD_ERRORS_KEY
            yield from _field_errors(value, pointer if whole else f"{pointer}/{_token(key)}")
    elif isinstance(detail, list | tuple):
        for index, value in enumerate(detail):
            # A list holds messages about this very place, or one (maybe empty) mapping for each item of a list.
            yield from _field_errors(value, pointer if isinstance(value, str) else f"{pointer}/{index}")


def _token(key: object) -> str:
    name = key if isinstance(key, AsSent) else camel(str(key))
    return name.replace("~", "~0").replace("/", "~1")


def _entry(pointer: str, code: str, detail: str) -> dict[str, str]:
    return {"pointer": pointer, "code": code, "detail": str(detail)}
