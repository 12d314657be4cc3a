"""The tables of the sandbox gateway's ledger, and how an older ledger becomes one of today."""

from collections.abc import Mapping
from typing import Final

from marketplace.sandbox.ledger import ANSWERS_TABLE
from marketplace.sandbox.telling import events_table

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
CREATE TABLE tombstones (key TEXT PRIMARY KEY, created_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE turned_away (key TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
"""
_BY_ITSELF: Final = (
    events_table("authorization_id", "authorizations")
    + """
CREATE TABLE plans (  -- what the bank will do by itself
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    authorization_id INTEGER NOT NULL REFERENCES authorizations,
    what TEXT NOT NULL,
    due_at INTEGER NOT NULL
);
CREATE INDEX plans_due ON plans (due_at);
"""
)
_CARRIED_OVER: Final = """
INSERT INTO of_today (id, key, reference, method, amount_minor, currency, captured_minor, refunded_minor, voided,
                      metadata, created_at)
SELECT id, key, reference, method, amount_minor, currency, captured_minor, refunded_minor, voided, metadata, created_at
FROM authorizations;
"""
_NEW: Final = ANSWERS_TABLE + _AUTHORIZATIONS.format(name="authorizations") + _INDEXES + _REST + _BY_ITSELF
SCRIPTS: Final[Mapping[int, str]] = {
    0: _NEW,
    1: _AUTHORIZATIONS.format(name="of_today")
    + _CARRIED_OVER
    + "DROP TABLE authorizations; ALTER TABLE of_today RENAME TO authorizations;"
    + _INDEXES
    + _BY_ITSELF,
}
