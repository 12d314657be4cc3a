"""What must be true of the money, by our own books."""

from collections.abc import Iterator
from typing import Final

from marketplace.operations.auditor import words
from marketplace.operations.auditor.report import Finding
from marketplace.operations.auditor.snapshot import rows
from marketplace.operations.auditor.values import VALUES

CONFIRMED_IS_PAID: Final = "confirmed_order_is_paid"
MONEY_HAS_A_REASON: Final = "money_has_a_reason"
CHARGED_ONCE: Final = "charged_once"
REFUNDS_WITHIN_CAPTURES: Final = "refunds_within_captures"
REFUNDS_COME_THROUGH: Final = "refunds_come_through"
CASES_SETTLED: Final = "reconciliation_cases_are_settled"

# A confirmed order whose money was all given back is one that a saga is taking back at this moment, or a mistake;
# unless people have given back all of it, here or at the provider's dashboard.
_UNPAID: Final = """
SELECT o.id, o.number, o.status, o.total_minor, o.currency, paid.captured, paid.refunded
FROM orders_order AS o CROSS JOIN LATERAL (
    SELECT coalesce(sum(p.captured_minor), 0) AS captured,
           coalesce(sum(p.refunded_minor + p.reversed_minor), 0) AS refunded
    FROM payments_payment AS p
    WHERE p.reference_id = o.id AND p.currency = o.currency AND p.given_up_at IS NULL) AS paid
WHERE o.status = ANY(%(standing)s) AND (
    paid.captured < o.total_minor
    OR (o.status = 'CONFIRMED' AND paid.captured > 0 AND paid.refunded = paid.captured AND paid.captured > (
        SELECT coalesce(sum(r.amount_minor), 0) FROM payments_refund AS r
        JOIN payments_payment AS p ON p.id = r.payment_id
        WHERE p.reference_id = o.id AND p.given_up_at IS NULL
            AND r.status = 'DONE' AND r.source IN ('STAFF', 'GATEWAY')) AND NOT EXISTS (
        SELECT FROM sagas_sagainstance AS s WHERE s.id = o.reversal_id AND s.status <> ALL(%(terminal)s))))
ORDER BY o.id LIMIT %(most)s
"""


def confirmed_is_paid() -> Iterator[Finding]:
    """No order stands unless its money was captured."""
    for order_id, number, status, total, currency, captured, refunded in rows(_UNPAID, VALUES):
        returned = f", {words.money(refunded, currency)} of it given back" if refunded else ""
        found = f"{status} with {words.money(captured, currency)} captured{returned}"
        expected = f"{words.money(total, currency)} captured"
        yield Finding(CONFIRMED_IS_PAID, words.order(order_id, number), found, expected)


# A payment that its order has given up has no reason but that its money is on its way back. Otherwise:
# PENDING with a key: the gateway was asked, and nobody ever found out what it did. News that are still to be told, and
# late money that is being given back, are reasons as a live saga is one; so is a dispute that is open.
# What was tried for a day and PARKED is none: nobody would tell of it but this.
_WITHOUT_REASON: Final = """
SELECT p.id, p.reference_id, o.number, o.status, p.status, p.amount_minor,
       p.captured_minor - p.refunded_minor - p.reversed_minor, p.currency,
       (SELECT max(s.status) FROM sagas_every AS s WHERE s.subject_id = p.reference_id)
FROM payments_payment AS p LEFT JOIN orders_order AS o ON o.id = p.reference_id
WHERE (p.status IN ('AUTHORIZED', 'CAPTURED', 'PARTIALLY_REFUNDED')
       OR (p.status = 'PENDING' AND p.authorization_key <> ''))
  AND (p.given_up_at IS NOT NULL OR ((o.id IS NULL OR o.status <> ALL(%(standing)s)) AND NOT EXISTS (
      SELECT FROM sagas_sagainstance AS s WHERE s.subject_id = p.reference_id AND s.status <> ALL(%(terminal)s))))
  AND NOT EXISTS (
      SELECT FROM payments_observation AS n WHERE n.payment_id = p.id AND n.status IN ('NEW', 'UNDOING'))
  AND NOT EXISTS (
      SELECT FROM payments_refund AS r JOIN sagas_sagainstance AS s ON s.subject_id = r.id
      WHERE r.payment_id = p.id AND s.status <> ALL(%(terminal)s))
  AND NOT EXISTS (
      SELECT FROM orders_moneycase AS c JOIN sagas_sagainstance AS s ON s.subject_id = c.id
      WHERE c.order_id = p.reference_id AND p.given_up_at IS NULL AND s.status <> ALL(%(terminal)s))
  AND NOT (p.dispute = 'OPEN' AND o.refund_status = 'DISPUTED')
ORDER BY p.id LIMIT %(most)s
"""


def money_has_a_reason() -> Iterator[Finding]:
    """Money is held or kept only for an order that stands, a saga at work, or a case that waits for a person."""
    for row in rows(_WITHOUT_REASON, VALUES):
        _, order_id, number, order_status, status, amount, kept, currency, saga_status = row
        what = {
            "AUTHORIZED": f"{words.money(amount, currency)} authorized",
            "PENDING": f"{words.money(amount, currency)} asked for, and its outcome never found out",
        }.get(status, f"{words.money(kept, currency)} captured")
        about = "for nothing"
        if order_status:
            about = f"for an order that is {order_status}, with {words.saga(saga_status)}"
        expected = "no money, or an order or a live saga that it is for"
        yield Finding(MONEY_HAS_A_REASON, words.order(order_id, number), f"{what} {about}", expected)


_TWICE: Final = """
SELECT o.id, o.number, o.total_minor, o.currency, count(*),
       sum(CASE p.status WHEN 'AUTHORIZED' THEN p.amount_minor
           ELSE p.captured_minor - p.refunded_minor - p.reversed_minor END)
FROM orders_order AS o JOIN payments_payment AS p ON p.reference_id = o.id
WHERE p.given_up_at IS NULL OR NOT EXISTS (
    SELECT FROM payments_observation AS n WHERE n.payment_id = p.id AND n.status IN ('NEW', 'UNDOING'))
GROUP BY o.id
HAVING sum(CASE p.status WHEN 'AUTHORIZED' THEN p.amount_minor
           ELSE p.captured_minor - p.refunded_minor - p.reversed_minor END) > o.total_minor
ORDER BY o.id LIMIT %(most)s
"""


def charged_once() -> Iterator[Finding]:
    """No order holds or keeps more money than it costs."""
    for order_id, number, total, currency, count, held in rows(_TWICE, VALUES):
        found = f"{words.money(held, currency)} authorized or captured, in {count} payment{'s' * (count != 1)}"
        yield Finding(CHARGED_ONCE, words.order(order_id, number), found, f"at most {words.money(total, currency)}")


_REFUNDS: Final = """
SELECT p.reference_id, o.number, p.currency, p.amount_minor, p.captured_minor, p.refunded_minor, coalesce(r.done, 0)
FROM payments_payment AS p LEFT JOIN orders_order AS o ON o.id = p.reference_id
LEFT JOIN (
    SELECT payment_id, sum(amount_minor) AS done FROM payments_refund WHERE status = 'DONE' GROUP BY payment_id
) AS r ON r.payment_id = p.id
WHERE p.refunded_minor + p.reversed_minor > p.captured_minor OR p.captured_minor > p.amount_minor
   OR coalesce(r.done, 0) > p.captured_minor OR coalesce(r.done, 0) <> p.refunded_minor
ORDER BY p.id LIMIT %(most)s
"""


def refunds_within_captures() -> Iterator[Finding]:
    """What was given back is on record, refund by refund, and never more than was captured."""
    for order_id, number, currency, amount, captured, refunded, done in rows(_REFUNDS, VALUES):
        found = (
            f"{words.money(refunded, currency)} given back (refunds on record: {words.money(done, currency)}) "
            f"of {words.money(captured, currency)} captured of {words.money(amount, currency)} asked for"
        )
        expected = "refunds that add up, within what was captured, within what was asked for"
        yield Finding(REFUNDS_WITHIN_CAPTURES, words.order(order_id, number), found, expected)


# The saga of a refund tries for a day. What is seen done at the gateway is told within moments. What goes back of a
# payment that was given up is no refund of the order: `money_has_a_reason` sees it if it does not.
_STUCK: Final = """
SELECT p.reference_id, o.number, p.currency, r.amount_minor, r.source, r.status, r.created_at,
       r.source = 'STAFF' AND s.id IS NULL
FROM payments_refund AS r JOIN payments_payment AS p ON p.id = r.payment_id
LEFT JOIN orders_order AS o ON o.id = p.reference_id
LEFT JOIN sagas_sagainstance AS s ON s.subject_id = r.id AND s.status <> ALL(%(terminal)s)
WHERE p.given_up_at IS NULL AND ((r.status = 'PENDING'
       AND (r.created_at < clock_timestamp() - interval '1 day' OR (r.source = 'STAFF' AND s.id IS NULL)))
   OR (r.status = 'DONE' AND r.told_at IS NULL AND r.amount_minor > 0
       AND r.settled_at < clock_timestamp() - interval '1 day'))
ORDER BY r.id LIMIT %(most)s
"""
_MISSAID: Final = """
SELECT o.id, o.number, o.refund_status, o.currency, paid.captured, paid.refunded
FROM orders_order AS o CROSS JOIN LATERAL (
    SELECT coalesce(sum(p.captured_minor), 0) AS captured, coalesce(sum(p.refunded_minor), 0) AS refunded,
           coalesce(bool_or(p.status = o.refund_status), false) AS agrees
    FROM payments_payment AS p WHERE p.reference_id = o.id AND p.given_up_at IS NULL) AS paid
WHERE o.refund_status IN ('REFUNDED', 'PARTIALLY_REFUNDED') AND NOT paid.agrees
ORDER BY o.id LIMIT %(most)s
"""


def refunds_come_through() -> Iterator[Finding]:
    """No refund is stuck for more than a day, and a buyer reads that money went back only when it did."""
    for order_id, number, currency, amount, source, status, since, forgotten in rows(_STUCK, VALUES):
        subject = words.order(order_id, number)
        what = f"{words.money(amount, currency)} ({source.lower()}) since {since:%Y-%m-%d %H:%M} UTC"
        if status == "DONE":
            yield Finding(REFUNDS_COME_THROUGH, subject, f"a refund of {what} that nobody was told of", "told")
        else:
            found = f"a refund of {what} under way{', and no saga that sees to it' * forgotten}"
            yield Finding(REFUNDS_COME_THROUGH, subject, found, "done, or refused, within a day")
    for order_id, number, said, currency, captured, refunded in rows(_MISSAID, VALUES):
        found = f"{said} with {words.money(refunded, currency)} given back of {words.money(captured, currency)}"
        yield Finding(REFUNDS_COME_THROUGH, words.order(order_id, number), found, "what the payment says")


_CASES: Final = """
SELECT c.reference_id, o.number, c.id, c.gateway, c.kind, c.key, c.theirs
FROM payments_reconciliationcase AS c LEFT JOIN orders_order AS o ON o.id = c.reference_id
WHERE c.status = 'OPEN' ORDER BY c.id LIMIT %(most)s
"""


def cases_settled() -> Iterator[Finding]:
    """Nothing that the reconciliation has found waits for a person."""
    for order_id, number, case_id, gateway, kind, key, theirs in rows(_CASES, VALUES):
        subject = words.order(order_id, number) if order_id else f"charge {key}"
        found = f"case #{case_id}: {kind.replace('_', ' ')}, at {gateway} {theirs or 'no such charge'}"
        yield Finding(CASES_SETTLED, subject, found, "no open case")
