"""The two fonts, and what can be written in them.

DejaVu Sans Condensed (see LICENSE) has the letters of every European language, Greek and Cyrillic included, of
Vietnamese, and the signs of the currencies. Only the letters that a document uses are put into it.
"""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

from anyascii import anyascii
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

REGULAR, BOLD = "Sheet", "Sheet-Bold"

_FILES: Final = {REGULAR: "DejaVuSansCondensed.ttf", BOLD: "DejaVuSansCondensed-Bold.ttf"}
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})  # would need to be turned around, and joined
_BLANKS: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})


@cache
def load() -> frozenset[int]:
    """Make the fonts known to reportlab; return the code points that both have."""
    faces = []
    for name, file in _FILES.items():
        font = TTFont(name, str(Path(__file__).parent / file))
        pdfmetrics.registerFont(font)
        faces.append(frozenset(font.face.charToGlyph))
    return frozenset.intersection(*faces)


def printable(text: str) -> str:
    """Return `text` as it can be written: on one line, and in letters that the fonts have.

    What they lack (Chinese, say) or what runs from right to left is spelled in Latin letters: of a name on a parcel
    that is more than an empty box.
    """
    written = "".join(_letter(letter) for letter in unicodedata.normalize("NFC", text))
    return " ".join(written.split(" "))


@cache
def _letter(letter: str) -> str:
    if unicodedata.category(letter) in _BLANKS:
        return " " if letter in "\t\n\r\v\f\u2028\u2029" else ""
    if ord(letter) in load() and unicodedata.bidirectional(letter) not in _RIGHT_TO_LEFT:
        return letter
    return anyascii(letter) or "?"


def width(text: str, size: float, *, bold: bool = False) -> float:
    """Return how wide `text` is at `size` points, in millimetres."""
    load()
    return float(pdfmetrics.stringWidth(text, BOLD if bold else REGULAR, size)) / mm


def wrap(text: str, within: float, size: float, *, bold: bool = False) -> list[str]:
    """Break `text` into lines no wider than `within` millimetres: between words, and within words that are too long.

    There is one line at least, perhaps an empty one.
    """
    lines: list[str] = []
    line = ""
    for word in printable(text).split():
        longer = f"{line} {word}" if line else word
        if width(longer, size, bold=bold) <= within:
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, within, size, bold=bold)
        lines.extend(whole)
    return [*lines, line] if line or not lines else lines


def _pieces(word: str, within: float, size: float, *, bold: bool) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and width(pieces[-1] + letter, size, bold=bold) > within:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def fitting(text: str, within: float, size: float, *, smallest: float, bold: bool = False) -> float:
    """Return the size in points, from `size` down to `smallest`, at which `text` is no wider than `within`."""
    needed = width(text, size, bold=bold)
    return size if needed <= within else max(smallest, size * within / needed)


def cut(text: str, within: float, size: float, *, bold: bool = False) -> str:
    """Return `text` or, where it is wider than `within` millimetres, as much of it as fits, with an ellipsis."""
    if width(text, size, bold=bold) <= within:
        return text
    kept = text
    while kept and width(f"{kept}…", size, bold=bold) > within:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"
