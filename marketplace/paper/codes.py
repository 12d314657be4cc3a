"""Codes that scanners read, drawn as shapes, so that they are sharp at any resolution."""

from itertools import groupby
from typing import Final

import segno
from barcode import Code128

from marketplace.paper.sheets import Sheets

MOST_IN_CODE128: Final = 48  # characters: beyond, the bars get too thin for a label
MOST_IN_QR: Final = 500
_QUIET_BARS: Final = 10  # modules of white on both sides (ISO/IEC 15417)
_QUIET_QR: Final = 4  # modules of white all around (ISO/IEC 18004)


class NotEncodable(ValueError):
    """This text can't be written as a code."""


def code128(sheets: Sheets, text: str, *, x: float, y: float, width: float, height: float) -> None:
    """Draw `text` as Code 128 into that place, quiet zones included.

    Raises `NotEncodable` unless it is 1 to 48 printable ASCII characters.
    """
    if not (0 < len(text) <= MOST_IN_CODE128 and text.isascii() and text.isprintable()):
        raise NotEncodable(f"not 1 to {MOST_IN_CODE128} printable ASCII characters: {text!r}")
    code = Code128(text)
    if text.startswith("99"):  # the library takes these two digits for a change of its character set, and drops them
        code._try_to_optimize = lambda encoded: encoded
    modules: str = code.build()[0]
    each = width / (len(modules) + 2 * _QUIET_BARS)
    at = x + _QUIET_BARS * each
    bars = []
    for value, run in groupby(modules):
        wide = len(list(run)) * each
        if value == "1":
            bars.append((at, y, wide, height))
        at += wide
    sheets.bars(bars)


def qr(sheets: Sheets, text: str, *, x: float, y: float, side: float) -> None:
    """Draw `text` as a QR code (error correction M) into a square of `side`, quiet zone included.

    Raises `NotEncodable` unless it has 1 to 500 characters.
    """
    if not 0 < len(text) <= MOST_IN_QR:
        raise NotEncodable(f"not 1 to {MOST_IN_QR} characters: {text[:20]!r}…")
    matrix = segno.make(text, error="m", micro=False).matrix
    each = side / (len(matrix) + 2 * _QUIET_QR)
    squares = []
    for down, row in enumerate(matrix):
        along = 0
        for dark, run in groupby(row):
            count = len(list(run))
            if dark:
                squares.append((x + (along + _QUIET_QR) * each, y + (down + _QUIET_QR) * each, count * each, each))
            along += count
    sheets.bars(squares)
