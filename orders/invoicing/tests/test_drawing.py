"""Invoices and credit notes, read back from the rendered page."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from babel import Locale

from marketplace.paper.sheets import LETTER
from marketplace.paper.testing import pages
from orders.invoicing import taxes
from orders.invoicing.drawing import draw_credit_note, draw_invoice
from orders.invoicing.selectors import CreditNoteView, InvoiceLine, InvoiceView, SellerView
from orders.invoicing.words import LANGUAGES, words_of

EN, DE = Locale("en"), Locale("de")
SELLER = SellerView("Marketplace Demo GmbH", ("Musterstraße 1", "10115 Berlin"), "DE", "DE123456789", "a@example.com")
ADDRESS = {"name": "Jörg Müßig", "line1": "Weg 3", "line2": "", "postal_code": "1010", "city": "Wien", "country": "AT"}
AT = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)


def invoice(*lines, currency="EUR", percent="19", address=ADDRESS):
    total = sum(line.sum_minor for line in lines)
    return InvoiceView(
        UUID(int=1), "M-100042", "2026-000042", AT, SELLER, "b@example.com", address, lines, currency, total,
        Decimal(percent), taxes.included(total, Decimal(percent)), 0,
    )  # fmt: skip


LAMP = InvoiceLine("lamp-1", "Lampe „Größe L“", 2, 129950)


def shown(pdf):
    return [[line.replace("\xa0", " ") for line in page.lines] for page in pages(pdf)]


def test_in_english():
    [page] = pages(draw_invoice(invoice(LAMP), locale=EN))
    text = page.text.replace("\xa0", " ")
    assert (round(page.width), round(page.height)) == (210, 297)
    for words in (
        "Invoice", "2026-000042", "December 31, 2026", "M-100042", "Marketplace Demo GmbH", "Musterstraße 1", "Germany",
        "VAT ID DE123456789", "Jörg Müßig", "1010 Wien", "AUSTRIA", "Lampe „Größe L“", "lamp-1", "€1,299.50",
        "€2,599.00", "Includes 19% VAT", "€414.97", "€2,184.03", "Page 1 of 1",
    ):  # fmt: skip
        assert words in text, words


def test_in_german_on_the_day_of_the_seller():
    [page] = pages(draw_invoice(invoice(LAMP), locale=DE, size=LETTER, time_zone="Europe/Berlin"))
    text = page.text.replace("\xa0", " ")
    assert (round(page.width), round(page.height)) == (216, 279)
    for words in (
        "Rechnung",
        "1. Januar 2027",
        "ÖSTERREICH",
        "1.299,50 €",
        "2.599,00 €",
        "Enthält 19 % MwSt.",
        "414,97 €",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("currency", "locale", "each", "total", "tax"),
    [
        ("JPY", EN, "¥12,345", "¥37,035", "¥3,367"),
        ("JPY", DE, "12.345 ¥", "37.035 ¥", "3.367 ¥"),
        ("KWD", EN, "KWD 12.345", "KWD 37.035", "KWD 3.367"),
        ("KWD", DE, "12,345 KWD", "37,035 KWD", "3,367 KWD"),
    ],
)
def test_currencies_with_other_decimals(currency, locale, each, total, tax):
    view = invoice(InvoiceLine("mug", "Mug", 3, 12345), currency=currency, percent="10")
    [lines] = shown(draw_invoice(view, locale=locale))
    text = "\n".join(lines)
    assert each in text
    assert text.count(total) == 2  # of the line, and of the invoice
    assert tax in text


def test_no_tax_and_no_address():
    [lines] = shown(draw_invoice(invoice(LAMP, percent="0", address=None), locale=EN))
    text = "\n".join(lines)
    assert "No VAT" in text
    assert "b@example.com" in text


@pytest.mark.parametrize("count", [1, 12, 13, 14, 15, 16, 17, 40, 100])
def test_many_lines_with_long_names_run_over_several_pages(count):
    name = (
        "Ein sehr langer Name, der über mehr als eine Zeile läuft, mit Donaudampfschifffahrtsgesellschaftskapitänsmütze"
    )
    sold = [InvoiceLine(f"sku-{n}", name if n % 3 else "Tasse", n, 99999) for n in range(1, count + 1)]
    printed = pages(draw_invoice(invoice(*sold), locale=DE))
    lines = [line for page in printed for line in page.lines]
    assert [sum(f"sku-{n}" in line.split() for line in lines) for n in range(1, count + 1)] == [1] * count
    for number, page in enumerate(printed, 1):
        assert f"Seite {number} von {len(printed)}" in page.text
        assert any("sku-" in line for line in page.lines), "no page without a line"
        left, _, right, bottom = page.ink()
        assert (left > 15, right < 210 - 15, bottom < 297 - 9) == (True, True, True)
    assert "Gesamtbetrag" in printed[-1].text
    assert sum("Gesamtbetrag" in page.text for page in printed) == 1


def test_the_largest_amounts_have_room():
    view = invoice(InvoiceLine("x" * 64, "y" * 200, 1_000_000, 10**9), currency="EUR")
    [lines] = shown(draw_invoice(view, locale=DE))
    assert "10.000.000.000.000,00 €" in "\n".join(lines)


# --- credit notes -----------------------------------------------------------------------------------------------------

NOTE = CreditNoteView("CN-2027-000007", AT, 259900, 41497, "cancelled_by_buyer")


def test_over_the_whole_has_the_lines_of_the_invoice():
    [lines] = shown(draw_credit_note(NOTE, invoice(LAMP), locale=EN))
    text = "\n".join(lines)
    for words in (
        "Credit note", "CN-2027-000007", "2026-000042", "of December 31, 2026", "lamp-1", "Total credited", "€2,599.00",
        "The order was cancelled at the buyer’s wish.",
    ):  # fmt: skip
        assert words in text, words


def test_over_a_part_says_what_for():
    part = replace(NOTE, amount_minor=1000, tax_minor=160, reason="Ein Kratzer.")
    [lines] = shown(draw_credit_note(part, invoice(LAMP), locale=DE))
    text = "\n".join(lines)
    for words in ("Rechnungskorrektur", "Teil des Preises: Ein Kratzer.", "10,00 €", "1,60 €", "8,40 €"):
        assert words in text, words
    assert "lamp-1" not in text


def test_each_language_knows_the_same_reasons():
    reasons = [set(words_of(Locale(language)).reasons) for language in LANGUAGES]
    assert all(known == reasons[0] for known in reasons)
    assert words_of(Locale("ja")) is words_of(EN)
