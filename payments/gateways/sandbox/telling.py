"""What the sandbox gateway tells by webhook: kept beside the money, delivered until it is taken."""

import json
import os
import random
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from payments.gateways.sandbox.options import DAY_SECONDS, Terms
from payments.gateways.sandbox.wire import Answer

_SECOND: Final = 1_000_000  # microseconds
_LONGEST_PAUSE: Final = 60  # seconds between two deliveries that fail
_GIVEN_UP_AFTER: Final = DAY_SECONDS
_AT_ONCE: Final = 50

TYPES: Final = {
    "AUTHORIZE": "authorization.authorized",
    "DECLINE": "authorization.declined",
    "CAPTURE": "authorization.captured",
    "VOID": "authorization.voided",
    "EXPIRE": "authorization.voided",
    "REFUND": "authorization.refunded",
    "REVERSE": "authorization.reversed",
    "OPEN": "dispute.opened",
    "WON": "dispute.won",
    "LOST": "dispute.lost",
}


def microseconds() -> int:
    return time.time_ns() // 1000


class Telling:
    """The events in the ledger. Used inside its transactions, from its thread."""

    def __init__(self, db: sqlite3.Connection, terms: Terms) -> None:
        self._db = db
        self._terms = terms
        self._stirred = False

    def stirred(self) -> bool:
        """Whether something is to be told since this was last asked."""
        stirred, self._stirred = self._stirred, False
        return stirred

    def tell(self, row: sqlite3.Row, kind: str, *, by_bank: bool) -> None:
        """Write down that `kind` happened to the authorization `row`, unless it goes without saying."""
        if not self._terms.tells or not (by_bank or self._terms.tells_all):
            return
        self._stirred = True
        now = microseconds()
        event_id = f"evt_{os.urandom(12).hex()}"
        at = datetime.fromtimestamp(now / _SECOND, UTC).isoformat()
        data = {"key": row["key"], "reference": row["reference"]}
        body = json.dumps({"id": event_id, "type": TYPES[kind], "created_at": at, "data": data})
        copies = 2 if random.random() < self._terms.duplicates else 1  # noqa: S311 no secret
        self._db.execute(
            "INSERT INTO events (id, authorization_id, type, body, copies, due_at, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (event_id, row["id"], TYPES[kind], body, copies, now + self._lateness(), now),
        )

    def due(self) -> Answer:
        """Return what is to be delivered now, and when to ask again (microseconds since 1970; None: when called)."""
        rows = self._db.execute(
            "SELECT id, body, due_at FROM events WHERE due_at IS NOT NULL ORDER BY due_at LIMIT ?", (_AT_ONCE,)
        ).fetchall()
        now = microseconds()
        ready = [(row["id"], row["body"]) for row in rows if row["due_at"] <= now]
        return Answer(200, {"events": ready, "next": rows[0]["due_at"] if rows else None})

    def delivered(self, results: Sequence[tuple[str, int, str]]) -> Answer:
        """Write down what became of deliveries: event, HTTP status (0: none), and what to show a person."""
        for event_id, status, shown in results:
            row = self._db.execute("SELECT copies, tries, created_at FROM events WHERE id = ?", (event_id,)).fetchone()
            now = microseconds()
            taken = 200 <= status < 300
            copies = row["copies"] - taken
            if not taken:
                due_at = now + min(2 ** min(row["tries"], 10), _LONGEST_PAUSE) * _SECOND
            else:
                due_at = now + self._lateness()
            over = copies == 0 or now - row["created_at"] > _GIVEN_UP_AFTER * _SECOND
            self._db.execute(
                "UPDATE events SET copies = ?, tries = tries + 1, last_status = ?, due_at = ? WHERE id = ?",
                (copies, shown, None if over else due_at, event_id),
            )
        return Answer(200, {})

    def of(self, authorization_id: int) -> list[sqlite3.Row]:
        """Every event about one authorization, oldest first."""
        return self._db.execute(
            "SELECT id, type, copies, tries, last_status, created_at FROM events WHERE authorization_id = ?"
            " ORDER BY created_at, id",
            (authorization_id,),
        ).fetchall()

    def _lateness(self) -> int:
        return int(random.uniform(0, self._terms.disorder_seconds) * _SECOND)  # noqa: S311 no secret
