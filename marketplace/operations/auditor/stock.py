"""What must be true of the stock."""

from collections.abc import Iterator
from typing import Final

from inventory import selectors as inventory
from marketplace.operations.auditor import words
from marketplace.operations.auditor.report import Finding
from marketplace.operations.auditor.snapshot import rows
from marketplace.operations.auditor.values import VALUES

STOCK_ADDS_UP: Final = "stock_adds_up"
NOTHING_NEGATIVE: Final = "nothing_negative"
HOLDS_ARE_LIVE: Final = "live_hold_has_live_saga"
UNITS_FOLLOW_ORDERS: Final = "units_follow_orders"

_NEVER_NEGATIVE: Final = "never negative"

# The vault proves its levels and its live holds; that it sold what its reservations say is asked here.
_SOLD: Final = """
SELECT sku, coalesce(l.sold, 0), coalesce(r.sold, 0)
FROM (SELECT sku, sum(CASE kind WHEN 'COMMIT' THEN -reserved_delta ELSE -available_delta END) AS sold
      FROM inventory_ledger WHERE kind IN ('COMMIT', 'RESTOCK') GROUP BY sku) AS l
FULL JOIN (SELECT sku, sum(quantity - restocked) AS sold FROM inventory_reservation
           WHERE state = 'COMMITTED' GROUP BY sku) AS r USING (sku)
WHERE coalesce(l.sold, 0) <> coalesce(r.sold, 0) ORDER BY sku LIMIT %(most)s
"""


def stock_adds_up() -> Iterator[Finding]:
    """Levels, ledger and reservations agree."""
    for one in inventory.stock_discrepancies():
        if one.source != _NEVER_NEGATIVE:
            expected = f"{one.level} {one.expected}, by the {one.source}"
            yield Finding(STOCK_ADDS_UP, f"SKU {one.sku}", f"{one.level} {one.found}", expected)
    for sku, by_ledger, by_reservations in rows(_SOLD, VALUES):
        expected = f"sold {by_reservations}, by the reservations"
        yield Finding(STOCK_ADDS_UP, f"SKU {sku}", f"sold {by_ledger}, by the ledger", expected)


# All of these are CHECKs of the database too; this proves that the CHECKs are still there and did their work.
_NEGATIVE: Final = """
SELECT 'SKU ' || sku, what, value, 0 FROM inventory_stock
    CROSS JOIN LATERAL
        (VALUES ('available', available), ('reserved', reserved), ('on hand', on_hand)) AS v (what, value)
    WHERE value < 0
UNION ALL SELECT 'reservation ' || id, 'quantity', quantity, 1 FROM inventory_reservation WHERE quantity < 1
UNION ALL SELECT 'order ' || number, 'total', total_minor, 0 FROM orders_order WHERE total_minor < 0
UNION ALL SELECT 'line ' || sku || ' of order ' || order_id, what, value, least FROM orders_orderline
    CROSS JOIN LATERAL (VALUES ('quantity', quantity, 1), ('price', price_minor, 0)) AS v (what, value, least)
    WHERE value < least
UNION ALL SELECT 'payment ' || id, what, value, least FROM payments_payment
    CROSS JOIN LATERAL
        (VALUES ('amount', amount_minor, 1), ('captured', captured_minor, 0), ('refunded', refunded_minor, 0))
        AS v (what, value, least)
    WHERE value < least
UNION ALL SELECT 'refund ' || id, 'amount', amount_minor, 0 FROM payments_refund WHERE amount_minor < 0
ORDER BY 1, 2 LIMIT %(most)s
"""


def nothing_negative() -> Iterator[Finding]:
    """No level, quantity or amount is below what it can be."""
    for subject, what, value, least in rows(_NEGATIVE, VALUES):
        yield Finding(NOTHING_NEGATIVE, subject, f"{what} {value}", f"{what} of at least {least}")


_HOLDS: Final = """
SELECT r.owner_id, o.number, sum(r.quantity), min(r.expires_at),
       (SELECT max(s.status) FROM sagas_every AS s WHERE s.subject_id = r.owner_id)
FROM inventory_reservation AS r LEFT JOIN orders_order AS o ON o.id = r.owner_id
WHERE r.state = 'HELD' AND NOT EXISTS (
    SELECT FROM sagas_sagainstance AS s WHERE s.subject_id = r.owner_id AND s.status <> ALL(%(terminal)s))
GROUP BY r.owner_id, o.number ORDER BY r.owner_id LIMIT %(most)s
"""


def holds_are_live() -> Iterator[Finding]:
    """Units are held only for a saga that is still at work, or waits for a person."""
    for owner_id, number, quantity, expires_at, status in rows(_HOLDS, VALUES):
        found = f"{words.units(quantity)} held (until {expires_at:%Y-%m-%d %H:%M:%S} UTC) with {words.saga(status)}"
        yield Finding(HOLDS_ARE_LIVE, words.order(owner_id, number), found, "a live saga, or nothing held")


# An order that still stands while its units are back already is one that its reversal is about to close; one that has
# ended and holds units is one that late money may revive.
_UNITS: Final = """
SELECT o.id, o.number, o.status, l.sku, l.quantity, r.state, r.quantity
FROM orders_order AS o JOIN orders_orderline AS l ON l.order_id = o.id
LEFT JOIN inventory_reservation AS r ON r.owner_id = o.id AND r.sku = l.sku
WHERE (o.status = ANY(%(standing)s) AND (r.state IS DISTINCT FROM 'COMMITTED' OR r.quantity <> l.quantity)
       AND NOT (r.state = 'RELEASED' AND r.quantity = l.quantity AND EXISTS (
           SELECT FROM sagas_sagainstance AS s
           WHERE s.id = o.reversal_id AND s.subject_id = o.id AND s.status <> ALL(%(terminal)s))))
   OR (o.status = ANY(%(undone)s) AND r.state IN ('HELD', 'COMMITTED')
       AND NOT (r.state = 'HELD' AND r.quantity = l.quantity AND EXISTS (
           SELECT FROM sagas_sagainstance AS s
           WHERE s.id = o.revival_id AND s.subject_id = o.id AND s.status <> ALL(%(terminal)s))))
UNION ALL
SELECT r.owner_id, o.number, o.status, r.sku, l.quantity, r.state, r.quantity
FROM inventory_reservation AS r LEFT JOIN orders_order AS o ON o.id = r.owner_id
LEFT JOIN orders_orderline AS l ON l.order_id = r.owner_id AND l.sku = r.sku
WHERE r.state = 'COMMITTED' AND (l.order_id IS NULL OR o.status = ANY(%(unconfirmed)s))
ORDER BY 1, 4 LIMIT %(most)s
"""


def units_follow_orders() -> Iterator[Finding]:
    """What a confirmed order asks for is sold to it, and to nobody else; what an ended one held is back."""
    for order_id, number, status, sku, ordered, state, quantity in rows(_UNITS, VALUES):
        there = f"{words.units(quantity)} of {sku} {state}" if state else f"no reservation of {sku}"
        found = f"{there} for an order that is {status}" if status else there
        if status in VALUES["standing"] and ordered:
            expected = f"{words.units(ordered)} COMMITTED"
        else:
            expected = "nothing sold to it" if state == "COMMITTED" else "nothing held for it"
        yield Finding(UNITS_FOLLOW_ORDERS, words.order(order_id, number), found, expected)
