"""What the bank behind the sandbox gateway does by itself: decide later, ask the buyer, reverse, expire, dispute."""

import os
import sqlite3
from collections.abc import Callable
from typing import Final

from marketplace.sandbox.telling import microseconds
from marketplace.sandbox.wire import Answer, error
from payments.gateways.sandbox.options import Terms
from payments.gateways.sandbox.telling import Telling
from payments.gateways.sandbox.tokens import LATE_DECLINE, NOT_CONFIRMED, Plan

_SECOND: Final = 1_000_000  # microseconds
_AT_ONCE: Final = 200
_PREFIX: Final = {"AUTHORIZE": "ch", "CAPTURE": "cap", "VOID": "vo", "EXPIRE": "ex", "REFUND": "re", "REVERSE": "rv"}


class Bank:
    """The hand that writes into the ledger. Used inside its transactions, from its thread."""

    def __init__(self, db: sqlite3.Connection, terms: Terms, telling: Telling) -> None:
        self._db = db
        self._terms = terms
        self._telling = telling
        self._stirred = False

    def stirred(self) -> bool:
        """Whether something was planned since this was last asked."""
        stirred, self._stirred = self._stirred, False
        return stirred

    def move(
        self, row: sqlite3.Row, kind: str, amount_minor: int, key: str, *, reference: str = "", by_bank: bool = False
    ) -> str:
        """Write down a movement of money, and tell of it; return its reference."""
        reference = reference or f"{_PREFIX[kind]}_{os.urandom(12).hex()}"
        self._db.execute(
            "INSERT INTO movements (authorization_id, kind, reference, amount_minor, idempotency_key, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (row["id"], kind, reference, amount_minor, key, microseconds()),
        )
        self._telling.tell(row, kind, by_bank=by_bank)
        return reference

    def plan(self, row: sqlite3.Row, what: Plan, seconds: float) -> None:
        """Do `what` about the authorization so much later."""
        self._stirred = True
        due_at = microseconds() + int(seconds * _SECOND)
        self._db.execute(
            "INSERT INTO plans (authorization_id, what, due_at) VALUES (?, ?, ?)", (row["id"], what, due_at)
        )

    def live(self) -> Answer:
        """Do what is due; return when something will be next (microseconds since 1970; None: when called)."""
        due = self._db.execute(
            "SELECT p.id AS plan, p.what, a.* FROM plans p JOIN authorizations a ON a.id = p.authorization_id"
            " WHERE p.due_at <= ? ORDER BY p.due_at, p.id LIMIT ?",
            (microseconds(), _AT_ONCE),
        ).fetchall()
        deeds: dict[str, Callable[[sqlite3.Row], bool]] = {
            Plan.APPROVE: self._approve,
            Plan.DECLINE: lambda row: self._decline(row, LATE_DECLINE),
            Plan.REVERSE: self._reverse,
        }
        for row in due:
            deeds[row["what"]](row)
            self._db.execute("DELETE FROM plans WHERE id = ?", (row["plan"],))
        self._expire()
        return Answer(200, {"next": self._next()})

    # --- on demand ----------------------------------------------------------------------------------------------------

    def asked(self, page: str) -> sqlite3.Row | None:
        """Return the authorization that the buyer is asked about on this page."""
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM authorizations WHERE page = ?", (page,)).fetchone()
        return row

    def confirm(self, row: sqlite3.Row, *, approved: bool) -> None:
        """Take in what the buyer says. What is decided, or voided, stays as it is."""
        if approved:
            self._approve(row)
        else:
            self._decline(row, NOT_CONFIRMED)

    def reverse(self, *, authorization_key: str) -> Answer:
        """Let go of what is held, or take back what was captured and not given back."""
        row = self._row(authorization_key)
        if row is None:
            return error(404, "authorization_not_found", "There is no authorization with this key.")
        if not self._reverse(row):
            return error(409, "nothing_to_reverse", "There is no money that could be taken back.")
        return Answer(200, {"reference": row["reference"], "code": "", "amount_minor": None})

    def dispute(self, *, authorization_key: str, status: str) -> Answer:
        """Open a dispute about captured money, or end it. A lost one takes back what is left of it."""
        row = self._row(authorization_key)
        if row is None:
            return error(404, "authorization_not_found", "There is no authorization with this key.")
        left = row["captured_minor"] - row["refunded_minor"] - row["reversed_minor"]
        if row["dispute"] != {"OPEN": "", "WON": "OPEN", "LOST": "OPEN"}[status] or not left:
            return error(409, "dispute_not_possible", f"This charge can't be disputed to {status} now.")
        self._db.execute("UPDATE authorizations SET dispute = ? WHERE id = ?", (status, row["id"]))
        if status == "LOST":
            self._take_back(row, left)
        else:
            self._telling.tell(row, status, by_bank=True)
        return Answer(200, {"reference": row["reference"], "code": "", "amount_minor": left})

    # --- how ----------------------------------------------------------------------------------------------------------

    def _approve(self, row: sqlite3.Row) -> bool:
        if row["decision"] != "PENDING" or row["voided"]:
            return False
        self._db.execute("UPDATE authorizations SET decision = 'APPROVED' WHERE id = ?", (row["id"],))
        self.move(row, "AUTHORIZE", row["amount_minor"], row["key"], reference=row["reference"], by_bank=True)
        return True

    def _decline(self, row: sqlite3.Row, why: tuple[str, str]) -> bool:
        if row["decision"] != "PENDING" or row["voided"]:
            return False
        self._db.execute(
            "UPDATE authorizations SET decision = 'DECLINED', decline_code = ?, decline_message = ? WHERE id = ?",
            (*why, row["id"]),
        )
        self._telling.tell(row, "DECLINE", by_bank=True)
        return True

    def _reverse(self, row: sqlite3.Row) -> bool:
        left = row["captured_minor"] - row["refunded_minor"] - row["reversed_minor"]
        if left:
            self._take_back(row, left)
            return True
        return not row["captured_minor"] and self._let_go(row)

    def _take_back(self, row: sqlite3.Row, amount_minor: int) -> None:
        self._db.execute(
            "UPDATE authorizations SET reversed_minor = reversed_minor + ? WHERE id = ?", (amount_minor, row["id"])
        )
        self.move(row, "REVERSE", amount_minor, f"reverse:{os.urandom(8).hex()}", by_bank=True)

    def _let_go(self, row: sqlite3.Row) -> bool:
        if row["voided"] or row["decision"] == "DECLINED":
            return False
        self._db.execute("UPDATE authorizations SET voided = 1 WHERE id = ?", (row["id"],))
        held = row["amount_minor"] if row["decision"] == "APPROVED" else 0
        self.move(row, "EXPIRE", held, f"expire:{os.urandom(8).hex()}", by_bank=True)
        return True

    def _expire(self) -> None:
        """Let go of what nobody has captured in time."""
        before = microseconds() - int(self._terms.authorization_seconds * _SECOND)
        for row in self._db.execute(
            "SELECT * FROM authorizations WHERE captured_minor = 0 AND NOT voided AND decision <> 'DECLINED'"
            " AND created_at <= ? LIMIT ?",
            (before, _AT_ONCE),
        ).fetchall():
            self._let_go(row)

    def _next(self) -> int | None:
        """When the next plan is due, or the next authorization expires."""
        plan = self._db.execute("SELECT min(due_at) FROM plans").fetchone()[0]
        oldest = self._db.execute(
            "SELECT min(created_at) FROM authorizations"
            " WHERE captured_minor = 0 AND NOT voided AND decision <> 'DECLINED'"
        ).fetchone()[0]
        expiry = None if oldest is None else oldest + int(self._terms.authorization_seconds * _SECOND)
        return min((at for at in (plan, expiry) if at is not None), default=None)

    def _row(self, key: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM authorizations WHERE key = ?", (key,)).fetchone()
        return row
