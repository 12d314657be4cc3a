"""The books of a sandbox: one SQLite file, written by one thread.

Each commit is on disk (WAL, synchronous=FULL) before anything is answered, so what was acknowledged outlives a
`kill -9` and a power cut.

An idempotency key belongs to one request. The same request again is answered as the first time; another request with
that key is 422 `idempotency_key_reused`. What is not final is not kept: nothing has happened, and the same key may yet
do it.
"""

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from marketplace.sandbox.wire import Answer, error

ANSWERS_TABLE: Final = """
CREATE TABLE answers (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL
) WITHOUT ROWID;
"""


class LedgerUnusable(Exception):
    """The ledger can't be opened; the message says why, in one line."""


class Ledger:
    """The books in `folder`, which is made if it is missing. To be used from one thread at a time."""

    who = "sandbox"
    version = 1
    scripts: Mapping[int, str] = {}  # SQL that makes today's tables of those of an older version; 0: of nothing

    def __init__(self, folder: Path) -> None:
        """Open the books, alone. Raises `LedgerUnusable`."""
        self._db, self._lock = _open(folder, self)

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


def _open(folder: Path, ledger: Ledger) -> tuple[sqlite3.Connection, int]:
    """Open the file alone; return it with the lock's descriptor.

    An older one is brought up to date, all at once or not at all.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "ledger.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerUnusable(f"another {ledger.who} is using {folder}") from None
        db = sqlite3.connect(folder / "ledger.sqlite3", isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        _prepare(db, folder, ledger)
    except (OSError, sqlite3.Error) as problem:
        raise LedgerUnusable(f"the ledger in {folder} can't be opened: {problem}") from problem
    return db, lock


def _prepare(db: sqlite3.Connection, folder: Path, ledger: Ledger) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found in ledger.scripts:  # foreign keys are off as yet, so that a table can be replaced
        db.executescript(f"BEGIN;{ledger.scripts[found]}PRAGMA user_version={ledger.version};COMMIT;")
    elif found != ledger.version:
        wanted = ledger.version
        raise LedgerUnusable(f"the ledger in {folder} is of version {found}; this {ledger.who} writes {wanted}")
    db.execute("PRAGMA foreign_keys=ON")
