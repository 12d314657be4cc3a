"""What must be true between orders, the sagas that ship them, and their parcels."""

from collections.abc import Iterator
from typing import Final

from marketplace.operations.auditor import words
from marketplace.operations.auditor.report import Finding
from marketplace.operations.auditor.snapshot import rows
from marketplace.operations.auditor.values import VALUES

ORDERS_ARE_SHIPPED: Final = "confirmed_orders_are_shipped"
PARCELS_FOLLOW_ORDERS: Final = "parcels_follow_orders"

# Whoever is confirmed is being shipped, or taken back; and a saga that is over has brought it to the door, or given up.
_SHIPPED: Final = """
SELECT o.id, o.number, o.status, s.status
FROM orders_order AS o
LEFT JOIN sagas_every AS s ON s.subject_id = o.id AND s.name = %(fulfill_order)s
WHERE (o.status = 'CONFIRMED' AND o.reversal_id IS NULL AND (s.id IS NULL OR s.status = ANY(%(terminal)s)))
   OR (o.status IN ('SHIPPED', 'IN_TRANSIT') AND (s.id IS NULL OR s.status = ANY(%(terminal)s)))
   OR (o.status = 'DELIVERED' AND s.status IS DISTINCT FROM 'COMPLETED')
   OR (s.status = 'COMPLETED' AND o.status <> 'DELIVERED')
ORDER BY 1 LIMIT %(most)s
"""


def orders_are_shipped() -> Iterator[Finding]:
    """Every order that stands has a living saga that ships it, until it is delivered."""
    for order_id, number, status, saga_status in rows(_SHIPPED, VALUES):
        found = f"{status} with {words.saga(saga_status) if saga_status else 'no saga that ships it'}"
        expected = "a living saga that ships it, or takes it back, until it is DELIVERED"
        yield Finding(ORDERS_ARE_SHIPPED, words.order(order_id, number), found, expected)


# A parcel of an order that has ended is stopped, or is being stopped by a saga that is not over.
_PARCELS: Final = """
SELECT p.id, o.id, o.number, o.status, p.status, p.tracking_number
FROM fulfillment_shipment AS p
LEFT JOIN orders_order AS o ON o.id = p.reference_id
LEFT JOIN sagas_every AS s ON s.subject_id = o.id AND s.name = %(fulfill_order)s
WHERE o.id IS NULL
   OR (o.status = ANY(%(undone)s) AND p.status <> 'CANCELLED' AND coalesce(s.status = ANY(%(terminal)s), true))
   OR (o.status IN ('SHIPPED', 'IN_TRANSIT', 'DELIVERED') AND (p.status = 'CANCELLED' OR p.tracking_number = ''))
ORDER BY 1 LIMIT %(most)s
"""


def parcels_follow_orders() -> Iterator[Finding]:
    """No parcel goes out for an order that has ended, and none that is shipped lacks its label."""
    for shipment_id, order_id, number, status, parcel, tracking in rows(_PARCELS, VALUES):
        subject = words.order(order_id, number) if number else f"shipment {shipment_id}"
        found = f"{status or 'no order'} with a parcel that is {parcel}{'' if tracking else ', without a label'}"
        yield Finding(PARCELS_FOLLOW_ORDERS, subject, found, "a parcel that is where its order is")
