"""What others may ask of the invoicing."""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from orders.errors import CreditKeyReused, CreditTooLarge
from orders.invoicing import crediting
from orders.invoicing.issuing import Confirmed, issue
from orders.invoicing.models import CreditNote, Invoice
from orders.invoicing.selectors import CreditNoteView, credit_note_view
from orders.models import AFTER_CONFIRMATION, Order, Status

BATCH: Final = 500  # orders in one transaction


@transaction.atomic
def credit(order_id: UUID, *, amount_minor: int, reason: str, key: str, now: datetime) -> CreditNoteView | None:
    """Give a credit note over `amount_minor` minor units of an order's invoice; None if the order never had one.

    `reason` is printed: a failure code that `orders.wording` knows, or a sentence of at most 200 characters. By `key`
    (at most 255) it is given once, however often it is asked for. Takes its own transaction or the caller's, in which
    it should come last: it locks the invoice and the counter of the numbers. Raises `CreditTooLarge` for more than is
    left of the invoice, or nothing, and `CreditKeyReused` where the key was for another order or amount.
    """
    invoice = Invoice.objects.select_for_update(no_key=True).filter(pk=order_id).first()
    if invoice is None:
        return None
    known = CreditNote.objects.filter(key=key).first()  # after the lock, so that of two who ask the second sees it
    if known is not None:
        if (known.invoice_id, known.amount_minor) != (order_id, amount_minor):
            raise CreditKeyReused(credit_note=known.number)
        return credit_note_view(known)
    if not 0 < amount_minor <= invoice.total_minor - invoice.credited_minor:
        raise CreditTooLarge(invoice=invoice.number, left_minor=invoice.total_minor - invoice.credited_minor)
    note = crediting.credit_part(invoice, key=key, amount_minor=amount_minor, reason=reason[:200], now=now)
    return credit_note_view(note)


def lock(order_ids: Collection[UUID]) -> None:
    """Lock the invoices of these orders, in the order of their ids, before credit notes are given for several of them.

    Needs the caller's transaction. The first note takes the counter of the numbers too, and who has that must not wait
    for an invoice any more: somebody may hold it who waits for the counter.
    """
    list(Invoice.objects.select_for_update(no_key=True).filter(pk__in=order_ids).order_by("pk").values_list("pk"))


@transaction.atomic
def credit_refund(order_id: UUID, *, amount_minor: int, key: str, now: datetime) -> CreditNoteView | None:
    """Give a credit note over money that went back to the buyer of an order that stands; None where none is due.

    None is due where the order is being taken back, or is over: then all of it is credited when it ends, or was. Over
    what is left of the invoice at most. As with `credit`, it should come last in the caller's transaction, if that is
    in one, and `key` makes it happen once.
    """
    order = Order.objects.only("status", "reversal_id").get(pk=order_id)
    if order.status not in AFTER_CONFIRMATION or (order.status == Status.CONFIRMED and order.reversal_id is not None):
        return None
    invoice = Invoice.objects.select_for_update(no_key=True).filter(pk=order_id).first()
    if invoice is None or CreditNote.objects.filter(key=key).exists():
        return None
    due = min(amount_minor, invoice.total_minor - invoice.credited_minor)
    return credit(order_id, amount_minor=due, reason="refunded", key=key, now=now) if due > 0 else None


def issue_missing(*, now: datetime) -> int:
    """Write the invoices of orders that were confirmed by code that knew of none; return how many.

    For the time of an upgrade. The oldest order comes first, and each invoice is dated when it is written. Takes a
    transaction for some hundred orders each, which locks them, and looks for their invoices only then: of two who come
    at once the second waits, and finds what the first has done. Does nothing where none is missing.
    """
    written, after = 0, None
    while found := _without(after):
        written += _issue_missing(found, now=now)
        after = found[-1]
    return written


def _without(after: UUID | None) -> list[UUID]:
    """The next orders that seem to have no invoice."""
    rows = Order.objects.filter(status__in=AFTER_CONFIRMATION, invoice=None)
    return list((rows.filter(pk__gt=after) if after else rows).order_by("pk").values_list("pk", flat=True)[:BATCH])


@transaction.atomic
def _issue_missing(order_ids: list[UUID], *, now: datetime) -> int:
    locked = Order.objects.select_for_update(no_key=True).filter(pk__in=order_ids, status__in=AFTER_CONFIRMATION)
    standing = list(locked.order_by("pk").prefetch_related("lines"))
    written = set(Invoice.objects.filter(pk__in=order_ids).values_list("pk", flat=True))
    missing = [row for row in standing if row.pk not in written]
    issue([_as_confirmed(row) for row in missing], now=now)
    return len(missing)


def _as_confirmed(row: Order) -> Confirmed:
    lines = sorted(row.lines.all(), key=lambda line: line.position)
    sold = [(line.sku, line.product_name, line.quantity, line.price_minor) for line in lines]
    return Confirmed(row.id, row.number, row.currency, row.total_minor, row.email, row.shipping_address, sold)
