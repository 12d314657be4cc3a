"""Reading invoices and credit notes."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from orders.errors import NotInvoiced, UnknownCreditNote
from orders.invoicing.models import CreditNote, Invoice


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """So many units of one product, each at `price_minor` minor units with tax."""

    sku: str
    name: str
    quantity: int
    price_minor: int

    @property
    def sum_minor(self) -> int:
        """All its units, in minor units with tax."""
        return self.quantity * self.price_minor


@dataclass(frozen=True, slots=True)
class SellerView:
    """The shop, as it wrote itself when the invoice was made; `address` line by line."""

    name: str
    address: tuple[str, ...]
    country: str
    tax_id: str
    email: str


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """An invoice. `address` is where the goods go, as on the order; None if the buyer gave none."""

    order_id: UUID
    order_number: str
    number: str
    issued_at: datetime
    seller: SellerView
    email: str
    address: dict[str, Any] | None
    lines: tuple[InvoiceLine, ...]
    currency: str
    total_minor: int
    tax_percent: Decimal
    tax_minor: int
    credited_minor: int


@dataclass(frozen=True, slots=True)
class CreditNoteView:
    """A credit note. `amount_minor` is with tax, and `tax_minor` the tax in it."""

    number: str
    issued_at: datetime
    amount_minor: int
    tax_minor: int
    reason: str


@dataclass(frozen=True, slots=True)
class Papers:
    """What an order has on paper: the number of its invoice (empty: none yet) and those of its credit notes."""

    invoice: str = ""
    credit_notes: tuple[str, ...] = ()


NO_PAPERS: Final = Papers()


def invoice(order_id: UUID) -> InvoiceView:
    """Return the invoice of an order; raises `NotInvoiced`."""
    row = Invoice.objects.select_related("seller").filter(pk=order_id).first()
    if row is None:
        raise NotInvoiced
    seller = row.seller.content
    return InvoiceView(
        order_id=row.pk,
        order_number=row.content["order"],
        number=row.number,
        issued_at=row.issued_at,
        seller=SellerView(
            seller["name"], tuple(seller["address"]), seller["country"], seller["tax_id"], seller["email"]
        ),
        email=row.content["email"],
        address=row.content["address"],
        lines=tuple(InvoiceLine(*line) for line in row.content["lines"]),
        currency=row.currency,
        total_minor=row.total_minor,
        tax_percent=row.tax_percent,
        tax_minor=row.tax_minor,
        credited_minor=row.credited_minor,
    )


def credit_notes(order_id: UUID) -> list[CreditNoteView]:
    """Return the credit notes of an order's invoice, the first one first; empty where there is none of either."""
    return [credit_note_view(row) for row in CreditNote.objects.filter(invoice_id=order_id).order_by("id")]


def credit_note(order_id: UUID, number: str) -> CreditNoteView:
    """Return one credit note of an order by its number; raises `UnknownCreditNote`."""
    found = next((note for note in credit_notes(order_id) if note.number == number), None)
    if found is None:
        raise UnknownCreditNote
    return found


def credited(key: str) -> str:
    """Return the number of the credit note that was given under this key; empty where there is none."""
    row = CreditNote.objects.filter(key=key).first()
    return row.number if row is not None else ""


def credit_note_view(row: CreditNote) -> CreditNoteView:
    """Make the view of a loaded credit note."""
    return CreditNoteView(row.number, row.issued_at, row.amount_minor, row.tax_minor, row.reason)


def papers_of(order_ids: Collection[UUID]) -> dict[UUID, Papers]:
    """Return what those of these orders that have an invoice have on paper. Two queries, none for no order."""
    if not order_ids:
        return {}
    numbers = {row.pk: row.number for row in Invoice.objects.filter(pk__in=order_ids).only("pk", "year", "sequence")}
    notes: dict[UUID, list[str]] = {}
    if numbers:
        for row in CreditNote.objects.filter(invoice_id__in=numbers).order_by("id"):
            notes.setdefault(row.invoice_id, []).append(row.number)
    return {order_id: Papers(number, tuple(notes.get(order_id, ()))) for order_id, number in numbers.items()}
