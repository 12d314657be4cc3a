"""From the bytes of a file to lines with named cells. Knows nothing of what is in the shop."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from inventory.sheets.columns import BY_NAME, SKU, unshielded

if TYPE_CHECKING:
    import _csv

MOST_BYTES: Final = 1_500_000
MOST_LINES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where: `line` as a spreadsheet program counts (1: the headings), `column` empty for all of it."""

    line: int
    column: str
    what: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line below the headings. Empty cells are left out: they change nothing."""

    number: int
    cells: Mapping[str, str]


@dataclass(slots=True)
class Sheet:
    """What was read, and what could not be."""

    lines: list[Line] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read(content: bytes) -> Sheet:
    """Read a sheet of at most `MOST_BYTES` and `MOST_LINES`. What is wrong with it is said, never raised."""
    sheet = Sheet()
    if len(content) > MOST_BYTES:
        return _refused(sheet, f"The file has more than {MOST_BYTES / 1_000_000} MB. Split it.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _refused(sheet, "The file is not UTF-8 text. Save it as “CSV UTF-8”.")
    if "\0" in text:
        return _refused(sheet, "The file is not text.")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    try:
        headings = [cell.strip().lower() for cell in next(rows, [])]
        if _headings_are_good(headings, sheet):
            _read_lines(rows, headings, sheet)
    except csv.Error as error:
        sheet.problems.append(Problem(rows.line_num, "", f"Not readable as CSV: {error}."))
    return sheet


def _refused(sheet: Sheet, why: str) -> Sheet:
    sheet.problems.append(Problem(1, "", why))
    return sheet


def _separator(text: str) -> str:
    """Semicolons where the headings have more of them than commas, as where a comma is the decimal point."""
    headings = text.partition("\n")[0]
    return ";" if headings.count(";") > headings.count(",") else ","


def _headings_are_good(headings: list[str], sheet: Sheet) -> bool:
    known = ", ".join(BY_NAME)
    if SKU not in headings:
        _refused(sheet, f"The first line has no heading “{SKU}”. The headings that can be read are: {known}.")
    for name in dict.fromkeys(headings):
        if name not in BY_NAME:
            _refused(sheet, f"There is no column “{name[:40]}”. The headings that can be read are: {known}.")
        elif headings.count(name) > 1:
            _refused(sheet, f"The heading “{name}” is there twice.")
    return not sheet.problems


def _read_lines(rows: "_csv.Reader", headings: list[str], sheet: Sheet) -> None:
    end = rows.line_num
    for cells in rows:
        number, end = end + 1, rows.line_num  # where it begins: a cell may go over several lines
        values = [unshielded(cell) for cell in cells]
        if not any(values):
            continue
        if len(sheet.lines) >= MOST_LINES:
            _refused(sheet, f"The file has more than {MOST_LINES:,} lines. Split it.")
            return
        if len(values) != len(headings):
            what = f"{len(values)} cells, where there are {len(headings)} headings."
            sheet.problems.append(Problem(number, "", what))
            continue
        named = zip(headings, values, strict=True)
        sheet.lines.append(Line(number, {name: value for name, value in named if value}))
