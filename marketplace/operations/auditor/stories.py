"""What must be true between orders, their sagas, and what the world was told about them."""

from collections.abc import Iterator
from typing import Final

from marketplace.operations.auditor import words
from marketplace.operations.auditor.report import Finding
from marketplace.operations.auditor.snapshot import rows
from marketplace.operations.auditor.values import VALUES

ENDS_AGREE: Final = "orders_and_sagas_end_together"
REVERSALS_AGREE: Final = "orders_and_reversals_agree"
EVENTS_GAPLESS: Final = "events_are_gapless"
ENDS_ARE_TOLD: Final = "ends_are_told_once"

# The saga that places an order, unless late money has revived the order after that: then the saga which did so.
_ENDS: Final = """
SELECT coalesce(o.id, s.subject_id), o.number, o.status, coalesce(r.status, s.status)
FROM orders_order AS o
FULL JOIN (SELECT id, subject_id, status FROM sagas_every WHERE name = %(place_order)s) AS s
    ON s.id = o.saga_id AND s.subject_id = o.id
LEFT JOIN sagas_every AS r
    ON r.id = o.revival_id AND r.subject_id = o.id AND r.name = %(accept_late_payment)s AND r.status = 'COMPLETED'
WHERE o.id IS NULL OR s.id IS NULL
   OR (o.status = ANY(%(undone)s) AND s.status <> ALL(%(terminal)s))
   OR (o.status = ANY(%(standing)s) AND coalesce(r.status, s.status) <> 'COMPLETED')
   OR (o.status = ANY(%(unconfirmed)s) AND s.status = ANY(%(terminal)s))
   OR (s.status IN ('FAILED', 'COMPENSATED') AND r.id IS NULL AND o.status <> ALL(%(undone)s))
ORDER BY 1 LIMIT %(most)s
"""


def ends_agree() -> Iterator[Finding]:
    """An order and the saga that places it come to their ends together, and to the same one."""
    for order_id, number, order_status, saga_status in rows(_ENDS, VALUES):
        found = f"{order_status} with {words.saga(saga_status)}" if order_status else words.saga(saga_status)
        yield Finding(ENDS_AGREE, words.order(order_id, number), found, _expected(order_status, saga_status))


def _expected(order_status: str | None, saga_status: str | None) -> str:
    if order_status is None:
        return "an order that the saga is about"
    if order_status in VALUES["standing"]:
        return "a saga that is COMPLETED"
    if order_status in VALUES["undone"]:
        return "a saga that has come to its end"
    if saga_status is None:
        return "the saga that places it"
    return "an order that has come to its end too"


# STAFF: what is under way is a refund that a person asked for, which has a saga of its own.
# A reversal: started with the order that it is about, at work for as long as that stands, and the only way from there
# to FAILED or CANCELLED. Whether the money and the units are back then is asked by `money_has_a_reason` and
# `units_follow_orders`.
_REVERSALS: Final = """
SELECT coalesce(o.id, s.subject_id), o.number, o.status, o.refund_status, s.status
FROM (SELECT o.id, o.number, o.status, o.reversal_id, 'COMPLETED' IN (p.status, r.status) AS confirmed,
          CASE WHEN o.refund_status = 'PENDING' AND EXISTS (
              SELECT FROM payments_refund AS f JOIN payments_payment AS p ON p.id = f.payment_id
              WHERE p.reference_id = o.id AND f.status = 'PENDING' AND f.source = 'STAFF')
          THEN 'STAFF' ELSE o.refund_status END AS refund_status
      FROM orders_order AS o
      LEFT JOIN sagas_every AS p ON p.id = o.saga_id
      LEFT JOIN sagas_every AS r ON r.id = o.revival_id
      WHERE o.reversal_id IS NOT NULL OR o.status = ANY(%(undone)s) OR o.refund_status = ANY(%(owed)s)) AS o
FULL JOIN (SELECT id, subject_id, status FROM sagas_every WHERE name = %(reverse_order)s) AS s
    ON s.id = o.reversal_id AND s.subject_id = o.id
WHERE o.id IS NULL
   OR (s.id IS NULL AND (o.reversal_id IS NOT NULL OR (o.confirmed AND (
        o.status = ANY(%(undone)s) OR o.refund_status = ANY(%(owed)s)))))
   OR (s.status = ANY(%(terminal)s) AND (
        o.status <> ALL(%(undone)s) OR o.refund_status <> ALL(%(settled)s || ARRAY['STAFF'])))
   OR (s.status <> ALL(%(terminal)s) AND o.status <> 'CONFIRMED')
ORDER BY 1 LIMIT %(most)s
"""


def reversals_agree() -> Iterator[Finding]:
    """An order that was confirmed is taken back by a saga, and both come to their end together."""
    for order_id, number, status, refund, saga_status in rows(_REVERSALS, VALUES):
        reversal = f"a reversal that is {saga_status}" if saga_status else "no reversal"
        money = f" and its refund {refund}" if refund else ""
        found = f"{status}{money} with {reversal}" if status else reversal
        expected = "a live reversal while it is CONFIRMED, a finished one once it has ended and its money is settled"
        yield Finding(REVERSALS_AGREE, words.order(order_id, number), found, expected)


_GAPS: Final = """
SELECT e.saga_id, o.id, o.number, e.count, e.first, e.last
FROM (
    SELECT saga_id, count(*), min(sequence) AS first, max(sequence) AS last FROM outbox_event
    GROUP BY saga_id HAVING min(sequence) <> 1 OR max(sequence) <> count(*)) AS e
LEFT JOIN orders_order AS o ON o.saga_id = e.saga_id
ORDER BY e.saga_id LIMIT %(most)s
"""
_NOTES: Final = """
SELECT u.position FROM outbox_unpublished AS u
WHERE NOT EXISTS (SELECT FROM outbox_event AS e WHERE e.position = u.position)
ORDER BY u.position LIMIT %(most)s
"""


def events_gapless() -> Iterator[Finding]:
    """The events of a saga are numbered 1, 2, 3 and so on, and what waits to be published is there."""
    for saga_id, order_id, number, count, first, last in rows(_GAPS, VALUES):
        subject = words.order(order_id, number) if number else f"saga {saga_id}"
        found = f"{count} event{'s' * (count != 1)}, numbered {first} to {last}"
        yield Finding(EVENTS_GAPLESS, subject, found, f"1 to {count}, without a gap")
    for (position,) in rows(_NOTES, VALUES):
        found = "a note that it is still to be published, and no event"
        yield Finding(EVENTS_GAPLESS, f"event at position {position}", found, "the event")


# An order that late money has revived may come to an end of the same kind a second time.
_UNTOLD: Final = """
SELECT o.id, o.number, o.status, told.type, count(e.position)
FROM orders_order AS o
CROSS JOIN LATERAL (VALUES
    ('ORDER_CREATED', true),
    ('ORDER_CONFIRMED', o.status = ANY(%(standing)s)),
    ('ORDER_FAILED', o.status = 'FAILED'),
    ('ORDER_CANCELLED', o.status = 'CANCELLED')) AS told (type, due)
LEFT JOIN outbox_event AS e ON e.subject_id = o.id AND e.type = told.type
WHERE told.due GROUP BY o.id, told.type
HAVING count(e.position) <> 1 AND NOT (o.revival_id IS NOT NULL AND count(e.position) = 2)
ORDER BY o.id, told.type LIMIT %(most)s
"""


def ends_are_told() -> Iterator[Finding]:
    """The world was told once, and only once, that an order came to be and how it ended."""
    for order_id, number, status, event_type, count in rows(_UNTOLD, VALUES):
        found = f"{count} event{'s' * (count != 1)} {event_type} for an order that is {status}"
        yield Finding(ENDS_ARE_TOLD, words.order(order_id, number), found, "exactly one")
