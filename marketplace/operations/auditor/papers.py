"""What must be true of what orders have on paper."""

from collections.abc import Iterator
from typing import Final

from marketplace.operations.auditor import words
from marketplace.operations.auditor.report import Finding
from marketplace.operations.auditor.snapshot import rows
from marketplace.operations.auditor.values import VALUES

NUMBERS_GAPLESS: Final = "invoice_numbers_are_gapless"
CONFIRMED_IS_INVOICED: Final = "confirmed_order_is_invoiced"
CREDITS_ADD_UP: Final = "credit_notes_add_up"

_NUMBERS: Final = """
SELECT coalesce(s.kind, p.kind), coalesce(s.year, p.year), s.last, p.many, p.low, p.high, p.disordered
FROM orders_series AS s FULL JOIN (
    SELECT kind, year, count(*) AS many, min(sequence) AS low, max(sequence) AS high,
        count(*) FILTER (WHERE issued_at < before) AS disordered
    FROM (SELECT kind, year, sequence, issued_at,
              lag(issued_at) OVER (PARTITION BY kind, year ORDER BY sequence) AS before
          FROM (SELECT 'invoice' AS kind, year, sequence, issued_at FROM orders_invoice
                UNION ALL SELECT 'credit_note', year, sequence, issued_at FROM orders_creditnote) AS papers) AS dated
    GROUP BY kind, year) AS p
    ON p.kind = s.kind AND p.year = s.year
WHERE s.last IS DISTINCT FROM p.many OR p.low IS DISTINCT FROM 1 OR s.last IS DISTINCT FROM p.high
   OR p.disordered > 0
ORDER BY 1, 2 LIMIT %(most)s
"""


def numbers_gapless() -> Iterator[Finding]:
    """The numbers of each year are 1, 2, 3 and so on, in the order of their dates, and the counter knows the last."""
    for kind, year, last, many, low, high, disordered in rows(_NUMBERS, VALUES):
        found = (
            f"{many or 0} numbers from {low} to {high}, {disordered or 0} of them out of order, and a counter at {last}"
        )
        expected = "1, 2, 3 and so on to the counter's, in the order of their dates"
        yield Finding(NUMBERS_GAPLESS, f"{kind.replace('_', ' ')}s of {year}", found, expected)


_INVOICED: Final = """
SELECT o.id, o.number, o.status, o.total_minor, o.currency, i.total_minor, i.currency
FROM orders_order AS o LEFT JOIN orders_invoice AS i ON i.order_id = o.id
WHERE (i.order_id IS NULL AND o.status = ANY(%(standing)s))
   OR (i.order_id IS NOT NULL AND o.status = ANY(%(unconfirmed)s))
   OR (i.total_minor, i.currency) <> (o.total_minor, o.currency)
ORDER BY o.id LIMIT %(most)s
"""


def confirmed_is_invoiced() -> Iterator[Finding]:
    """Every order that stands has an invoice over what it costs, and none has one before."""
    for order_id, number, status, total, currency, invoiced, in_currency in rows(_INVOICED, VALUES):
        invoice = "no invoice" if invoiced is None else f"an invoice over {words.money(invoiced, in_currency)}"
        expected = "no invoice" if status in VALUES["unconfirmed"] else f"one over {words.money(total, currency)}"
        yield Finding(CONFIRMED_IS_INVOICED, words.order(order_id, number), f"{status} with {invoice}", expected)


_CREDITED: Final = """
SELECT o.id, o.number, o.status, i.currency, i.total_minor, i.credited_minor, i.tax_minor, n.amount, n.tax
FROM orders_invoice AS i LEFT JOIN orders_order AS o ON o.id = i.order_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(n.amount_minor), 0) AS amount, coalesce(sum(n.tax_minor), 0) AS tax
    FROM orders_creditnote AS n WHERE n.invoice_id = i.order_id) AS n
WHERE n.amount <> i.credited_minor
   OR (i.credited_minor = i.total_minor AND n.tax <> i.tax_minor)
   OR (o.status = ANY(%(undone)s) AND i.credited_minor <> i.total_minor)
   OR o.id IS NULL
ORDER BY i.order_id LIMIT %(most)s
"""


def credits_add_up() -> Iterator[Finding]:
    """An invoice's credit notes add up; and those of an order that was taken back to the whole of it, and its tax."""
    for order_id, number, status, currency, total, credited, tax, amount, back in rows(_CREDITED, VALUES):
        found = (
            f"{status} with credit notes over {words.money(amount, currency)} (tax {words.money(back, currency)}), "
            f"by the invoice {words.money(credited, currency)}"
        )
        whole = f"{words.money(total, currency)} (tax {words.money(tax, currency)})"
        expected = f"notes that add up, to {whole} where the order has ended"
        yield Finding(CREDITS_ADD_UP, words.order(order_id, number), found, expected)
