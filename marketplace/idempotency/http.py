"""Idempotency keys of HTTP requests."""

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.idempotency import services
from marketplace.idempotency.errors import KeyMalformed, KeyMissing
from marketplace.idempotency.services import Scope, fingerprint

HEADER: Final = "Idempotency-Key"
MEMBER: Final = "requestId"
GUEST: Final = "guest"
SHORTEST_GUEST_KEY: Final = 16

_KEY: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")  # a header can't hold blanks at its ends


class Once(Protocol):
    """Whatever answers once for each key, such as `Together.run_once` with all but these two given."""

    def __call__(self, scope: Scope, *, fingerprint: str) -> services.Response: ...


def respond(request: Request, *, route: str, once: Once) -> Response:
    """Answer `request` with what `once` answers for its key and body.

    A replay says so in `Idempotency-Replayed`. Raises `KeyMissing` and `KeyMalformed`, and what `once` raises.
    """
    principal = principal_of(request)
    key = key_of(request, guest=principal == GUEST)
    answer = once(
        Scope(principal=principal, method=request.method or "", route=route, key=key),
        fingerprint=fingerprint(_content(request.data)),
    )
    headers = {**answer.headers, **({"Idempotency-Replayed": "true"} if answer.replayed else {})}
    return Response(answer.body, status=answer.status, headers=headers)


def key_of(request: Request, *, guest: bool) -> str:
    """Return the key in the header or in the body; raises `KeyMissing` or `KeyMalformed`.

    A `guest` is known by the key alone, which must therefore be hard to guess: at least 16 characters.
    """
    in_header = request.headers.get(HEADER)
    in_body = request.data.get(MEMBER) if isinstance(request.data, Mapping) else None
    if in_header is None and in_body is None:
        raise KeyMissing
    if in_header is not None and in_body is not None and in_header != in_body:
        raise KeyMalformed("The Idempotency-Key header and the body's requestId differ.", pointer=f"/{MEMBER}")
    key = in_body if in_header is None else in_header
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise KeyMalformed
    if guest and len(key) < SHORTEST_GUEST_KEY:
        raise KeyMalformed(f"Without signing in, an idempotency key has at least {SHORTEST_GUEST_KEY} characters.")
    return key


def principal_of(request: Request) -> str:
    """Return whose keys these are: the user's, the session's, or just anybody's who knows the key."""
    if request.user.is_authenticated:
        return f"user:{request.user.pk}"
    session = getattr(request._request, "session", None)
    if session is not None and session.session_key and session.exists(session.session_key):
        return f"session:{fingerprint(session.session_key)}"
    return GUEST


def _content(data: Any) -> Any:
    """What is asked for; the key is not part of it, so that it may come in the header now and in the body then."""
    if isinstance(data, Mapping):
        return {name: value for name, value in data.items() if name != MEMBER}
    return data
