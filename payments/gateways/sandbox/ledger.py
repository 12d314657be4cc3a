"""The sandbox gateway's own books: what was authorized, captured, voided and refunded, and what was answered.

One SQLite file, written by one thread. Each commit is on disk (WAL, synchronous=FULL) before anything is answered, so
what was acknowledged outlives a `kill -9` and a power cut.

The rules are those of a strict gateway:

- An idempotency key belongs to one request. The same request again is answered as the first time; another request
  with that key is 422 `idempotency_key_reused`. Turning away (503), "not found" and "nothing to refund" are not kept:
  nothing has happened, and the same key may yet do it.
- An authorization is captured once, never beyond its amount and never after a void; refunds never exceed the capture.
- Everything about an authorization works by its key. A void for a key that never came leaves a tombstone, and an
  authorization that arrives later is refused `voided_before_authorization`.
"""

import fcntl
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from payments.gateways.sandbox.tokens import TOKENS, UNKNOWN_TOKEN
from payments.gateways.sandbox.wire import Answer, error

_SCHEMA: Final = """
CREATE TABLE authorizations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL UNIQUE,
    method TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    captured_minor INTEGER NOT NULL DEFAULT 0,
    refunded_minor INTEGER NOT NULL DEFAULT 0,
    voided INTEGER NOT NULL DEFAULT 0,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,  -- microseconds since 1970
    CHECK (0 <= refunded_minor AND refunded_minor <= captured_minor AND captured_minor <= amount_minor),
    CHECK (NOT (voided AND captured_minor > 0))
);
CREATE INDEX authorizations_since ON authorizations (created_at, id);
CREATE TABLE movements (  -- append-only: every time money was held, taken, let go or given back
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    authorization_id INTEGER NOT NULL REFERENCES authorizations,
    kind TEXT NOT NULL,
    reference TEXT NOT NULL UNIQUE,
    amount_minor INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
);
CREATE INDEX movements_of_an_authorization ON movements (authorization_id);
CREATE TABLE answers (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE tombstones (key TEXT PRIMARY KEY, created_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE turned_away (key TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
"""
_VERSION: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PREFIX: Final = {"AUTHORIZE": "ch", "CAPTURE": "cap", "VOID": "vo", "REFUND": "re"}


class LedgerUnusable(Exception):
    """The ledger can't be opened; the message says why, in one line."""


def turned_away() -> Answer:
    """The answer to a request that was turned away at the door: nothing has happened."""
    return error(503, "processor_unavailable", "The payment processor is not available. Nothing has happened.")


def _not_found() -> Answer:
    return error(404, "authorization_not_found", "There is no authorization with this key.")


def _status(row: sqlite3.Row) -> str:
    if row["voided"]:
        return "VOIDED"
    if not row["captured_minor"]:
        return "AUTHORIZED"
    if not row["refunded_minor"]:
        return "CAPTURED"
    return "REFUNDED" if row["refunded_minor"] == row["captured_minor"] else "PARTIALLY_REFUNDED"


def _iso(microseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")


def _as_json(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "key": row["key"],
        "reference": row["reference"],
        "status": _status(row),
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "captured_minor": row["captured_minor"],
        "refunded_minor": row["refunded_minor"],
        "method": row["method"],
        "metadata": json.loads(row["metadata"]),
        "created_at": _iso(row["created_at"]),
    }


class Ledger:
    """The books in `folder`, which is made if it is missing. To be used from one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Open the books, alone. Raises `LedgerUnusable`."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "ledger.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LedgerUnusable(f"another sandbox gateway is using {folder}") from None
            self._db = sqlite3.connect(folder / "ledger.sqlite3", isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._prepare(folder)
        except (OSError, sqlite3.Error) as problem:
            raise LedgerUnusable(f"the ledger in {folder} can't be opened: {problem}") from problem

    def _prepare(self, folder: Path) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={_VERSION};COMMIT;")
        elif version != _VERSION:
            raise LedgerUnusable(f"the ledger in {folder} is of version {version}; this gateway writes {_VERSION}")

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def apply(self, commands: Sequence[Callable[[], Answer]]) -> list[Answer]:
        """Run `commands` (bound methods of this ledger) in order, commit once, and only then return their answers.

        All or nothing: whatever one of them raises, or the commit, leaves the books as they were.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            answers = [command() for command in commands]
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return answers

    # --- what moves money ---------------------------------------------------------------------------------------------

    def authorize(
        self, *, key: str, amount_minor: int, currency: str, method: str, metadata: Mapping[str, str]
    ) -> Answer:
        def decide() -> tuple[Answer, bool]:
            if self._db.execute("SELECT 1 FROM tombstones WHERE key = ?", (key,)).fetchone():
                return error(409, "voided_before_authorization", "This authorization was voided before it came."), True
            behaviour = TOKENS.get(method, UNKNOWN_TOKEN)
            if self._turns_away(key, behaviour.tries_turned_away):
                return turned_away(), False
            if behaviour.decline_code:
                return error(402, behaviour.decline_code, behaviour.decline_message), True
            reference = f"ch_{os.urandom(12).hex()}"
            self._db.execute(
                "INSERT INTO authorizations (key, reference, method, amount_minor, currency, metadata, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, reference, method, amount_minor, currency, json.dumps(dict(metadata)), _microseconds()),
            )
            self._move(key, "AUTHORIZE", amount_minor, key, reference)
            return self._done(key, 201, reference, amount_minor, lost=behaviour.loses_first_answer), True

        return self._once(key, ["authorize", amount_minor, currency, method, dict(metadata)], decide)

    def capture(self, *, key: str, authorization_key: str, amount_minor: int) -> Answer:
        def decide() -> tuple[Answer, bool]:
            row = self._authorization(authorization_key)
            if row is None:
                return _not_found(), False
            if row["voided"]:
                return error(409, "authorization_voided", "The authorization has been voided."), True
            if row["captured_minor"]:
                return error(409, "already_captured", "The authorization has been captured already."), True
            if amount_minor > row["amount_minor"]:
                return error(409, "amount_too_large", "The capture exceeds the authorization."), True
            self._db.execute("UPDATE authorizations SET captured_minor = ? WHERE id = ?", (amount_minor, row["id"]))
            reference = self._move(authorization_key, "CAPTURE", amount_minor, key)
            return self._done(authorization_key, 200, reference, amount_minor), True

        return self._once(key, ["capture", authorization_key, amount_minor], decide)

    def void(self, *, key: str, authorization_key: str) -> Answer:
        def decide() -> tuple[Answer, bool]:
            row = self._authorization(authorization_key)
            if row is None:
                self._db.execute(
                    "INSERT OR IGNORE INTO tombstones (key, created_at) VALUES (?, ?)",
                    (authorization_key, _microseconds()),
                )
                return Answer(200, {"reference": "", "code": "nothing_to_void", "amount_minor": 0}), True
            if row["voided"]:
                return self._done(authorization_key, 200, row["reference"], 0, code="already_voided"), True
            if row["captured_minor"]:
                return error(409, "already_captured", "What has been captured can only be refunded."), True
            self._db.execute("UPDATE authorizations SET voided = 1 WHERE id = ?", (row["id"],))
            reference = self._move(authorization_key, "VOID", row["amount_minor"], key)
            return self._done(authorization_key, 200, reference, row["amount_minor"]), True

        return self._once(key, ["void", authorization_key], decide)

    def refund(self, *, key: str, authorization_key: str, amount_minor: int | None) -> Answer:
        def decide() -> tuple[Answer, bool]:
            row = self._authorization(authorization_key)
            left = row["captured_minor"] - row["refunded_minor"] if row else 0
            if amount_minor is None and not left:
                return Answer(200, {"reference": "", "code": "nothing_to_refund", "amount_minor": 0}), False
            if row is None:
                return _not_found(), False
            amount = left if amount_minor is None else amount_minor
            if amount > left:
                return error(409, "amount_too_large", "The refund exceeds what is left of the capture."), True
            self._db.execute(
                "UPDATE authorizations SET refunded_minor = refunded_minor + ? WHERE id = ?", (amount, row["id"])
            )
            reference = self._move(authorization_key, "REFUND", amount, key)
            return self._done(authorization_key, 200, reference, amount), True

        return self._once(key, ["refund", authorization_key, amount_minor], decide)

    # --- what the books say -------------------------------------------------------------------------------------------

    def find(self, *, authorization_key: str) -> Answer:
        row = self._authorization(authorization_key)
        if row is None:
            return _not_found()
        movements = self._db.execute(
            "SELECT kind, reference, amount_minor, idempotency_key, created_at FROM movements"
            " WHERE authorization_id = ? ORDER BY id",
            (row["id"],),
        )
        story = [{**dict(movement), "created_at": _iso(movement["created_at"])} for movement in movements]
        return Answer(200, {"authorization": _as_json(row), "movements": story})

    def page(self, *, since: datetime, after: tuple[int, int], limit: int) -> Answer:
        """Authorizations made at or after `since`, oldest first, beyond the cursor `after` (time and id)."""
        start = max(after, ((since - _EPOCH) // timedelta(microseconds=1), 0))
        rows = self._db.execute(
            "SELECT * FROM authorizations WHERE (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?",
            (*start, limit + 1),
        ).fetchall()
        last = rows[limit - 1] if len(rows) > limit else None
        following = f"{last['created_at']}-{last['id']}" if last is not None else None
        return Answer(200, {"results": [_as_json(row) for row in rows[:limit]], "next": following})

    def health(self) -> Answer:
        self._db.execute("SELECT count(*) FROM tombstones").fetchone()
        return Answer(200, {"status": "ok"})

    # --- how ----------------------------------------------------------------------------------------------------------

    def _once(self, key: str, request: list[Any], decide: Callable[[], tuple[Answer, bool]]) -> Answer:
        """Answer a key from memory, else by `decide`, which says whether its answer is final and to be kept."""
        fingerprint = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        known = self._db.execute("SELECT fingerprint, status, body FROM answers WHERE key = ?", (key,)).fetchone()
        if known is not None:
            if known["fingerprint"] != fingerprint:
                return error(422, "idempotency_key_reused", "This idempotency key belongs to another request.")
            return Answer(known["status"], json.loads(known["body"]), {"Idempotency-Replayed": "true"})
        answer, final = decide()
        if final:
            self._db.execute(
                "INSERT INTO answers (key, fingerprint, status, body) VALUES (?, ?, ?, ?)",
                (key, fingerprint, answer.status, json.dumps(answer.body)),
            )
        return answer

    def _turns_away(self, key: str, times: int) -> bool:
        if not times:
            return False
        known = self._db.execute("SELECT times FROM turned_away WHERE key = ?", (key,)).fetchone()
        if known is not None and known["times"] >= times:
            return False
        self._db.execute(
            "INSERT INTO turned_away (key, times) VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET times = times + 1",
            (key,),
        )
        return True

    def _authorization(self, key: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM authorizations WHERE key = ?", (key,)).fetchone()
        return row

    def _move(self, authorization_key: str, kind: str, amount_minor: int, key: str, reference: str = "") -> str:
        reference = reference or f"{_PREFIX[kind]}_{os.urandom(12).hex()}"
        self._db.execute(
            "INSERT INTO movements (authorization_id, kind, reference, amount_minor, idempotency_key, created_at)"
            " SELECT id, ?, ?, ?, ?, ? FROM authorizations WHERE key = ?",
            (kind, reference, amount_minor, key, _microseconds(), authorization_key),
        )
        return reference

    def _done(
        self, key: str, status: int, reference: str, amount_minor: int, *, code: str = "", lost: bool = False
    ) -> Answer:
        row = self._authorization(key)
        authorization = _as_json(row) if row is not None else None
        body = {"reference": reference, "code": code, "amount_minor": amount_minor, "authorization": authorization}
        return Answer(status, body, lost=lost)


def _microseconds() -> int:
    return time.time_ns() // 1000
