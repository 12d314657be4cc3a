"""What must be true of what buyers send back."""

from collections.abc import Iterator
from typing import Final

from marketplace.operations.auditor import words
from marketplace.operations.auditor.report import Finding
from marketplace.operations.auditor.snapshot import rows
from marketplace.operations.auditor.values import VALUES

RETURNS_COME_THROUGH: Final = "returns_come_through"
RETURNS_ADD_UP: Final = "returns_add_up"

# Whatever is open has a saga at work, or one that waits for a person; a refund that is done is what the return says.
_SAGAS: Final = """
SELECT r.order_id, o.number, r.sequence, r.status, s.status, o.currency, r.refunded_minor, f.amount_minor
FROM orders_return AS r JOIN orders_order AS o ON o.id = r.order_id
LEFT JOIN sagas_every AS s ON s.id = r.saga_id AND s.subject_id = r.id
LEFT JOIN payments_refund AS f ON f.id = r.id AND f.status = 'DONE'
WHERE s.id IS NULL
   OR o.status <> 'DELIVERED'
   OR (r.status = ANY(%(returns_open)s) AND s.status = ANY(%(terminal)s))
   OR (r.status = 'REFUNDED' AND s.status <> 'COMPLETED')
   OR (s.status = 'COMPLETED' AND r.status <> 'REFUNDED')
   OR (r.status <> ALL(%(returns_open)s) AND s.status <> ALL(%(terminal)s))
   OR (r.status <> ALL(%(returns_open)s) AND coalesce(f.amount_minor, 0) <> r.refunded_minor)
ORDER BY r.id LIMIT %(most)s
"""


def come_through() -> Iterator[Finding]:
    """A return that is open has a living saga, and one that is over says of its refund what the payment does."""
    for order_id, number, sequence, status, saga_status, currency, said, done in rows(_SAGAS, VALUES):
        found = (
            f"return {sequence} is {status} with {words.saga(saga_status)}, and says {words.money(said, currency)} "
            f"went back, of which the refund knows {words.money(done or 0, currency)}"
        )
        expected = "a living saga until it is over, and then the refund that it says"
        yield Finding(RETURNS_COME_THROUGH, words.order(order_id, number), found, expected)


_UNITS: Final = """
SELECT l.order_id, o.number, l.sku, l.quantity, coalesce(r.restocked, 0), coalesce(b.restocked, 0), coalesce(b.back, 0)
FROM orders_orderline AS l JOIN orders_order AS o ON o.id = l.order_id
LEFT JOIN inventory_reservation AS r ON r.owner_id = l.order_id AND r.sku = l.sku AND r.restocked > 0
LEFT JOIN (
    SELECT t.order_id, n.sku, sum(n.restocked) AS restocked, sum(n.restocked + n.written_off) AS back
    FROM orders_return AS t JOIN orders_returnline AS n ON n.request_id = t.id
    WHERE t.status IN ('RECEIVED', 'REFUNDED') GROUP BY t.order_id, n.sku
) AS b ON b.order_id = l.order_id AND b.sku = l.sku
WHERE coalesce(r.restocked, 0) <> coalesce(b.restocked, 0) OR coalesce(b.back, 0) > l.quantity
ORDER BY 1, 3 LIMIT %(most)s
"""


def add_up() -> Iterator[Finding]:
    """No more came back than was bought, and the vault has on its shelf what the returns say it has."""
    for order_id, number, sku, bought, by_vault, by_returns, back in rows(_UNITS, VALUES):
        found = f"{back} of {bought} {sku} back, {by_returns} of them for the shelf; by the vault {by_vault}"
        yield Finding(RETURNS_ADD_UP, words.order(order_id, number), found, "the same, and no more than were bought")
