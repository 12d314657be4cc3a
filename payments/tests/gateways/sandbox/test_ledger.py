"""The books themselves: several requests in one commit, and what a failed commit leaves."""

import sqlite3
from functools import partial

import pytest

from payments.gateways.sandbox.ledger import Ledger, LedgerUnusable


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
