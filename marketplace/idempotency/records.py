"""The truth: a row per key, whose primary key lets only one of several requests commit."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Final, Self

from django.db import connection

from marketplace.idempotency.models import IdempotencyRecord
from marketplace.kernel import bulk
from marketplace.kernel.bulk import binding_cursor

KEPT_FOR: Final = timedelta(days=30)

_COLUMNS: Final = (
    "digest", "principal", "method", "route", "fingerprint", "status", "headers", "body", "created_at", "expires_at",
)  # fmt: skip
# A row past its time that nobody has swept yet is in nobody's way.
_UNLESS_TAKEN: Final = """
(digest) DO UPDATE SET
    fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers, body = excluded.body,
    created_at = excluded.created_at, expires_at = excluded.expires_at
WHERE idempotency_record.expires_at <= excluded.created_at
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """Within what a key means one thing: `principal` is who asks, `route` the address' pattern, not the address."""

    principal: str
    method: str
    route: str
    key: str

    def digest(self) -> bytes:
        """Return the SHA-256 of all four."""
        return hashlib.sha256(json.dumps([self.principal, self.method, self.route, self.key]).encode()).digest()


@dataclass(frozen=True, slots=True)
class Record:
    """A finished answer, as it is stored: `body` is JSON text."""

    fingerprint: str
    status: int
    headers: Mapping[str, str]
    body: str

    def to_text(self) -> str:
        """Write for Redis."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote."""
        return cls(**json.loads(text))


def find(digests: Sequence[bytes], *, now: datetime) -> dict[bytes, Record]:
    """Return the records that are committed (or our transaction's own) and not past their time."""
    with binding_cursor() as cursor:
        cursor.execute(
            "SELECT digest, fingerprint, status, headers::text, body FROM idempotency_record"
            " WHERE digest = ANY(%s) AND expires_at > %s",
            [list(digests), now],
        )
        rows = cursor.fetchall()
    return {bytes(digest): Record(mark, status, json.loads(text), body) for digest, mark, status, text, body in rows}


def insert(finished: Sequence[tuple[Scope, Record]], *, now: datetime) -> bool:
    """Write the records in the caller's transaction; return False when another request was first with any of them.

    Waits for a transaction that is just writing one of the keys, and answers when that one has ended. The keys must
    differ; they are written in one order by everybody, so that two groups don't wait for each other.
    """
    rows = [
        (
            *(scope.digest(), scope.principal, scope.method, scope.route, record.fingerprint, record.status),
            *(record.headers, record.body, now, now + KEPT_FOR),
        )
        for scope, record in finished
    ]
    return bulk.insert(IdempotencyRecord, _COLUMNS, sorted(rows, key=itemgetter(0)), on_conflict=_UNLESS_TAKEN) == len(
        rows
    )


def try_lock(digests: Sequence[bytes]) -> set[bytes]:
    """Take the keys' locks until the caller's transaction ends; return those that no other transaction has."""
    numbers = [int.from_bytes(digest[:8], byteorder="big", signed=True) for digest in digests]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(number) FROM unnest(%s::bigint[]) AS number", [numbers])
        locked = [row[0] for row in cursor.fetchall()]
    return {digest for digest, ours in zip(digests, locked, strict=True) if ours}


def delete_expired(*, now: datetime, limit: int) -> int:
    """Delete up to `limit` records past their time; return how many were. Owns its transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM idempotency_record WHERE digest = ANY(ARRAY("
            "SELECT digest FROM idempotency_record WHERE expires_at <= %s LIMIT %s FOR UPDATE SKIP LOCKED))",
            [now, limit],
        )
        return int(cursor.rowcount)
