"""The books themselves: several requests in one commit, and what a failed commit leaves."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

import pytest

from marketplace.sandbox.ledger import LedgerUnusable
from payments.gateways.sandbox.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()


def authorize(ledger, key, method="tok_visa"):
    return partial(ledger.authorize, key=key, amount_minor=100, currency="EUR", method=method, metadata={})


def test_requests_of_one_commit_see_each_other(ledger):
    answers = ledger.apply(
        [
            authorize(ledger, "a"),
            authorize(ledger, "a"),
            partial(ledger.capture, key="a:c", authorization_key="a", amount_minor=100),
            partial(ledger.void, key="a:v", authorization_key="a"),
            partial(ledger.refund, key="a:r", authorization_key="a", amount_minor=None),
        ]
    )
    assert [answer.status for answer in answers] == [201, 201, 200, 409, 200]
    assert answers[0].body == answers[1].body
    assert [m["kind"] for m in ledger.find(authorization_key="a").body["movements"]] == [
        "AUTHORIZE",
        "CAPTURE",
        "REFUND",
    ]


def test_what_fails_in_the_middle_leaves_nothing(ledger):
    def fail():
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(sqlite3.OperationalError):
        ledger.apply([authorize(ledger, "a"), fail, authorize(ledger, "b")])
    assert ledger.apply([partial(ledger.find, authorization_key="a")])[0].status == 404
    assert ledger.apply([authorize(ledger, "a")])[0].headers == {}  # no replay: it never happened


def test_every_commit_is_on_disk_before_it_is_answered(ledger):
    assert ledger._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert ledger._db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


def test_the_books_outlive_their_keeper(tmp_path):
    first = Ledger(tmp_path)
    told = first.apply([authorize(first, "a")])[0]
    first.close()
    second = Ledger(tmp_path)
    assert second.apply([authorize(second, "a")])[0].body == told.body
    second.close()


def test_only_one_keeps_the_books(ledger, tmp_path):
    with pytest.raises(LedgerUnusable, match="another sandbox gateway"):
        Ledger(tmp_path)


def test_refuses_books_of_another_version(tmp_path):
    ledger = Ledger(tmp_path)
    ledger._db.execute("PRAGMA user_version=99")
    ledger.close()
    with pytest.raises(LedgerUnusable, match="version 99"):
        Ledger(tmp_path)


def test_a_ledger_of_the_first_version_is_carried_over(tmp_path):
    (tmp_path / "ledger.sqlite3").touch()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as old:
        old.executescript(FIRST_VERSION)
    ledger = Ledger(tmp_path)
    try:
        (before,) = ledger.page(since=datetime(1970, 1, 1, tzinfo=UTC), after=(0, 0), limit=9).body["results"]
        assert (before["key"], before["status"], before["captured_minor"], before["reversed_minor"]) == (
            "a",
            "CAPTURED",
            100,
            0,
        )
        assert [m["kind"] for m in ledger.find(authorization_key="a").body["movements"]] == ["AUTHORIZE"]
        refund, new = ledger.apply(
            [partial(ledger.refund, key="a:r", authorization_key="a", amount_minor=None), authorize(ledger, "b")]
        )
        assert (refund.status, new.status) == (200, 201)
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            ledger._db.execute("DELETE FROM authorizations")
    finally:
        ledger.close()
    Ledger(tmp_path).close()  # once is enough


FIRST_VERSION = """
CREATE TABLE authorizations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, reference TEXT NOT NULL UNIQUE,
    method TEXT NOT NULL, amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), currency TEXT NOT NULL,
    captured_minor INTEGER NOT NULL DEFAULT 0, refunded_minor INTEGER NOT NULL DEFAULT 0,
    voided INTEGER NOT NULL DEFAULT 0, metadata TEXT NOT NULL, created_at INTEGER NOT NULL
);
CREATE INDEX authorizations_since ON authorizations (created_at, id);
CREATE TABLE movements (
    id INTEGER PRIMARY KEY AUTOINCREMENT, authorization_id INTEGER NOT NULL REFERENCES authorizations,
    kind TEXT NOT NULL, reference TEXT NOT NULL UNIQUE, amount_minor INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL
);
CREATE INDEX movements_of_an_authorization ON movements (authorization_id);
CREATE TABLE answers (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE tombstones (key TEXT PRIMARY KEY, created_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE turned_away (key TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO authorizations VALUES (1, 'a', 'ch_a', 'tok_visa', 100, 'EUR', 100, 0, 0, '{}', 1);
INSERT INTO movements VALUES (1, 1, 'AUTHORIZE', 'ch_a', 100, 'a', 1);
PRAGMA user_version = 1;
"""
