"""The SQL that moves units: reservation, level and ledger change together, in one statement, for any number of owners.

Every function here needs the caller's transaction, with the stock rows concerned locked by
`inventory.locks.lock_stock`. Deciding who gets what is `inventory.services`' business.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from inventory.locks import IN_LOCK_ORDER
from inventory.models import LedgerEntry, Reservation
from marketplace.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class Movement:
    """How a reservation moves on, and what each of its units adds to the levels."""

    kind: LedgerEntry.Kind
    leaves: Reservation.State
    enters: Reservation.State
    available: int
    reserved: int


_State, _Kind = Reservation.State, LedgerEntry.Kind
RELEASE: Final = Movement(_Kind.RELEASE, _State.HELD, _State.RELEASED, available=+1, reserved=-1)
EXPIRE: Final = Movement(_Kind.EXPIRE, _State.HELD, _State.EXPIRED, available=+1, reserved=-1)
COMMIT: Final = Movement(_Kind.COMMIT, _State.HELD, _State.COMMITTED, available=0, reserved=-1)
RESTOCK: Final = Movement(_Kind.RESTOCK, _State.COMMITTED, _State.RELEASED, available=+1, reserved=0)

# No ON CONFLICT: under the stock locks a second hold of one owner can't get here, and if it ever does, the unique
# constraint must stop it loudly, with nothing moved.
_HOLD: Final = """
WITH held AS (
    INSERT INTO inventory_reservation (id, owner_id, sku, quantity, expires_at, state, created_at, updated_at)
    SELECT a.*, 'HELD', %(now)s, %(now)s
    FROM unnest(%(ids)s::uuid[], %(owners)s::uuid[], %(skus)s::text[], %(quantities)s::int[],
                %(expiries)s::timestamptz[]) AS a
    RETURNING owner_id, sku, quantity
), levels AS (
    UPDATE inventory_stock AS s SET available = s.available - d.units, reserved = s.reserved + d.units
    FROM (SELECT sku, sum(quantity)::int AS units FROM held GROUP BY sku) AS d WHERE s.sku = d.sku
)
INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, owner_id, reason, actor, created_at)
SELECT sku, 'RESERVE', -quantity, quantity, owner_id, '', '', %(now)s FROM held
"""

# The compare-and-set is in `due`: it waits for whoever is at the row and then looks again. A row that somebody else has
# moved is not in it, so it touches neither level nor ledger.
_MOVE: Final = f"""
WITH due AS MATERIALIZED (
    SELECT id FROM inventory_reservation
    WHERE owner_id = ANY(%(owners)s::uuid[]) AND state = %(leaves)s {IN_LOCK_ORDER}
), moved AS (
    UPDATE inventory_reservation AS r SET state = %(enters)s, updated_at = %(now)s
    FROM due WHERE r.id = due.id
    RETURNING r.owner_id, r.sku, r.quantity
), levels AS (
    UPDATE inventory_stock AS s SET
        available = s.available + d.units * %(available)s,
        reserved = s.reserved + d.units * %(reserved)s,
        on_hand = s.on_hand + d.units * (%(available)s + %(reserved)s)
    FROM (SELECT sku, sum(quantity)::int AS units FROM moved GROUP BY sku) AS d WHERE s.sku = d.sku
), entries AS (
    INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, owner_id, reason, actor, created_at)
    SELECT sku, %(kind)s, quantity * %(available)s, quantity * %(reserved)s, owner_id, %(reason)s, '', %(now)s
    FROM moved
)
SELECT owner_id, sku, quantity FROM moved ORDER BY owner_id, sku
"""  # noqa: S608 (a constant of ours, no input)

_BY_HAND: Final = """
WITH level AS (
    UPDATE inventory_stock SET on_hand = on_hand + %(delta)s, available = available + %(delta)s WHERE sku = %(sku)s
    RETURNING sku
)
INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, owner_id, reason, actor, created_at)
SELECT sku, %(kind)s, %(delta)s, 0, NULL, %(reason)s, %(actor)s, %(now)s FROM level
"""

_EXTEND: Final = f"""
WITH due AS MATERIALIZED (
    SELECT owner_id, state FROM inventory_reservation WHERE owner_id = ANY(%(owners)s::uuid[]) {IN_LOCK_ORDER}
), live AS (
    SELECT owner_id FROM due GROUP BY owner_id HAVING bool_and(state = 'HELD')
)
UPDATE inventory_reservation AS r
SET expires_at = greatest(r.expires_at, %(until)s), updated_at = clock_timestamp()
FROM live WHERE r.owner_id = live.owner_id
RETURNING r.owner_id
"""  # noqa: S608 (a constant of ours, no input)


def _run(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def hold(rows: Sequence[tuple[UUID, str, int, datetime]], *, now: datetime) -> None:
    """Write a hold of so many units for each (owner, SKU, quantity, expires_at). The units must be available."""
    if not rows:
        return
    owners, skus, quantities, expiries = (list(column) for column in zip(*rows, strict=True))
    values = {"owners": owners, "skus": skus, "quantities": quantities, "expiries": expiries}
    _run(_HOLD, values | {"ids": [new_id() for _ in rows], "now": now})


def move(
    movement: Movement, owner_ids: Iterable[UUID], *, now: datetime, reason: str = ""
) -> list[tuple[UUID, str, int]]:
    """Move the reservations of `owner_ids` on by compare-and-set; return (owner, SKU, quantity) of those that moved."""
    values = {
        "owners": list(owner_ids),
        "leaves": movement.leaves.value,
        "enters": movement.enters.value,
        "kind": movement.kind.value,
        "available": movement.available,
        "reserved": movement.reserved,
        "reason": reason,
        "now": now,
    }
    return [(owner_id, sku, quantity) for owner_id, sku, quantity in _run(_MOVE, values)]


def extend(owner_ids: Sequence[UUID], *, until: datetime) -> set[UUID]:
    """Push the expiry of live holds out to `until`, never back; return the owners whose lines are all held."""
    return {row[0] for row in _run(_EXTEND, {"owners": list(owner_ids), "until": until})}


def change_by_hand(kind: LedgerEntry.Kind, *, sku: str, delta: int, now: datetime, actor: str, reason: str) -> None:
    """Add `delta` units (negative: take away) to what is on hand and available, with a ledger entry that says why."""
    _run(
        _BY_HAND,
        {"kind": kind.value, "sku": sku, "delta": delta, "now": now, "actor": actor, "reason": reason},
    )
