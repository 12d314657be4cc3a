"""The tables of the sandbox gateway's ledger, and how an older ledger becomes one of today."""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

VERSION: Final = 2

_AUTHORIZATIONS: Final = """
CREATE TABLE {name} (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL UNIQUE,
    method TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    decision TEXT NOT NULL DEFAULT 'APPROVED' CHECK (decision IN ('PENDING', 'APPROVED', 'DECLINED')),
    decline_code TEXT NOT NULL DEFAULT '',
    decline_message TEXT NOT NULL DEFAULT '',
    page TEXT UNIQUE,  -- the unguessable part of the address where the buyer confirms
    return_url TEXT NOT NULL DEFAULT '',
    captured_minor INTEGER NOT NULL DEFAULT 0,
    refunded_minor INTEGER NOT NULL DEFAULT 0,
    reversed_minor INTEGER NOT NULL DEFAULT 0,  -- taken back by the bank itself
    dispute TEXT NOT NULL DEFAULT '' CHECK (dispute IN ('', 'OPEN', 'WON', 'LOST')),
    voided INTEGER NOT NULL DEFAULT 0,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,  -- microseconds since 1970
    CHECK (0 <= refunded_minor AND 0 <= reversed_minor AND refunded_minor + reversed_minor <= captured_minor
           AND captured_minor <= amount_minor),
    CHECK (NOT (voided AND captured_minor > 0)),
    CHECK (captured_minor = 0 OR decision = 'APPROVED'),
    CHECK ((decision = 'DECLINED') = (decline_code <> ''))
);
"""
_INDEXES: Final = """
CREATE INDEX authorizations_since ON authorizations (created_at, id);
CREATE INDEX authorizations_open ON authorizations (created_at)
    WHERE captured_minor = 0 AND NOT voided AND decision <> 'DECLINED';
"""
_REST: Final = """
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
_BY_ITSELF: Final = """
CREATE TABLE plans (  -- what the bank will do by itself
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    authorization_id INTEGER NOT NULL REFERENCES authorizations,
    what TEXT NOT NULL,
    due_at INTEGER NOT NULL
);
CREATE INDEX plans_due ON plans (due_at);
CREATE TABLE events (  -- what is told by webhook; due_at is empty once it is delivered, or given up
    id TEXT PRIMARY KEY,
    authorization_id INTEGER NOT NULL REFERENCES authorizations,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    copies INTEGER NOT NULL,  -- still to be delivered: more than one on demand
    tries INTEGER NOT NULL DEFAULT 0,
    last_status TEXT NOT NULL DEFAULT '',
    due_at INTEGER,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_due ON events (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX events_of_an_authorization ON events (authorization_id);
"""
_CARRIED_OVER: Final = """
INSERT INTO of_today (id, key, reference, method, amount_minor, currency, captured_minor, refunded_minor, voided,
                      metadata, created_at)
SELECT id, key, reference, method, amount_minor, currency, captured_minor, refunded_minor, voided, metadata, created_at
FROM authorizations;
"""
_NEW: Final = _AUTHORIZATIONS.format(name="authorizations") + _INDEXES + _REST + _BY_ITSELF
_FROM: Final = {
    1: _AUTHORIZATIONS.format(name="of_today")
    + _CARRIED_OVER
    + "DROP TABLE authorizations; ALTER TABLE of_today RENAME TO authorizations;"
    + _INDEXES
    + _BY_ITSELF
}


class LedgerUnusable(Exception):
    """The ledger can't be opened; the message says why, in one line."""


def open_ledger(folder: Path) -> tuple[sqlite3.Connection, int]:
    """Open the ledger in `folder`, which is made if it is missing, alone; return it with the lock's descriptor.

    An older one is brought up to date, all at once or not at all. Raises `LedgerUnusable`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "ledger.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerUnusable(f"another sandbox gateway is using {folder}") from None
        db = sqlite3.connect(folder / "ledger.sqlite3", isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        _prepare(db, folder)
    except (OSError, sqlite3.Error) as problem:
        raise LedgerUnusable(f"the ledger in {folder} can't be opened: {problem}") from problem
    return db, lock


def _prepare(db: sqlite3.Connection, folder: Path) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version in {0, *_FROM}:  # foreign keys are off as yet, so that a table can be replaced
        db.executescript(f"BEGIN;{_FROM.get(version, _NEW)}PRAGMA user_version={VERSION};COMMIT;")
    elif version != VERSION:
        raise LedgerUnusable(f"the ledger in {folder} is of version {version}; this gateway writes {VERSION}")
    db.execute("PRAGMA foreign_keys=ON")
