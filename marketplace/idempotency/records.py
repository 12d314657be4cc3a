"""The truth: a row per key, whose primary key lets only one of several requests commit."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from django.db import connection

from marketplace.kernel.bulk import to_json

KEPT_FOR: Final = timedelta(days=30)

# A row past its time that nobody has swept yet is in nobody's way.
_INSERT: Final = """
INSERT INTO idempotency_record
    (digest, principal, method, route, fingerprint, status, headers, body, created_at, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (digest) DO UPDATE SET
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
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote."""
        return cls(**json.loads(text))


def find(digest: bytes, *, now: datetime) -> Record | None:
    """Return the record that is committed (or our transaction's own) and not past its time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT fingerprint, status, headers::text, body FROM idempotency_record"
            " WHERE digest = %s AND expires_at > %s",
            [digest, now],
        )
        row = cursor.fetchone()
    return None if row is None else Record(row[0], row[1], json.loads(row[2]), row[3])


def insert(scope: Scope, record: Record, *, now: datetime) -> bool:
    """Write `record` in the caller's transaction; return False when another request was first.

    Waits for a transaction that is just writing the same key, and answers when that one has ended.
    """
    values: list[Any] = [
        scope.digest(),
        scope.principal,
        scope.method,
        scope.route,
        record.fingerprint,
        record.status,
        to_json(dict(record.headers)),
        record.body,
        now,
        now + KEPT_FOR,
    ]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)
        return bool(cursor.rowcount == 1)


def try_lock(digest: bytes) -> bool:
    """Take the key's lock until the caller's transaction ends; return False when another transaction has it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], byteorder="big", signed=True)]
        )
        [(locked,)] = cursor.fetchall()
    return bool(locked)


def delete_expired(*, now: datetime, limit: int) -> int:
    """Delete up to `limit` records past their time; return how many were. Owns its transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM idempotency_record WHERE digest = ANY(ARRAY("
            "SELECT digest FROM idempotency_record WHERE expires_at <= %s LIMIT %s FOR UPDATE SKIP LOCKED))",
            [now, limit],
        )
        return int(cursor.rowcount)
