"""The sandbox carrier's own books: what was announced, labelled and voided, and where each parcel was seen.

Kept as `marketplace.sandbox.ledger` says. The rules are those of a strict carrier:

- A shipment is announced once for each key, and has one label: buying another is refused `label_bought_already`.
- A label can be voided until the parcel was picked up. A void for a key that never came leaves a tombstone, and a
  shipment that arrives later under it is refused `voided_before_label`.
- A parcel is scanned only with a good label, is picked up before anything else happens to it, and once it is delivered
  it can only come back.

What it tells by webhook is in the same file and the same commits.
"""

import json
import os
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from fulfillment.carriers.sandbox import behaviour
from fulfillment.carriers.sandbox.options import Terms
from marketplace.sandbox import ledger
from marketplace.sandbox.telling import SECOND, Telling, events_table, microseconds
from marketplace.sandbox.wire import Answer, error

_TABLES: Final = (
    ledger.ANSWERS_TABLE
    + """
CREATE TABLE shipments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL,
    weight_grams INTEGER NOT NULL CHECK (weight_grams > 0),
    service TEXT NOT NULL,
    known_as TEXT NOT NULL DEFAULT '',
    tracking_number TEXT UNIQUE,  -- once its label was bought
    label TEXT UNIQUE,
    expected TEXT,
    voided INTEGER NOT NULL DEFAULT 0,
    position TEXT NOT NULL DEFAULT '',  -- the kind of its newest scan
    due_at INTEGER,  -- when it moves on by itself
    created_at INTEGER NOT NULL,  -- microseconds since 1970
    CHECK ((tracking_number IS NULL) = (label IS NULL)),
    CHECK (NOT (voided AND label IS NULL)),
    CHECK (position = '' OR (label IS NOT NULL AND NOT voided))
);
CREATE INDEX shipments_due ON shipments (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE scans (  -- append-only
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    shipment_id INTEGER NOT NULL REFERENCES shipments,
    event TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    place TEXT NOT NULL,
    message TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX scans_of_a_shipment ON scans (shipment_id);
CREATE TABLE tombstones (key TEXT PRIMARY KEY, created_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE turned_away (key TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE door (closed INTEGER NOT NULL);
INSERT INTO door VALUES (0);
"""
    + events_table("shipment_id", "shipments")
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE: Final = 200
HEAVIEST_GRAMS: Final = 1_000_000
SERVICES: Final[Mapping[str, tuple[int, int, int]]] = {  # heaviest in grams, days at home, days abroad
    "standard": (31_500, 2, 6),
    "express": (31_500, 1, 3),
    "freight": (HEAVIEST_GRAMS, 5, 15),
}
HOME: Final = "DE"

# What may follow what; the way by itself is the first of each.
FOLLOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("PICKED_UP",),
    "PICKED_UP": ("IN_TRANSIT", "OUT_FOR_DELIVERY", "EXCEPTION", "RETURNED", "DELIVERED"),
    "IN_TRANSIT": ("OUT_FOR_DELIVERY", "IN_TRANSIT", "EXCEPTION", "RETURNED", "DELIVERED"),
    "OUT_FOR_DELIVERY": ("DELIVERED", "EXCEPTION", "IN_TRANSIT", "RETURNED"),
    "EXCEPTION": ("IN_TRANSIT", "OUT_FOR_DELIVERY", "EXCEPTION", "RETURNED", "DELIVERED"),
    "RETURNED": ("IN_TRANSIT",),
    "DELIVERED": ("RETURNED",),
}
SAYS: Final[Mapping[str, str]] = {
    "PICKED_UP": "We have picked it up.",
    "IN_TRANSIT": "It is on its way between two depots.",
    "OUT_FOR_DELIVERY": "It is in the van, and comes today.",
    "EXCEPTION": "Nobody was at home. We try again.",
    "RETURNED": "It goes back to the sender.",
    "DELIVERED": "It was handed over at the door.",
}


def turned_away() -> Answer:
    """The answer to a request that was turned away at the door: nothing has happened."""
    return error(503, "carrier_busy", "The carrier can't do this now. Nothing has happened.")


def closed() -> Answer:
    """The answer to whatever is asked while the carrier is down."""
    return error(503, "carrier_down", "The carrier is down. Nothing has happened.")


def status_of(row: sqlite3.Row) -> str:
    """Say in one word what became of a shipment's label."""
    if row["label"] is None:
        return "ANNOUNCED"
    return "VOIDED" if row["voided"] else "BOUGHT"


def iso(at: int) -> str:
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds")


class Ledger(ledger.Ledger):
    """The books in `folder`, which is made if it is missing. To be used from one thread at a time."""

    who = "sandbox carrier"
    version = 1
    scripts = {0: _TABLES}

    def __init__(self, folder: Path, terms: Terms | None = None) -> None:
        """Open the books, alone. Raises `LedgerUnusable`."""
        self.terms = terms or Terms()
        super().__init__(folder)
        self.telling = Telling(self._db, self.terms.manner, subject="shipment_id")
        self._planned = False

    def stirred(self) -> bool:
        """Whether something was planned, or is to be told, since this was last asked."""
        planned, self._planned = self._planned, False
        return self.telling.stirred() | planned

    # --- what changes something ---------------------------------------------------------------------------------------

    def announce(
        self, *, key: str, address: Mapping[str, str], weight_grams: int, service: str, known_as: str
    ) -> Answer:
        def decide() -> tuple[Answer, bool]:
            if self._db.execute("SELECT 1 FROM tombstones WHERE key = ?", (key,)).fetchone():
                return error(409, "voided_before_label", "This shipment was cancelled before it came."), True
            if refusal := _why_not_carried(address, weight_grams, service):
                return error(422, *refusal), True
            self._db.execute(
                "INSERT INTO shipments (key, reference, address, weight_grams, service, known_as, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(key, f"shp_{os.urandom(10).hex()}", json.dumps(dict(address)), weight_grams, service, known_as),
                    microseconds(),
                ),
            )
            return self._done(key, 201), True

        return self._once(key, ["announce", dict(address), weight_grams, service, known_as], decide)

    def buy(self, *, key: str, shipment_key: str) -> Answer:
        def decide() -> tuple[Answer, bool]:
            row = self._shipment(shipment_key)
            if row is None:
                return _not_found(), False
            if row["voided"] or self._db.execute("SELECT 1 FROM tombstones WHERE key = ?", (shipment_key,)).fetchone():
                return error(409, "voided_before_label", "This shipment was cancelled."), True
            if row["label"] is not None:
                return error(409, "label_bought_already", "This shipment has its label."), True
            ways = behaviour.of(json.loads(row["address"])["postal_code"])
            if self._turns_away(key, ways.tries_turned_away):
                return turned_away(), False
            if ways.refuses is not None:
                return error(422, *ways.refuses), True
            number = f"SB{int.from_bytes(os.urandom(5), 'big') % 10**10:010d}DE"
            self._db.execute(
                "UPDATE shipments SET label = ?, tracking_number = ?, expected = ? WHERE id = ?",
                (f"lbl_{os.urandom(10).hex()}", number, _expected(row), row["id"]),
            )
            self._plan(row["id"])
            answer = self._done(shipment_key, 201)
            return Answer(answer.status, answer.body, lost=ways.loses_first_answer), True

        return self._once(key, ["buy", shipment_key], decide)

    def void(self, *, key: str, shipment_key: str) -> Answer:
        def decide() -> tuple[Answer, bool]:
            row = self._shipment(shipment_key)
            if row is None or row["label"] is None:
                self._db.execute(
                    "INSERT OR IGNORE INTO tombstones (key, created_at) VALUES (?, ?)", (shipment_key, microseconds())
                )
                return Answer(200, {"code": "nothing_to_void"}), True
            if row["position"]:
                return error(409, "already_picked_up", "The parcel was picked up, so its label is used."), True
            code = "already_voided" if row["voided"] else ""
            self._db.execute("UPDATE shipments SET voided = 1, due_at = NULL WHERE id = ?", (row["id"],))
            answer = self._done(shipment_key, 200)
            return Answer(200, {**answer.body, "code": code}), True

        return self._once(key, ["void", shipment_key], decide)

    # --- what happens to a parcel -------------------------------------------------------------------------------------

    def scan(self, *, shipment_key: str, kind: str, place: str = "", message: str = "") -> Answer:
        """As the carrier's own people do."""
        row = self._shipment(shipment_key)
        if row is None:
            return _not_found()
        if status_of(row) != "BOUGHT":
            return error(409, "no_good_label", "A parcel without a good label is not carried.")
        if kind not in FOLLOWS[row["position"]]:
            return error(409, "not_now", f"After {row['position'] or 'its label'} there can't be {kind}.")
        self._scan(row, kind, place, message)
        return self._done(shipment_key, 201)

    def tell_again(self, *, shipment_key: str) -> Answer:
        """Tell the newest scan of a parcel once more: the same event, in a webhook of its own."""
        row = self._shipment(shipment_key)
        newest = self._scans(row["id"])[-1:] if row is not None else []
        if row is None or not newest:
            return _not_found()
        self._tell(row, newest[0])
        return self._done(shipment_key, 200)

    def live(self) -> Answer:
        """Move on what moves by itself; return when something will be next (microseconds since 1970)."""
        due = self._db.execute(
            "SELECT * FROM shipments WHERE due_at <= ? ORDER BY due_at LIMIT ?", (microseconds(), _AT_ONCE)
        ).fetchall()
        for row in due:
            self._scan(row, FOLLOWS[row["position"]][0], "", "")
        following = self._db.execute("SELECT min(due_at) AS due FROM shipments WHERE due_at IS NOT NULL").fetchone()
        return Answer(200, {"next": following["due"]})

    def door(self, *, closed: bool) -> Answer:
        """Close the carrier's door, or open it again."""
        self._db.execute("UPDATE door SET closed = ?", (closed,))
        return Answer(200, {"closed": closed})

    @property
    def is_closed(self) -> bool:
        """Whether the carrier is down."""
        return bool(self._db.execute("SELECT closed FROM door").fetchone()["closed"])

    # --- what the books say -------------------------------------------------------------------------------------------

    def find(self, *, shipment_key: str = "", tracking_number: str = "") -> Answer:
        row = (
            self._shipment(shipment_key)
            if shipment_key
            else self._db.execute("SELECT * FROM shipments WHERE tracking_number = ?", (tracking_number,)).fetchone()
        )
        if row is None:
            return _not_found()
        told = [{**dict(event), "created_at": iso(event["created_at"])} for event in self.telling.of(row["id"])]
        return Answer(200, {**self._as_json(row), "events": told})

    def latest(self, *, limit: int) -> Answer:
        rows = self._db.execute("SELECT * FROM shipments ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
        sums = self._db.execute(
            "SELECT count(*) AS announced, count(label) AS bought, coalesce(sum(voided), 0) AS voided,"
            " coalesce(sum(position = 'DELIVERED'), 0) AS delivered FROM shipments"
        ).fetchone()
        return Answer(200, {"results": [self._as_json(r) for r in rows], "sums": dict(sums), "closed": self.is_closed})

    def health(self) -> Answer:
        self._db.execute("SELECT count(*) FROM tombstones").fetchone()
        return Answer(200, {"status": "ok"})

    # --- how ----------------------------------------------------------------------------------------------------------

    def _scan(self, row: sqlite3.Row, kind: str, place: str, message: str) -> None:
        city = json.loads(row["address"]).get("city", "")
        place = place or ("Our depot" if kind in {"PICKED_UP", "IN_TRANSIT"} else city)
        self._db.execute(
            "INSERT INTO scans (shipment_id, event, kind, place, message, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            (row["id"], f"scan_{os.urandom(10).hex()}", kind, place, message or SAYS[kind], microseconds()),
        )
        self._db.execute("UPDATE shipments SET position = ?, due_at = NULL WHERE id = ?", (kind, row["id"]))
        if kind not in {"DELIVERED", "RETURNED"}:
            self._plan(row["id"])
        self._tell(row, self._scans(row["id"])[-1])

    def _tell(self, row: sqlite3.Row, scan: sqlite3.Row) -> None:
        if self.terms.tells:
            told = {name: row[name] for name in ("key", "reference", "tracking_number")}
            self.telling.add(row["id"], "parcel.scanned", {**told, "scans": [_scan_as_json(scan)]})

    def _plan(self, shipment_id: int) -> None:
        if self.terms.pace_seconds:
            self._planned = True
            due_at = microseconds() + int(self.terms.pace_seconds * SECOND)
            self._db.execute("UPDATE shipments SET due_at = ? WHERE id = ?", (due_at, shipment_id))

    def _turns_away(self, key: str, times: int) -> bool:
        known = self._db.execute("SELECT times FROM turned_away WHERE key = ?", (key,)).fetchone()
        if not times or (known is not None and known["times"] >= times):
            return False
        self._db.execute(
            "INSERT INTO turned_away (key, times) VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET times = times + 1",
            (key,),
        )
        return True

    def _shipment(self, key: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM shipments WHERE key = ?", (key,)).fetchone()
        return row

    def _scans(self, shipment_id: int) -> list[sqlite3.Row]:
        return self._db.execute("SELECT * FROM scans WHERE shipment_id = ? ORDER BY id", (shipment_id,)).fetchall()

    def _done(self, key: str, status: int) -> Answer:
        row = self._shipment(key)
        if row is None:
            raise LookupError(key)
        return Answer(status, self._as_json(row))

    def _as_json(self, row: sqlite3.Row) -> dict[str, Any]:
        number = row["tracking_number"] or ""
        return {
            "key": row["key"],
            "reference": row["reference"],
            "status": status_of(row),
            "service": row["service"],
            "known_as": row["known_as"],
            "address": json.loads(row["address"]),
            "weight_grams": row["weight_grams"],
            "tracking_number": number,
            "tracking_url": f"{self.terms.public_url}/track/{number}" if number else "",
            "label": row["label"] or "",
            "expected": row["expected"],
            "position": row["position"],
            "scans": [_scan_as_json(scan) for scan in self._scans(row["id"])],
            "created_at": iso(row["created_at"]),
        }


def _not_found() -> Answer:
    return error(404, "shipment_not_found", "There is no such shipment.")


def _scan_as_json(scan: sqlite3.Row) -> dict[str, Any]:
    told = {name: scan[name] for name in ("kind", "place", "message")}
    return {"id": scan["event"], "at": iso(scan["created_at"]), **told}


def _why_not_carried(address: Mapping[str, str], weight_grams: int, service: str) -> tuple[str, str] | None:
    for name in ("name", "line1", "postal_code", "city", "country"):
        if not address.get(name, "").strip():
            return "address_incomplete", f"The address lacks its {name}."
    if service not in SERVICES:
        return "service_unknown", f"There is no service {service!r}."
    if weight_grams > SERVICES[service][0]:
        return "too_heavy", f"{service} carries at most {SERVICES[service][0]} g."
    return None


def _expected(row: sqlite3.Row) -> str:
    """The day on which it will be there: working days only."""
    days = SERVICES[row["service"]][1 if json.loads(row["address"])["country"] == HOME else 2]
    day = datetime.now(UTC).date()
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < 5
    return day.isoformat()
