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


def stock_adds_up() -> Iterator[Finding]:
    """Levels, ledger and live reservations agree."""
    for one in inventory.stock_discrepancies():
        if one.source != _NEVER_NEGATIVE:
            expected = f"{one.level} {one.expected}, by the {one.source}"
            yield Finding(STOCK_ADDS_UP, f"SKU {one.sku}", f"{one.level} {one.found}", expected)


# All of these are CHECKs of the database too; this proves that the CHECKs are still there and did their work.
_NEGATIVE: Final = """
SELECT 'SKU ' || sku, what, value FROM inventory_stock
    CROSS JOIN LATERAL
        (VALUES ('available', available), ('reserved', reserved), ('on hand', on_hand)) AS v (what, value)
    WHERE value < 0
UNION ALL SELECT 'reservation ' || id, 'quantity', quantity FROM inventory_reservation WHERE quantity <= 0
UNION ALL SELECT 'order ' || number, 'total', total_minor FROM orders_order WHERE total_minor < 0
UNION ALL SELECT 'line ' || sku || ' of order ' || order_id, what, value FROM orders_orderline
    CROSS JOIN LATERAL (VALUES ('quantity', quantity::bigint - 1), ('price', price_minor)) AS v (what, value)
    WHERE value < 0
UNION ALL SELECT 'payment ' || id, what, value FROM payments_payment
    CROSS JOIN LATERAL
        (VALUES ('amount', amount_minor - 1), ('captured', captured_minor), ('refunded', refunded_minor))
        AS v (what, value)
    WHERE value < 0
UNION ALL SELECT 'refund ' || id, 'amount', amount_minor FROM payments_refund WHERE amount_minor < 0
ORDER BY 1, 2 LIMIT %(most)s
"""


def nothing_negative() -> Iterator[Finding]:
    """No level, quantity or amount is below what it can be."""
    for subject, what, value in rows(_NEGATIVE, VALUES):
        yield Finding(NOTHING_NEGATIVE, subject, f"{what} {value}", "no such number below zero")


_HOLDS: Final = """
SELECT r.owner_id, o.number, sum(r.quantity), min(r.expires_at),
       (SELECT max(s.status) FROM sagas_sagainstance AS s WHERE s.subject_id = r.owner_id)
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


_UNITS: Final = """
SELECT o.id, o.number, o.status, l.sku, l.quantity, r.state, r.quantity
FROM orders_order AS o JOIN orders_orderline AS l ON l.order_id = o.id
LEFT JOIN inventory_reservation AS r ON r.owner_id = o.id AND r.sku = l.sku
WHERE (o.status = ANY(%(standing)s) AND (r.state IS DISTINCT FROM 'COMMITTED' OR r.quantity <> l.quantity))
   OR (o.status = ANY(%(undone)s) AND r.state IN ('HELD', 'COMMITTED'))
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
