"""The label on a parcel: 4 x 6 inches, as thermal printers take it. Black only, no fine lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from babel import Locale

from marketplace.paper import amounts, codes, fonts
from marketplace.paper.addresses import PostalAddress
from marketplace.paper.sheets import LABEL, POINT, Sheets

_LANGUAGE: Final = Locale("en")  # of the few words on it, and of the country's name: carriers' lingua franca
_LEFT: Final = 5.0
_RIGHT: Final = LABEL.width - _LEFT
_INNER: Final = _RIGHT - _LEFT
_QR: Final = 34.0


@dataclass(frozen=True, slots=True)
class Label:
    """One parcel: from where, where to, and by what it is known to its carrier. `order_number` is for people."""

    ship_from: PostalAddress
    ship_to: PostalAddress
    carrier: str
    service: str
    weight_grams: int
    tracking_number: str
    order_number: str
    tracking_url: str = ""


def print_labels(labels: Sequence[Label]) -> bytes:
    """Return a PDF with a page of 4 x 6 inches for each of `labels`, in their order.

    The tracking number is there as Code 128 and in letters, the address for tracking it (or, without one, the number)
    as a QR code. Raises `NotEncodable` for a tracking number that is no Code 128, and ValueError for no label at all.
    """
    if not labels:
        raise ValueError("There is nothing to print.")
    title = f"Label {labels[0].tracking_number}" if len(labels) == 1 else f"{len(labels)} labels"
    sheets = Sheets(LABEL, title=title, author=labels[0].ship_from.name)
    for label in labels:
        sheets.page()
        _service(sheets, label)
        _addresses(sheets, label)
        _parcel(sheets, label)
        _tracking(sheets, label)
    return sheets.finished()


def _service(sheets: Sheets, label: Label) -> None:
    carrier, service = fonts.printable(label.carrier).upper(), fonts.printable(label.service).upper()
    size = fonts.fitting(carrier, _INNER * 0.5, 16, smallest=8, bold=True)
    sheets.text(_LEFT, 10.5, fonts.cut(carrier, _INNER * 0.5, size, bold=True), size=size, bold=True)
    size = fonts.fitting(service, _INNER * 0.46, 16, smallest=8, bold=True)
    shown = fonts.cut(service, _INNER * 0.46, size, bold=True)
    sheets.text(_RIGHT, 10.5, shown, size=size, bold=True, align="right")
    sheets.rule(_LEFT, 14, _RIGHT, thickness=0.7, grey=0)


def _addresses(sheets: Sheets, label: Label) -> None:
    sheets.text(_LEFT, 18.5, "FROM", size=7, bold=True)
    sender = label.ship_from.lines(_LANGUAGE, origin=label.ship_to.country)
    lines, size = _set(sender, _INNER - 16, 17, largest=8)
    sheets.lines(_LEFT + 16, 18.5, lines, size=size, leading=1.25)
    sheets.rule(_LEFT, 35, _RIGHT, thickness=0.3, grey=0)
    sheets.text(_LEFT, 40.5, "SHIP TO", size=7, bold=True)
    lines, size = _set(label.ship_to.lines(_LANGUAGE, origin=label.ship_from.country), _INNER - 16, 38, largest=13)
    sheets.lines(_LEFT + 16, 41.5, lines, size=size, leading=1.25, bold=True)
    sheets.rule(_LEFT, 80, _RIGHT, thickness=0.7, grey=0)


def _set(lines: Sequence[str], width: float, height: float, *, largest: float) -> tuple[list[str], float]:
    """Break an address so that it fits into that place, in the largest letters that let it."""
    size = largest
    while True:
        broken = [part for line in lines for part in fonts.wrap(line, width, size, bold=True)]
        if len(broken) * size * 1.25 * POINT <= height or size <= 5:
            return broken, size
        size -= 0.5


def _parcel(sheets: Sheets, label: Label) -> None:
    facts = [("WEIGHT", weight(label.weight_grams)), ("ORDER", fonts.printable(label.order_number))]
    y = 88.0
    for name, value in facts:
        sheets.text(_LEFT, y, name, size=7, bold=True)
        size = fonts.fitting(value, _INNER - _QR - 4, 14, smallest=7, bold=True)
        sheets.text(_LEFT, y + 6.5, value, size=size, bold=True)
        y += 14
    codes.qr(sheets, label.tracking_url or label.tracking_number, x=_RIGHT - _QR + 3, y=80.5, side=_QR)
    sheets.rule(_LEFT, 115, _RIGHT, thickness=0.7, grey=0)


def _tracking(sheets: Sheets, label: Label) -> None:
    codes.code128(sheets, label.tracking_number, x=0.8, y=118, width=LABEL.width - 1.6, height=23)
    sheets.text(LABEL.width / 2, 147.5, _grouped(label.tracking_number), size=12, bold=True, align="center")


def _grouped(number: str) -> str:
    """`12345678` as `1234 5678`: so it can be read out over the telephone. Only of letters and digits."""
    if not number.isalnum() or len(number) > 32:
        return number
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))


def weight(grams: int) -> str:
    """`850 g`, `1.25 kg`"""
    if grams < 1000:
        return f"{grams} g"
    return f"{amounts.number(Decimal(grams) / 1000, _LANGUAGE)} kg"
