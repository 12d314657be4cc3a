"""An order's invoice and credit notes as files."""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from marketplace.paper.languages import locale_of
from marketplace.paper.sheets import SIZES
from orders.invoicing import selectors
from orders.invoicing.drawing import draw_credit_note, draw_invoice


@dataclass(frozen=True, slots=True)
class Paper:
    """A PDF and what to call it."""

    filename: str
    content: bytes


def invoice(order_id: UUID, *, locale: str = "en") -> Paper:
    """Return the invoice of an order; `locale`, such as `de` or `en-GB`, is that of words and amounts.

    Raises `NotInvoiced`, and `UnknownLocale`.
    """
    view = selectors.invoice(order_id)
    content = draw_invoice(
        view,
        locale=locale_of(locale),
        size=SIZES[settings.PAPER_SIZE],
        time_zone=settings.INVOICE_TIME_ZONE,
    )
    return Paper(f"invoice-{view.number}.pdf", content)


def credit_note(order_id: UUID, number: str, *, locale: str = "en") -> Paper:
    """Return a credit note of an order by its number; `locale` as of `invoice`.

    Raises `UnknownCreditNote`, and `UnknownLocale`.
    """
    note = selectors.credit_note(order_id, number)
    content = draw_credit_note(
        note,
        selectors.invoice(order_id),
        locale=locale_of(locale),
        size=SIZES[settings.PAPER_SIZE],
        time_zone=settings.INVOICE_TIME_ZONE,
    )
    return Paper(f"credit-note-{note.number}.pdf", content)
