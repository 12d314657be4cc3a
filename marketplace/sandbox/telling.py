"""What a sandbox tells by webhook: kept beside what it tells of, delivered until it is taken."""

import json
import os
import random
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from marketplace.sandbox.environment import DAY_SECONDS
from marketplace.sandbox.wire import Answer

SECOND: Final = 1_000_000  # microseconds
_LONGEST_PAUSE: Final = 60  # seconds between two deliveries that fail
_GIVEN_UP_AFTER: Final = DAY_SECONDS
_AT_ONCE: Final = 50


def events_table(subject: str, table: str) -> str:
    """The SQL that makes the table of events about the rows of `table`; `subject` is its column with their id."""
    return f"""
CREATE TABLE events (  -- what is told by webhook; due_at is empty once it is delivered, or given up
    id TEXT PRIMARY KEY,
    {subject} INTEGER NOT NULL REFERENCES {table},
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    copies INTEGER NOT NULL,  -- still to be delivered: more than one on demand
    tries INTEGER NOT NULL DEFAULT 0,
    last_status TEXT NOT NULL DEFAULT '',
    due_at INTEGER,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_due ON events (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX events_of_subject ON events ({subject});
"""


def microseconds() -> int:
    """The time now, since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Manner:
    """How it is told: a share of `duplicates` (0 to 1), each late by up to `disorder_seconds`."""

    duplicates: float = 0.0
    disorder_seconds: float = 0.0


class Telling:
    """The events in the ledger. Used inside its transactions, from its thread. `subject`: see `events_table`."""

    def __init__(self, db: sqlite3.Connection, manner: Manner, *, subject: str) -> None:
        self._db = db
        self._manner = manner
        self._subject = subject
        self._stirred = False

    def stirred(self) -> bool:
        """Whether something is to be told since this was last asked."""
        stirred, self._stirred = self._stirred, False
        return stirred

    def add(self, subject_id: int, kind: str, data: Mapping[str, Any]) -> None:
        """Write down that `kind` happened, with its `data`, and have it delivered."""
        self._stirred = True
        now = microseconds()
        event_id = f"evt_{os.urandom(12).hex()}"
        at = datetime.fromtimestamp(now / SECOND, UTC).isoformat()
        body = json.dumps({"id": event_id, "type": kind, "created_at": at, "data": dict(data)})
        copies = 2 if random.random() < self._manner.duplicates else 1  # noqa: S311 no secret
        self._db.execute(
            f"INSERT INTO events (id, {self._subject}, type, body, copies, due_at, created_at)"  # noqa: S608 a constant
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (event_id, subject_id, kind, body, copies, now + self._lateness(), now),
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
                due_at = now + min(2 ** min(row["tries"], 10), _LONGEST_PAUSE) * SECOND
            else:
                due_at = now + self._lateness()
            over = copies == 0 or now - row["created_at"] > _GIVEN_UP_AFTER * SECOND
            self._db.execute(
                "UPDATE events SET copies = ?, tries = tries + 1, last_status = ?, due_at = ? WHERE id = ?",
                (copies, shown, None if over else due_at, event_id),
            )
        return Answer(200, {})

    def of(self, subject_id: int) -> list[sqlite3.Row]:
        """Every event about one subject, oldest first."""
        return self._db.execute(
            f"SELECT id, type, copies, tries, last_status, created_at FROM events WHERE {self._subject} = ?"  # noqa: S608
            " ORDER BY created_at, id",
            (subject_id,),
        ).fetchall()

    def _lateness(self) -> int:
        return int(random.uniform(0, self._manner.disorder_seconds) * SECOND)  # noqa: S311 no secret
