"""The sandbox gateway's own books: what was authorized, captured, voided and refunded, and what was answered.

Kept as `marketplace.sandbox.ledger` says. The rules are those of a strict gateway:

- The same key again is answered as the first time, also when that was "not decided yet". Turning away (503), "not
  found", "not decided yet" to a capture, and "nothing to refund" are not final: nothing has happened.
- An authorization is captured once, never beyond its amount and never after a void; refunds never exceed the capture.
- Everything about an authorization works by its key. A void for a key that never came leaves a tombstone, and an
  authorization that arrives later is refused `voided_before_authorization`.

What the bank does by itself (`bank`) and what it tells by webhook (`telling`) is in the same file and the same commits.
"""

import json
import os
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from marketplace.sandbox import ledger
from marketplace.sandbox.telling import microseconds
from marketplace.sandbox.wire import Answer, error
from payments.gateways.sandbox.bank import Bank
from payments.gateways.sandbox.options import Terms
from payments.gateways.sandbox.schema import SCRIPTS, VERSION
from payments.gateways.sandbox.telling import Telling
from payments.gateways.sandbox.tokens import TOKENS, UNKNOWN_TOKEN, Behaviour

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def turned_away() -> Answer:
    """The answer to a request that was turned away at the door: nothing has happened."""
    return error(503, "processor_unavailable", "The payment processor is not available. Nothing has happened.")


def _not_found() -> Answer:
    return error(404, "authorization_not_found", "There is no authorization with this key.")


def status_of(row: sqlite3.Row) -> str:
    """Say in one word how an authorization stands."""
    if row["decision"] == "DECLINED":
        return "DECLINED"
    if row["voided"]:
        return "VOIDED"
    if not row["captured_minor"]:
        return "PENDING" if row["decision"] == "PENDING" else "AUTHORIZED"
    if row["refunded_minor"] == row["captured_minor"]:
        return "REFUNDED"
    if row["refunded_minor"] + row["reversed_minor"] == row["captured_minor"]:
        return "REVERSED"
    return "PARTIALLY_REFUNDED" if row["refunded_minor"] else "CAPTURED"


def iso(at: int) -> str:
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds")


def as_json(row: sqlite3.Row) -> dict[str, Any]:
    """Return an authorization as it goes over the wire."""
    return {
        "key": row["key"],
        "reference": row["reference"],
        "status": status_of(row),
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "captured_minor": row["captured_minor"],
        "refunded_minor": row["refunded_minor"],
        "reversed_minor": row["reversed_minor"],
        "dispute": row["dispute"],
        "decline_code": row["decline_code"],
        "decline_message": row["decline_message"],
        "risk": _behaviour(row).risk,
        "card_country": _behaviour(row).card_country,
        "method": row["method"],
        "metadata": json.loads(row["metadata"]),
        "created_at": iso(row["created_at"]),
    }


def _behaviour(row: sqlite3.Row) -> Behaviour:
    return TOKENS.get(row["method"], UNKNOWN_TOKEN)


def _why_not_captured(row: sqlite3.Row, amount_minor: int) -> tuple[str, str] | None:
    if row["voided"]:
        return "authorization_voided", "The authorization has been voided."
    if row["decision"] == "DECLINED":
        return "authorization_declined", "The authorization was declined."
    if row["captured_minor"]:
        return "already_captured", "The authorization has been captured already."
    if amount_minor > row["amount_minor"]:
        return "amount_too_large", "The capture exceeds the authorization."
    return None


class Ledger(ledger.Ledger):
    """The books in `folder`, which is made if it is missing. To be used from one thread at a time."""

    who = "sandbox gateway"
    version = VERSION
    scripts = SCRIPTS

    def __init__(self, folder: Path, terms: Terms | None = None) -> None:
        """Open the books, alone. Raises `LedgerUnusable`."""
        self.terms = terms or Terms()
        super().__init__(folder)
        self.telling = Telling(self._db, self.terms)
        self.bank = Bank(self._db, self.terms, self.telling)

    def stirred(self) -> bool:
        """Whether something was planned, or is to be told, since this was last asked."""
        return self.bank.stirred() | self.telling.stirred()

    # --- what moves money ---------------------------------------------------------------------------------------------

    def authorize(
        self,
        *,
        key: str,
        amount_minor: int,
        currency: str,
        method: str,
        metadata: Mapping[str, str],
        return_url: str = "",
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
            pending = behaviour.asks_the_buyer or behaviour.decides_later is not None
            self._db.execute(
                "INSERT INTO authorizations (key, reference, method, amount_minor, currency, decision, page,"
                " return_url, metadata, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(key, reference, method, amount_minor, currency, "PENDING" if pending else "APPROVED"),
                    os.urandom(16).hex() if behaviour.asks_the_buyer else None,
                    *(return_url, json.dumps(dict(metadata)), microseconds()),
                ),
            )
            if pending:
                return self._undecided(key, behaviour), True
            self.bank.move(self._known(key), "AUTHORIZE", amount_minor, key, reference=reference)
            return self._done(key, 201, reference, amount_minor, lost=behaviour.loses_first_answer), True

        return self._once(key, ["authorize", amount_minor, currency, method, dict(metadata)], decide)

    def capture(self, *, key: str, authorization_key: str, amount_minor: int) -> Answer:
        def decide() -> tuple[Answer, bool]:
            row = self._authorization(authorization_key)
            if row is None:
                return _not_found(), False
            if row["decision"] == "PENDING" and not row["voided"]:
                return error(409, "authorization_pending", "The authorization is not decided yet."), False
            if refusal := _why_not_captured(row, amount_minor):
                return error(409, *refusal), True
            self._db.execute("UPDATE authorizations SET captured_minor = ? WHERE id = ?", (amount_minor, row["id"]))
            reference = self.bank.move(row, "CAPTURE", amount_minor, key)
            later = TOKENS.get(row["method"], UNKNOWN_TOKEN).after_capture
            if later is not None:
                self.bank.plan(row, later, self.terms.reversal_seconds)
            return self._done(authorization_key, 200, reference, amount_minor), True

        return self._once(key, ["capture", authorization_key, amount_minor], decide)

    def void(self, *, key: str, authorization_key: str) -> Answer:
        def decide() -> tuple[Answer, bool]:
            row = self._authorization(authorization_key)
            if row is None or row["decision"] == "DECLINED":
                if row is None and not self.terms.forgets_voids:
                    self._db.execute(
                        "INSERT OR IGNORE INTO tombstones (key, created_at) VALUES (?, ?)",
                        (authorization_key, microseconds()),
                    )
                return Answer(200, {"reference": "", "code": "nothing_to_void", "amount_minor": 0}), True
            if row["voided"]:
                return self._done(authorization_key, 200, row["reference"], 0, code="already_voided"), True
            if row["captured_minor"]:
                return error(409, "already_captured", "What has been captured can only be refunded."), True
            self._db.execute("UPDATE authorizations SET voided = 1 WHERE id = ?", (row["id"],))
            held = row["amount_minor"] if row["decision"] == "APPROVED" else 0
            reference = self.bank.move(row, "VOID", held, key)
            return self._done(authorization_key, 200, reference, held), True

        return self._once(key, ["void", authorization_key], decide)

    def refund(self, *, key: str, authorization_key: str, amount_minor: int | None) -> Answer:
        def decide() -> tuple[Answer, bool]:
            row = self._authorization(authorization_key)
            left = row["captured_minor"] - row["refunded_minor"] - row["reversed_minor"] if row else 0
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
            reference = self.bank.move(row, "REFUND", amount, key)
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
        story = [{**dict(movement), "created_at": iso(movement["created_at"])} for movement in movements]
        told = self.telling.of(row["id"])
        events = [{**dict(event), "created_at": iso(event["created_at"])} for event in told]
        return Answer(200, {"authorization": as_json(row), "movements": story, "events": events})

    def page(self, *, since: datetime, after: tuple[int, int], limit: int) -> Answer:
        """Authorizations made at or after `since`, oldest first, beyond the cursor `after` (time and id)."""
        start = max(after, ((since - _EPOCH) // timedelta(microseconds=1), 0))
        rows = self._db.execute(
            "SELECT * FROM authorizations WHERE (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?",
            (*start, limit + 1),
        ).fetchall()
        last = rows[limit - 1] if len(rows) > limit else None
        following = f"{last['created_at']}-{last['id']}" if last is not None else None
        return Answer(200, {"results": [as_json(row) for row in rows[:limit]], "next": following})

    def latest(self, *, limit: int) -> Answer:
        """The newest authorizations, and what the bank holds and has taken for the shop, by currency."""
        rows = self._db.execute("SELECT * FROM authorizations ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
        sums = self._db.execute(
            "SELECT currency, count(*) AS charges,"
            " sum(iif(decision = 'APPROVED' AND NOT voided AND captured_minor = 0, amount_minor, 0)) AS held,"
            " sum(captured_minor) AS captured, sum(refunded_minor) AS refunded, sum(reversed_minor) AS reversed"
            " FROM authorizations GROUP BY currency ORDER BY currency"
        ).fetchall()
        return Answer(200, {"results": [as_json(row) for row in rows], "sums": [dict(row) for row in sums]})

    def health(self) -> Answer:
        self._db.execute("SELECT count(*) FROM tombstones").fetchone()
        return Answer(200, {"status": "ok"})

    # --- how ----------------------------------------------------------------------------------------------------------

    def _undecided(self, key: str, behaviour: Behaviour) -> Answer:
        """The answer to an authorization that the buyer, or the bank, decides about later."""
        row = self._known(key)
        if behaviour.decides_later is not None:
            self.bank.plan(row, behaviour.decides_later, self.terms.decision_seconds)
        answer = self._done(key, 202, row["reference"], row["amount_minor"], code="processing")
        if row["page"] is None:
            return answer
        url = f"{self.terms.public_url}/3ds/{row['page']}"
        return Answer(202, {**answer.body, "code": "requires_action", "action_url": url})

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

    def _known(self, key: str) -> sqlite3.Row:
        row = self._authorization(key)
        if row is None:
            raise LookupError(key)
        return row

    def _done(
        self, key: str, status: int, reference: str, amount_minor: int, *, code: str = "", lost: bool = False
    ) -> Answer:
        authorization = as_json(self._known(key))
        body = {"reference": reference, "code": code, "amount_minor": amount_minor, "authorization": authorization}
        return Answer(status, body, lost=lost)
