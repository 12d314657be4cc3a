"""The packing slip: what is to go into a parcel, for whoever packs it, and for whoever opens it. No prices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from babel import Locale

from marketplace.paper import amounts, codes, fonts
from marketplace.paper.addresses import PostalAddress
from marketplace.paper.languages import locale_of
from marketplace.paper.sheets import A4, GREY, Sheets, Size
from marketplace.paper.tables import HEAD, Column, Table, split

_LEFT: Final = 20.0
_FIRST: Final = 82.0  # where the table begins, on the first page
_NEXT: Final = 32.0  # and on the others
_FOOT: Final = 14.0  # the sum of the units
_BOTTOM: Final = 22.0  # kept free for the number of the page


@dataclass(frozen=True, slots=True)
class SlipLine:
    """So many units of one SKU."""

    sku: str
    name: str
    quantity: int


@dataclass(frozen=True, slots=True)
class PackingSlip:
    """What is in one parcel, and whom it is for.

    `language` is that of its words (English where there are none) and of its numbers, such as `de`.
    """

    order_number: str
    ship_from: PostalAddress
    ship_to: PostalAddress
    lines: tuple[SlipLine, ...]
    language: str = "en"


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    order: str
    deliver_to: str
    units: str
    sku: str
    product: str
    total: str
    page: str


_WORDS: Final = {
    "en": _Words(
        title="Packing slip",
        order="Order",
        deliver_to="Deliver to",
        units="Units",
        sku="SKU",
        product="Product",
        total="Units in all: {units}",
        page="Page {page} of {pages}",
    ),
    "de": _Words(
        title="Packliste",
        order="Bestellung",
        deliver_to="Lieferung an",
        units="Menge",
        sku="Art.-Nr.",
        product="Artikel",
        total="{units} Stück insgesamt",
        page="Seite {page} von {pages}",
    ),
}


def print_slips(slips: Sequence[PackingSlip], *, size: Size = A4) -> bytes:
    """Return a PDF of `slips`, in their order, each from a page of its own on, over as many as it takes.

    The document's title is in the language of the first one. Raises ValueError for no slip at all, `UnknownLocale`,
    and `NotEncodable` for an order number that is no Code 128.
    """
    if not slips:
        raise ValueError("There is nothing to print.")
    language = locale_of(slips[0].language)
    words = _words_of(language)
    title = f"{words.title} {slips[0].order_number}" if len(slips) == 1 else f"{words.title} ({len(slips)})"
    sheets = Sheets(size, title=title, author=slips[0].ship_from.name, language=language.language)
    for slip in slips:
        locale = locale_of(slip.language)
        _draw(sheets, slip, _words_of(locale), locale)
    return sheets.finished()


def _words_of(locale: Locale) -> _Words:
    return _WORDS.get(locale.language, _WORDS["en"])


def _draw(sheets: Sheets, slip: PackingSlip, words: _Words, locale: Locale) -> None:
    right = sheets.size.width - _LEFT
    table = Table(
        [
            Column("", 9),
            Column(words.units, 18, "right", bold=True),
            Column(words.sku, 42),
            Column(words.product, right - _LEFT - 69),
        ],
        x=_LEFT,
        size=10,
    )
    rows = [table.row("", amounts.number(line.quantity, locale), line.sku, line.name) for line in slip.lines]
    height = sheets.size.height - _BOTTOM - HEAD
    pages = split(rows, room=lambda page: height - (_NEXT if page else _FIRST), foot=_FOOT)
    for number, rows_here in enumerate(pages, 1):
        sheets.page()
        if number == 1:
            _head(sheets, slip, words, locale)
        else:
            sheets.text(_LEFT, 22, f"{words.title}, {words.order} {slip.order_number}", size=10, bold=True)
        y = _FIRST if number == 1 else _NEXT
        box = y + HEAD
        y = table.draw(sheets, y, rows_here)
        for row in rows_here:
            sheets.box(_LEFT, box + 1.4, 3.6, 3.6)  # to be ticked off
            box += row.height
        if number == len(pages):
            units = sum(line.quantity for line in slip.lines)
            sheets.text(_LEFT, y + 8, words.total.format(units=amounts.number(units, locale)), size=10, bold=True)
        foot = words.page.format(page=number, pages=len(pages))
        sheets.text(right, sheets.size.height - 12, foot, size=8, align="right", grey=GREY)
        sheets.text(_LEFT, sheets.size.height - 12, slip.order_number, size=8, grey=GREY)


def _head(sheets: Sheets, slip: PackingSlip, words: _Words, locale: Locale) -> None:
    right = sheets.size.width - _LEFT
    sheets.text(_LEFT, 26, words.title, size=20, bold=True)
    sheets.text(_LEFT, 34, f"{words.order} {slip.order_number}", size=12)
    codes.code128(sheets, slip.order_number, x=right - 68, y=17, width=72, height=16)
    sheets.text(right - 32, 37.5, slip.order_number, size=9, align="center")
    sheets.text(_LEFT, 48, words.deliver_to, size=8, grey=GREY)
    to = [
        part for line in slip.ship_to.lines(locale, origin=slip.ship_from.country) for part in fonts.wrap(line, 85, 11)
    ]
    sheets.lines(_LEFT, 53.5, to[:6], size=11 if len(to) < 6 else 10, leading=1.25)
    sender = slip.ship_from.lines(locale, origin=slip.ship_to.country)
    sheets.lines(right - 64, 48, [part for line in sender for part in fonts.wrap(line, 64, 8)], size=8)
