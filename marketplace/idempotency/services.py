"""Doing work once for each key, whoever asks how often and whatever is down."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, Generic, TypeVar

from django.db import connection

from marketplace.idempotency.attempts import Answer, Body, Finding, Request, attempt
from marketplace.idempotency.errors import InProgress, KeyReused
from marketplace.idempotency.records import Scope
from marketplace.kernel.bulk import to_json
from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.gathering import Gathering

__all__ = ["Answer", "Body", "Response", "Scope", "Together", "fingerprint", "run_once"]

WAIT_SECONDS: Final = 1.0  # for the first request to finish
_PAUSE_SECONDS: Final = 0.01  # between two looks at first; doubled up to the longest
_LONGEST_PAUSE_SECONDS: Final = 0.16

Asked = TypeVar("Asked")
SharedWork = Callable[[Sequence[Asked], datetime], Sequence[Answer | MarketplaceError]]


@dataclass(frozen=True, slots=True)
class Response:
    """What the client gets; `replayed` when an earlier request did the work."""

    status: int
    body: Body
    headers: Mapping[str, str]
    replayed: bool


def _as_it_is(body: Body) -> Body:
    return body


def fingerprint(body: object) -> str:
    """Return the SHA-256, in hex, of `body` as canonical JSON: the order of members and white space say nothing."""
    return hashlib.sha256(to_json(body, sort_keys=True).encode()).hexdigest()


def run_once(
    scope: Scope,
    *,
    fingerprint: str,
    now: datetime,
    work: Callable[[], Answer],
    present: Callable[[Body], Body] = _as_it_is,
) -> Response:
    """Run `work` unless it was done for this key already, and return its answer, or the answer there was then.

    `work` runs in a transaction that this opens, together with the record of its answer. Whatever it raises passes
    through, and nothing is stored: a refusal has changed nothing, so it may be asked again. `present` is applied to the
    body on its way out, first time and replay alike; it must depend on nothing but the body.

    Raises `KeyReused` when the key was used with another `fingerprint`, `InProgress` when the first request has not
    finished within a second, and the database's errors when it does not answer: never is the work done unrecorded.
    """
    request = Request(scope, fingerprint, None)
    look = partial(attempt, [request], work=lambda _: [work()], now=now)
    return _answered(request, lambda: look()[0], present=present)


class Together(Generic[Asked]):
    """Work that is done once for each key, and in one transaction for all who ask at the same time.

    `work(asked, now)` runs in the transaction of the records of its answers. It answers each, in their order: by an
    `Answer`, or by a refusal, for which nothing may have been written. What it raises undoes the work for all of them.

    Under load one commit, and one of each statement, serves a whole group; who comes alone is served alone, at once.
    A group that fails is taken apart, and each request of it tried by itself: none is harmed by another.
    """

    def __init__(self, work: SharedWork[Asked]) -> None:
        self._work = work
        self._gathering = Gathering(self._attempt)

    def run_once(
        self, scope: Scope, *, fingerprint: str, asked: Asked, present: Callable[[Body], Body] = _as_it_is
    ) -> Response:
        """Have the work done for `asked`, as the function `run_once` does it, and raise what that raises.

        Inside of a transaction it is done alone, since its outcome is that transaction's.
        """
        request = Request(scope, fingerprint, asked)

        def look() -> Finding:
            return self._attempt([request])[0] if connection.in_atomic_block else self._gathering.put(request)

        return _answered(request, look, present=present)

    def _attempt(self, requests: Sequence[Request[Asked]]) -> list[Finding]:
        now = database_now()
        return attempt(requests, work=lambda asked: self._work(asked, now), now=now)


def _answered(request: Request[Asked], look: Callable[[], Finding], *, present: Callable[[Body], Body]) -> Response:
    """Look until there is an answer; raises its refusal, `KeyReused`, or `InProgress`."""
    deadline, pause = time.monotonic() + WAIT_SECONDS, _PAUSE_SECONDS
    while True:
        finding = look()
        if finding.refusal is not None:
            raise finding.refusal
        if (record := finding.record) is not None:
            if record.fingerprint != request.fingerprint:
                raise KeyReused
            # From the record, first time and replay alike, so that both are the same to the byte.
            return Response(record.status, present(json.loads(record.body)), record.headers, not finding.fresh)
        if time.monotonic() >= deadline:
            raise InProgress(retry_after=1)
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
