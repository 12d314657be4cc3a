"""Doing work once for each key, whoever asks how often and whatever is down."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db import transaction

from marketplace.idempotency import front, records
from marketplace.idempotency.errors import InProgress, KeyReused
from marketplace.idempotency.front import Front
from marketplace.idempotency.records import Record, Scope
from marketplace.kernel.bulk import to_json

__all__ = ["Answer", "Response", "Scope", "fingerprint", "run_once"]

WAIT_SECONDS: Final = 1.0  # for the first request to finish
_PAUSE_SECONDS: Final = 0.01  # between two looks at first; doubled up to the longest
_LONGEST_PAUSE_SECONDS: Final = 0.16

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the work answers; it is stored as it is, so it must hold no secret."""

    status: int
    body: Body
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """What the client gets; `replayed` when an earlier request did the work."""

    status: int
    body: Body
    headers: Mapping[str, str]
    replayed: bool


class _OvertakenError(Exception):
    """Another request with this key committed first; ours is rolled back."""


def fingerprint(body: object) -> str:
    """Return the SHA-256, in hex, of `body` as canonical JSON: the order of members and white space say nothing."""
    canonical = json.dumps(json.loads(to_json(body)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def run_once(
    scope: Scope,
    *,
    fingerprint: str,
    now: datetime,
    work: Callable[[], Answer],
    present: Callable[[Body], Body] = lambda body: body,
) -> Response:
    """Run `work` unless it was done for this key already, and return its answer, or the answer there was then.

    `work` runs in a transaction that this opens, together with the record of its answer. Whatever it raises passes
    through, and nothing is stored: a refusal has changed nothing, so it may be asked again. `present` is applied to the
    body on its way out, first time and replay alike; it must depend on nothing but the body.

    Raises `KeyReused` when the key was used with another `fingerprint`, `InProgress` when the first request has not
    finished within a second, and the database's errors when it does not answer: never is the work done unrecorded.
    """
    digest = scope.digest()
    attempt = partial(_attempt, scope, digest, fingerprint=fingerprint, now=now, work=work)
    deadline, pause = time.monotonic() + WAIT_SECONDS, _PAUSE_SECONDS
    while True:
        look = front.claim(digest)
        record, fresh = look.record, False
        if look.front is Front.MINE:
            record, fresh = attempt(locked=True)
        elif look.front is Front.DOWN:
            record, fresh = attempt(locked=False)
        elif look.front is Front.TAKEN:
            record = records.find(digest, now=now)
        if record is not None:
            return _respond(record, fingerprint=fingerprint, present=present, replayed=not fresh)
        if time.monotonic() >= deadline:
            raise InProgress(retry_after=1)
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _attempt(
    scope: Scope, digest: bytes, *, locked: bool, fingerprint: str, now: datetime, work: Callable[[], Answer]
) -> tuple[Record | None, bool]:
    """Do the work and record it, or find the record of it; return (record, whether it is ours).

    Without the flag in Redis (`locked` False) a lock in PostgreSQL keeps others from working in vain; None when one of
    them has it. Either is a courtesy: what decides is the record's primary key.
    """
    try:
        record, fresh = _work_and_record(scope, digest, locked=locked, fingerprint=fingerprint, now=now, work=work)
    except _OvertakenError:
        record, fresh = records.find(digest, now=now), False
    except BaseException:
        front.lower(digest)
        raise
    if record is not None:
        transaction.on_commit(partial(front.keep, digest, record))
    return record, fresh


@transaction.atomic
def _work_and_record(
    scope: Scope, digest: bytes, *, locked: bool, fingerprint: str, now: datetime, work: Callable[[], Answer]
) -> tuple[Record | None, bool]:
    record = records.find(digest, now=now)
    if record is None and not locked:
        if not records.try_lock(digest):
            return None, False
        record = records.find(digest, now=now)  # who had the lock before us may have written it since
    if record is not None:
        return record, False
    answer = work()
    record = Record(fingerprint, answer.status, dict(answer.headers), to_json(answer.body))
    if not records.insert(scope, record, now=now):
        raise _OvertakenError
    return record, True


def _respond(record: Record, *, fingerprint: str, present: Callable[[Body], Body], replayed: bool) -> Response:
    """Answer from the record, first time and replay alike, so that both are the same to the byte."""
    if record.fingerprint != fingerprint:
        raise KeyReused
    return Response(record.status, present(json.loads(record.body)), record.headers, replayed)
