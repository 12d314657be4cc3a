"""The SQL that moves units, for any number of owners: reservation, level and ledger change together, in one statement.

A sale alone takes two, `commit` and later `take_out`. Every function here needs the caller's transaction; `hold` and
`change_by_hand` need the stock rows concerned locked by `inventory.locks.lock_stock`, the others lock what they move by
themselves. Deciding who gets what is `inventory.services`' business.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from inventory.locks import IN_LOCK_ORDER, STOCK_IN_LOCK_ORDER
from inventory.models import LedgerEntry, Reservation
from marketplace.kernel import bulk
from marketplace.kernel.arrays import Instants, Integers, Texts, Uuids
from marketplace.kernel.ids import new_ids


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
RESTOCK: Final = Movement(_Kind.RESTOCK, _State.COMMITTED, _State.RELEASED, available=+1, reserved=0)
HOLD_AGAIN: Final = (  # what had been given back
    Movement(_Kind.RESERVE, _State.RELEASED, _State.HELD, available=-1, reserved=+1),
    Movement(_Kind.RESERVE, _State.EXPIRED, _State.HELD, available=-1, reserved=+1),
)

# All or nothing: where one of the owners has a hold already, nothing is written, and the caller has to look closer.
_HOLD: Final = """
WITH held AS (
    INSERT INTO inventory_reservation (id, owner_id, sku, quantity, expires_at, state, created_at, updated_at)
    SELECT a.*, 'HELD', %(now)s, %(now)s
    FROM unnest(%(ids)b::uuid[], %(owners)b::uuid[], %(skus)b::text[], %(quantities)b::int[],
                %(expiries)b::timestamptz[]) AS a
    WHERE NOT EXISTS (SELECT FROM inventory_reservation WHERE owner_id = ANY(%(owners)b::uuid[]))
    RETURNING owner_id, sku, quantity
), levels AS (
    UPDATE inventory_stock AS s SET available = s.available - d.units, reserved = s.reserved + d.units
    FROM (SELECT sku, sum(quantity)::int AS units FROM held GROUP BY sku) AS d WHERE s.sku = d.sku
)
INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, owner_id, reason, actor, created_at)
SELECT sku, 'RESERVE', -quantity, quantity, owner_id, '', '', %(now)s FROM held
"""

# First the reservations, which nobody else wants, then the stock rows, all of them (an ARRAY is complete before
# anything is compared with it), each in its order: a popular product is locked last. The compare-and-set is in `due`:
# it waits for whoever is at the row and then looks again. A row that somebody else has moved is not in it, so it
# touches neither level nor ledger. (`|| ''` keeps the planner from the index of live holds, of which there are far
# more in a busy minute than its statistics of a quiet one say: it would read them all.)
_MOVE: Final = f"""
WITH due AS MATERIALIZED (
    SELECT id FROM inventory_reservation WHERE owner_id = ANY(%(owners)b::uuid[]) AND state || '' = %(leaves)s
    {IN_LOCK_ORDER}
), moved AS (
    UPDATE inventory_reservation AS r SET state = %(enters)s, updated_at = %(now)s
    FROM due WHERE r.id = due.id
    RETURNING r.owner_id, r.sku, r.quantity
), locked AS MATERIALIZED (
    SELECT sku FROM inventory_stock WHERE sku = ANY(ARRAY(SELECT sku FROM moved)) {STOCK_IN_LOCK_ORDER}
), levels AS (
    UPDATE inventory_stock AS s SET
        available = s.available + d.units * %(available)s,
        reserved = s.reserved + d.units * %(reserved)s,
        on_hand = s.on_hand + d.units * (%(available)s + %(reserved)s)
    FROM (SELECT sku, sum(quantity)::int AS units FROM moved GROUP BY sku) AS d JOIN locked USING (sku)
    WHERE s.sku = d.sku
), entries AS (
    INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, owner_id, reason, actor, created_at)
    SELECT sku, %(kind)s, quantity * %(available)s, quantity * %(reserved)s, owner_id, %(reason)s, '', %(now)s
    FROM moved
)
SELECT owner_id, sku, quantity FROM moved ORDER BY owner_id, sku
"""  # noqa: S608 (a constant of ours, no input)

# A sale comes in two halves, the second of which can wait for the end of the transaction: it needs nothing but the
# units, and who sells the same product waits no longer than that takes.
_COMMIT: Final = f"""
WITH due AS MATERIALIZED (
    SELECT id FROM inventory_reservation WHERE owner_id = ANY(%(owners)b::uuid[]) AND state || '' = 'HELD'
    {IN_LOCK_ORDER}
)
UPDATE inventory_reservation AS r SET state = 'COMMITTED', updated_at = %(now)s
FROM due WHERE r.id = due.id
RETURNING r.owner_id, r.sku, r.quantity
"""  # noqa: S608 (a constant of ours, no input)

_TAKE_OUT: Final = f"""
WITH sold AS MATERIALIZED (
    SELECT * FROM unnest(%(owners)b::uuid[], %(skus)b::text[], %(quantities)b::int[]) AS g (owner_id, sku, quantity)
), locked AS MATERIALIZED (
    SELECT sku FROM inventory_stock WHERE sku = ANY(%(skus)b::text[]) {STOCK_IN_LOCK_ORDER}
), levels AS (
    UPDATE inventory_stock AS s SET reserved = s.reserved - d.units, on_hand = s.on_hand - d.units
    FROM (SELECT sku, sum(quantity)::int AS units FROM sold GROUP BY sku) AS d JOIN locked USING (sku)
    WHERE s.sku = d.sku
)
INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, owner_id, reason, actor, created_at)
SELECT sku, 'COMMIT', 0, -quantity, owner_id, '', '', %(now)s FROM sold
"""  # noqa: S608 (a constant of ours, no input)

# Units of a sold hold that come back one by one: the reservation stays sold and counts them. What does not fit into it
# any more is not in `moved`, so the caller sees that something is missing.
_RESTOCK_PART: Final = f"""
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(%(owners)b::uuid[], %(skus)b::text[], %(quantities)b::int[]) AS g (owner_id, sku, quantity)
), due AS MATERIALIZED (
    SELECT id, owner_id, sku FROM inventory_reservation
    WHERE owner_id = ANY(%(owners)b::uuid[]) AND sku = ANY(%(skus)b::text[]) AND state || '' = 'COMMITTED'
    {IN_LOCK_ORDER}
), moved AS (
    UPDATE inventory_reservation AS r SET restocked = r.restocked + given.quantity, updated_at = %(now)s
    FROM due JOIN given USING (owner_id, sku)
    WHERE r.id = due.id AND r.quantity - r.restocked >= given.quantity
    RETURNING r.owner_id, r.sku, given.quantity
), locked AS MATERIALIZED (
    SELECT sku FROM inventory_stock WHERE sku = ANY(ARRAY(SELECT sku FROM moved)) {STOCK_IN_LOCK_ORDER}
), levels AS (
    UPDATE inventory_stock AS s SET available = s.available + d.units, on_hand = s.on_hand + d.units
    FROM (SELECT sku, sum(quantity)::int AS units FROM moved GROUP BY sku) AS d JOIN locked USING (sku)
    WHERE s.sku = d.sku
), entries AS (
    INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, owner_id, reason, actor, created_at)
    SELECT sku, 'RESTOCK', quantity, 0, owner_id, %(reason)s, '', %(now)s FROM moved
)
SELECT owner_id, sku, quantity FROM moved ORDER BY owner_id, sku
"""  # noqa: S608 (a constant of ours, no input)

_BY_HAND: Final = """
WITH level AS (
    UPDATE inventory_stock AS s SET on_hand = s.on_hand + d.delta, available = s.available + d.delta
    FROM unnest(%(skus)b::text[], %(deltas)b::int[]) AS d (sku, delta) WHERE s.sku = d.sku
    RETURNING s.sku, d.delta
)
INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, owner_id, reason, actor, created_at)
SELECT sku, %(kind)s, delta, 0, NULL, %(reason)s, %(actor)s, %(now)s FROM level ORDER BY sku
"""

# A hold that lasts that long anyway is locked, so that it can't lapse before the caller's commit, but not written anew.
_EXTEND: Final = f"""
WITH due AS MATERIALIZED (
    SELECT id, owner_id, state, expires_at FROM inventory_reservation
    WHERE owner_id = ANY(%(owners)b::uuid[]) {IN_LOCK_ORDER}
), live AS MATERIALIZED (
    SELECT owner_id FROM due GROUP BY owner_id HAVING bool_and(state = 'HELD')
), extended AS (
    UPDATE inventory_reservation AS r SET expires_at = %(until)s, updated_at = clock_timestamp()
    FROM due JOIN live USING (owner_id) WHERE r.id = due.id AND due.expires_at < %(until)s
)
SELECT owner_id FROM live
"""  # noqa: S608 (a constant of ours, no input)


def _run(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with bulk.binding_cursor(binary=True) as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def hold(rows: Sequence[tuple[UUID, str, int, datetime]], *, now: datetime) -> bool:
    """Write a hold of so many units for each (owner, SKU, quantity, expires_at); the units must be available.

    Return False, with nothing written, if one of the owners has a hold already, in whatever state.
    """
    if not rows:
        return True
    owners, skus, quantities, expiries = zip(*rows, strict=True)
    values: dict[str, Any] = {
        "owners": Uuids(owners),
        "skus": Texts(skus),
        "quantities": Integers(quantities),
        "expiries": Instants(expiries),
    }
    with bulk.binding_cursor() as cursor:
        cursor.execute(_HOLD, values | {"ids": Uuids(new_ids(len(rows))), "now": now})
        return int(cursor.rowcount) == len(rows)


def move(movement: Movement, owner_ids: Iterable[UUID], *, now: datetime, reason: str = "") -> list[tuple[Any, ...]]:
    """Move the reservations of `owner_ids` on by compare-and-set; return (owner, SKU, quantity) of those that moved.

    Locks the stock rows of the SKUs concerned by itself, in their order, and none where nothing is to be moved.
    """
    values = {
        "owners": Uuids(list(owner_ids)),
        "leaves": movement.leaves.value,
        "enters": movement.enters.value,
        "kind": movement.kind.value,
        "available": movement.available,
        "reserved": movement.reserved,
        "reason": reason,
        "now": now,
    }
    return _run(_MOVE, values)


def commit(owner_ids: Sequence[UUID], *, now: datetime) -> list[tuple[UUID, str, int]]:
    """Make the live holds of `owner_ids` sold ones, by compare-and-set; return (owner, SKU, quantity) of those.

    Locks the reservations alone. The units are in stock still: `take_out` is to follow in the same transaction.
    """
    return _run(_COMMIT, {"owners": Uuids(owner_ids), "now": now})


def take_out(rows: Sequence[tuple[UUID, str, int]], *, now: datetime) -> None:
    """Take what `commit` has returned out of stock. Locks the stock rows of the SKUs by itself, in their order."""
    owners, skus, quantities = zip(*rows, strict=True)
    values = {"owners": Uuids(owners), "skus": Texts(skus), "quantities": Integers(quantities)}
    _run(_TAKE_OUT, values | {"now": now})


def restock_part(rows: Sequence[tuple[UUID, str, int]], *, now: datetime, reason: str) -> list[tuple[Any, ...]]:
    """Put so many sold units of each (owner, SKU, quantity) back on the shelf; return those rows that fitted.

    An owner and SKU may be named once. Locks the stock rows of the SKUs by itself, in their order.
    """
    owners, skus, quantities = zip(*rows, strict=True)
    values = {"owners": Uuids(owners), "skus": Texts(skus), "quantities": Integers(quantities)}
    return _run(_RESTOCK_PART, values | {"now": now, "reason": reason})


def extend(owner_ids: Sequence[UUID], *, until: datetime) -> set[UUID]:
    """Push the expiry of live holds out to `until`, never back; return the owners whose lines are all held."""
    return {row[0] for row in _run(_EXTEND, {"owners": Uuids(list(owner_ids)), "until": until})}


def change_by_hand(
    kind: LedgerEntry.Kind, deltas: Mapping[str, int], *, now: datetime, actor: str, reason: str
) -> None:
    """Add so many units (negative: take away) to what is on hand and available of each SKU, and say why in the ledger.

    No delta is zero.
    """
    values = {"skus": Texts(list(deltas)), "deltas": Integers(list(deltas.values()))}
    _run(_BY_HAND, values | {"kind": kind.value, "now": now, "actor": actor, "reason": reason})
