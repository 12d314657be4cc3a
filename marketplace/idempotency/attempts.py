"""One attempt at some requests together: who is first works, in one transaction with the records of its answers.

Whoever waits for somebody else's answer is told so, and may come back: waiting is not done here, where others would
have to wait along.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Any, Generic, TypeVar

from django.db import transaction

from marketplace.idempotency import front, records
from marketplace.idempotency.front import Front
from marketplace.idempotency.records import Record, Scope
from marketplace.kernel.bulk import to_json
from marketplace.kernel.errors import MarketplaceError

Body = dict[str, Any]
Asked = TypeVar("Asked")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the work answers; it is stored as it is, so it must hold no secret."""

    status: int
    body: Body
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request(Generic[Asked]):
    """Something that is `asked` under a key; `fingerprint` is of its body."""

    scope: Scope
    fingerprint: str
    asked: Asked

    @cached_property
    def digest(self) -> bytes:
        """The key, as it is known to Redis and PostgreSQL."""
        return self.scope.digest()


@dataclass(frozen=True, slots=True)
class Finding:
    """What an attempt came to for one request: a `record` of the answer, a `refusal`, or neither: others are at it."""

    record: Record | None = None
    fresh: bool = False  # the work was done in this attempt
    refusal: MarketplaceError | None = None


Work = Callable[[Sequence[Asked]], Sequence[Answer | MarketplaceError]]


class _OvertakenError(Exception):
    """Another request with one of the keys committed first; ours is rolled back."""


def attempt(requests: Sequence[Request[Asked]], *, work: Work[Asked], now: datetime) -> list[Finding]:
    """Do the work for those of `requests` that are the first with their keys; return what it came to for each.

    Work and records are committed together, or not at all: what `work` raises passes through, and nothing is stored.
    A refusal that it returns is one request's alone; nothing may have been written for it. Takes its own transaction,
    or part in the caller's.
    """
    first: dict[bytes, Request[Asked]] = {}
    for request in requests:
        first.setdefault(request.digest, request)  # to work for; a key may come twice
    looks = front.claim(list(first))
    findings = {digest: Finding(look.record) for digest, look in looks.items() if look.record}
    open_ = {digest: first[digest] for digest in looks if digest not in findings}
    free = [digest for digest, look in looks.items() if look.front in (Front.MINE, Front.DOWN)]
    try:
        if open_:
            flagged = not any(look.front is Front.DOWN for look in looks.values())
            findings |= _work_and_record(open_, free, flagged=flagged, work=work, now=now)
    except _OvertakenError:
        front.lower(free)
        findings |= _found(records.find(free, now=now))
    except BaseException:
        front.lower(free)
        raise
    return [_of(request, findings.get(request.digest, _NOTHING), first) for request in requests]


def _of(request: Request[Asked], finding: Finding, first: Mapping[bytes, Request[Asked]]) -> Finding:
    """What `finding` is to `request`: to the second with a key, the first one's answer is a replay."""
    return finding if first[request.digest] is request else Finding(finding.record)


@transaction.atomic
def _work_and_record(
    requests: Mapping[bytes, Request[Asked]], free: Sequence[bytes], *, flagged: bool, work: Work[Asked], now: datetime
) -> dict[bytes, Finding]:
    """Find what is recorded already, and work for those of `free` that have no record.

    Without flags in Redis, locks in PostgreSQL keep others from working in vain. Either is a courtesy: what decides is
    the record's primary key.
    """
    known = records.find(list(requests), now=now)
    mine = [digest for digest in free if digest not in known]
    if mine and not flagged:
        locked = records.try_lock(mine)
        known |= records.find(mine, now=now)  # who had the lock before us may have written it since
        mine = [digest for digest in mine if digest in locked and digest not in known]
    answers = dict(zip(mine, work([requests[digest].asked for digest in mine]), strict=True)) if mine else {}
    fresh = {
        digest: Record(requests[digest].fingerprint, answer.status, dict(answer.headers), to_json(answer.body))
        for digest, answer in answers.items()
        if isinstance(answer, Answer)
    }
    refused = {digest: answer for digest, answer in answers.items() if not isinstance(answer, Answer)}
    if fresh and not records.insert([(requests[digest].scope, record) for digest, record in fresh.items()], now=now):
        raise _OvertakenError
    transaction.on_commit(partial(_tell_front, keep=known | fresh, lower=list(refused)))
    return {
        **_found(known),
        **{digest: Finding(record, fresh=True) for digest, record in fresh.items()},
        **{digest: Finding(refusal=refusal) for digest, refusal in refused.items()},
    }


def _tell_front(*, keep: Mapping[bytes, Record], lower: Sequence[bytes]) -> None:
    front.keep(keep)
    front.lower(lower)


def _found(known: Mapping[bytes, Record]) -> dict[bytes, Finding]:
    return {digest: Finding(record) for digest, record in known.items()}


_NOTHING = Finding()
