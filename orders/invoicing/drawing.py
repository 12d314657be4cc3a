"""Invoices and credit notes as PDF: pure functions of what is on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from babel import Locale

from marketplace.paper import amounts, fonts
from marketplace.paper.addresses import PostalAddress
from marketplace.paper.sheets import A4, GREY, Sheets, Size
from marketplace.paper.tables import HEAD, Column, Table, split
from orders.invoicing.selectors import CreditNoteView, InvoiceView
from orders.invoicing.words import words_of

_LEFT: Final = 20.0
_FIRST: Final = 96.0  # where the table begins, on the first page
_NEXT: Final = 32.0  # and on the others
_FOOT: Final = 40.0  # the totals
_BOTTOM: Final = 26.0  # kept free for the seller and the number of the page


@dataclass(frozen=True, slots=True)
class _Sum:
    label: str
    amount: str
    bold: bool = False


@dataclass(frozen=True, slots=True)
class _Content:
    """What differs between the two kinds."""

    title: str
    number: str
    facts: tuple[tuple[str, str], ...]
    lines: tuple[tuple[str, str, int, int], ...]  # SKU, name, units, minor units each
    sums: tuple[_Sum, ...]
    note: str


def draw_invoice(invoice: InvoiceView, *, locale: Locale, size: Size = A4, time_zone: str = "UTC") -> bytes:
    """Return an invoice as PDF, in the words and numbers of `locale`; its day is that in `time_zone`."""
    words = words_of(locale)
    content = _Content(
        title=words.invoice,
        number=invoice.number,
        facts=(
            (words.number, invoice.number),
            (words.date, amounts.day(invoice.issued_at, locale, time_zone=time_zone)),
            (words.order, invoice.order_number),
        ),
        lines=_lines(invoice),
        sums=_sums(invoice, words.total, invoice.total_minor, invoice.tax_minor, locale),
        note=words.paid,
    )
    return _draw(content, invoice, locale, size)


def draw_credit_note(
    note: CreditNoteView, invoice: InvoiceView, *, locale: Locale, size: Size = A4, time_zone: str = "UTC"
) -> bytes:
    """Return a credit note of `invoice` as PDF. Over the whole of it, it has its lines; over a part, the reason."""
    words = words_of(locale)
    reason = words.reason(note.reason)
    whole = note.amount_minor == invoice.total_minor
    content = _Content(
        title=words.credit_note,
        number=note.number,
        facts=(
            (words.number, note.number),
            (words.date, amounts.day(note.issued_at, locale, time_zone=time_zone)),
            (words.for_invoice, invoice.number),
            ("", words.of_date.format(date=amounts.day(invoice.issued_at, locale, time_zone=time_zone))),
            (words.order, invoice.order_number),
        ),
        lines=_lines(invoice) if whole else (("", f"{words.partly}: {reason}", 1, note.amount_minor),),
        sums=_sums(invoice, words.credited, note.amount_minor, note.tax_minor, locale),
        note=f"{reason} {words.given_back}" if whole else words.given_back,
    )
    return _draw(content, invoice, locale, size)


def _lines(invoice: InvoiceView) -> tuple[tuple[str, str, int, int], ...]:
    return tuple((line.sku, line.name, line.quantity, line.price_minor) for line in invoice.lines)


def _sums(invoice: InvoiceView, label: str, total: int, tax: int, locale: Locale) -> tuple[_Sum, ...]:
    words = words_of(locale)
    percent = amounts.percent(invoice.tax_percent, locale)
    return (
        _Sum(label, amounts.money(total, invoice.currency, locale), bold=True),
        _Sum(words.net, amounts.money(total - tax, invoice.currency, locale)),
        _Sum(
            words.includes_tax.format(percent=percent) if invoice.tax_percent else words.tax_free,
            amounts.money(tax, invoice.currency, locale),
        ),
    )


def _draw(content: _Content, invoice: InvoiceView, locale: Locale, size: Size) -> bytes:
    words = words_of(locale)
    sheets = Sheets(
        size, title=f"{content.title} {content.number}", author=invoice.seller.name, language=locale.language
    )
    right = size.width - _LEFT
    table = Table(
        [
            Column(words.position, 10),
            Column(words.product, right - _LEFT - 112),
            Column(words.sku, 30),
            Column(words.quantity, 16, "right"),
            Column(words.each, 28, "right"),
            Column(words.amount, 28, "right"),
        ],
        x=_LEFT,
    )
    rows = [
        table.row(
            str(position),
            name,
            sku,
            amounts.number(quantity, locale),
            amounts.money(each, invoice.currency, locale),
            amounts.money(each * quantity, invoice.currency, locale),
        )
        for position, (sku, name, quantity, each) in enumerate(content.lines, 1)
    ]
    height = size.height - _BOTTOM - HEAD
    pages = split(rows, room=lambda page: height - (_NEXT if page else _FIRST), foot=_FOOT)
    for number, rows_here in enumerate(pages, 1):
        sheets.page()
        if number == 1:
            _head(sheets, content, invoice, locale)
        else:
            sheets.text(_LEFT, 22, words.continued.format(title=content.title, number=content.number), bold=True)
        y = table.draw(sheets, _FIRST if number == 1 else _NEXT, rows_here)
        if number == len(pages):
            _totals(sheets, content, y)
        _foot(sheets, invoice, words.page.format(page=number, pages=len(pages)), words.tax_id)
    return sheets.finished()


def _head(sheets: Sheets, content: _Content, invoice: InvoiceView, locale: Locale) -> None:
    right = sheets.size.width - _LEFT
    seller = invoice.seller
    sheets.text(_LEFT, 27, content.title, size=22, bold=True)
    sheets.text(right, 22, seller.name, size=11, bold=True, align="right")
    y = 27.5
    for line in (*seller.address, amounts.country(seller.country, locale), seller.email):
        sheets.text(right, y, line, size=8.5, align="right", grey=GREY)
        y += 4.2
    sender = " · ".join((seller.name, *seller.address))
    sheets.text(_LEFT, 52, fonts.cut(sender, 88, 6.5), size=6.5, grey=GREY)
    broken = [part for line in _buyer(invoice, locale) for part in fonts.wrap(line, 88, 10.5)]
    sheets.lines(_LEFT, 58, broken[:7], size=10.5, leading=1.3)
    y = 58.0
    for name, value in content.facts:
        sheets.text(right - 74, y, name, size=9, grey=GREY)
        sheets.text(right, y, value, size=9, bold=value == content.number, align="right")
        y += 5.2


def _buyer(invoice: InvoiceView, locale: Locale) -> Sequence[str]:
    address = invoice.address or {}
    postal = PostalAddress(
        name=address.get("name", ""),
        line1=address.get("line1", ""),
        line2=address.get("line2", ""),
        postal_code=address.get("postal_code", ""),
        city=address.get("city", ""),
        country=address.get("country", ""),
    )
    lines = postal.lines(locale, origin=invoice.seller.country)
    return lines or [invoice.email or words_of(locale).guest]


def _totals(sheets: Sheets, content: _Content, y: float) -> None:
    right = sheets.size.width - _LEFT
    y += 9
    for one in content.sums:
        size = 12 if one.bold else 9
        sheets.text(right - 85, y, one.label, size=size, bold=one.bold)
        sheets.text(right, y, one.amount, size=size, bold=one.bold, align="right")
        y += 7 if one.bold else 5.2
    sheets.lines(_LEFT, y + 5, fonts.wrap(content.note, right - _LEFT, 8.5), size=8.5)


def _foot(sheets: Sheets, invoice: InvoiceView, page: str, tax_id: str) -> None:
    right, bottom = sheets.size.width - _LEFT, sheets.size.height
    seller = invoice.seller
    parts = (seller.name, tax_id.format(id=seller.tax_id) if seller.tax_id else "", seller.email)
    sheets.rule(_LEFT, bottom - 17, right, thickness=0.15)
    told = " · ".join(part for part in parts if part)
    sheets.text(_LEFT, bottom - 12, fonts.cut(told, right - _LEFT - 35, 8), size=8, grey=GREY)
    sheets.text(right, bottom - 12, page, size=8, align="right", grey=GREY)
