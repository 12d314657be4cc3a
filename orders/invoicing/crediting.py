"""Writing credit notes: for an order that is taken back, or for a part of its price."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from marketplace.kernel.arrays import Bigints, Texts, Uuids
from marketplace.kernel.bulk import binding_cursor
from orders.invoicing import taxes
from orders.invoicing.issuing import TAKE, year_of
from orders.invoicing.models import CreditNote, Invoice

_CREDIT: Final = f"""
WITH taken AS (
    {TAKE}
), given AS (
    SELECT * FROM ROWS FROM (
        unnest(%(invoices)b::uuid[]), unnest(%(keys)b::text[]), unnest(%(amounts)b::bigint[]),
        unnest(%(taxes)b::bigint[]), unnest(%(reasons)b::text[])
    ) WITH ORDINALITY AS g(invoice_id, key, amount, tax, reason, place)
), summed AS (
    UPDATE orders_invoice AS i SET credited_minor = i.credited_minor + g.amount FROM given AS g
    WHERE i.order_id = g.invoice_id
)
INSERT INTO orders_creditnote (invoice_id, key, year, sequence, issued_at, amount_minor, tax_minor, reason)
SELECT g.invoice_id, g.key, %(year)s, taken.before + g.place, taken.issued_at, g.amount, g.tax, g.reason
FROM taken, given AS g ORDER BY g.place
"""  # noqa: S608 (a constant of ours, no input)


class _Note(NamedTuple):
    invoice: Invoice
    key: str
    amount_minor: int
    reason: str


def credit_rest(reasons: Mapping[UUID, str], *, now: datetime) -> None:
    """Credit what is left of the invoices of these orders, which were taken back, each for its reason.

    An order that has no invoice, or whose invoice is credited already, gets nothing. Takes part in the caller's
    transaction; locks the invoices and then the counter, so it should be the last that is done there.
    """
    invoices = Invoice.objects.select_for_update(no_key=True).filter(pk__in=reasons).order_by("pk")
    _write(
        [
            _Note(one, f"reversal:{one.pk}", one.total_minor - one.credited_minor, reasons[one.pk])
            for one in invoices
            if one.credited_minor < one.total_minor
        ],
        now=now,
    )


def credit_part(invoice: Invoice, *, key: str, amount_minor: int, reason: str, now: datetime) -> CreditNote:
    """Credit `amount_minor` of an invoice that is locked, and of which that much is left."""
    _write([_Note(invoice, key, amount_minor, reason)], now=now)
    return CreditNote.objects.get(key=key)


def _write(notes: Sequence[_Note], *, now: datetime) -> None:
    if not notes:
        return
    values: dict[str, Any] = {
        "kind": "credit_note",
        "year": year_of(now),
        "count": len(notes),
        "now": now,
        "invoices": Uuids([note.invoice.pk for note in notes]),
        "keys": Texts([note.key for note in notes]),
        "amounts": Bigints([note.amount_minor for note in notes]),
        "taxes": Bigints([_tax(note) for note in notes]),
        "reasons": Texts([note.reason for note in notes]),
    }
    with binding_cursor() as cursor:
        cursor.execute(_CREDIT, values)


def _tax(note: _Note) -> int:
    """The tax that goes back: by so much less is in the rest. So all notes of an invoice come to its tax exactly."""
    credited = note.invoice.credited_minor
    percent = note.invoice.tax_percent
    return taxes.included(credited + note.amount_minor, percent) - taxes.included(credited, percent)
