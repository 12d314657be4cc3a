"""Tables that run over several pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from marketplace.paper import fonts
from marketplace.paper.sheets import GREY, POINT, Align, Sheets

_LEADING: Final = 1.25  # lines of one cell, as a multiple of their size
_PADDING: Final = 1.6  # millimetres, above and below the cells of a row
_GAP: Final = 3.0  # millimetres between columns
HEAD: Final = 7.5  # millimetres that the titles of the columns take


@dataclass(frozen=True, slots=True)
class Column:
    """A column of so many millimetres, its title, and on which side its cells stand."""

    title: str
    width: float
    align: Align = "left"
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row whose cells are broken into lines already, and how high it is in millimetres."""

    cells: tuple[tuple[str, ...], ...]
    height: float


class Table:
    """Columns side by side, beginning `x` millimetres from the left."""

    def __init__(self, columns: Sequence[Column], *, x: float, size: float = 9) -> None:
        self.columns = columns
        self.x = x
        self.size = size
        self._line = size * _LEADING * POINT

    def row(self, *cells: str) -> Row:
        """Break the cells of a row into lines, as wide as their columns."""
        broken = tuple(
            tuple(fonts.wrap(cell, column.width - _GAP, self.size, bold=column.bold))
            for column, cell in zip(self.columns, cells, strict=True)
        )
        return Row(broken, max(map(len, broken)) * self._line + 2 * _PADDING)

    def draw(self, sheets: Sheets, y: float, rows: Sequence[Row]) -> float:
        """Draw the titles, and `rows` below them; return where they end."""
        for x, column in self._places():
            sheets.text(x, y + 4, column.title, size=self.size - 1.5, align=column.align, grey=GREY)
        y += HEAD
        right = self.x + sum(column.width for column in self.columns)
        sheets.rule(self.x, y - 1.5, right, grey=0.0)
        for row in rows:
            for (x, column), lines in zip(self._places(), row.cells, strict=True):
                at = y + _PADDING + self.size * POINT * 0.75
                for line in lines:
                    sheets.text(x, at, line, size=self.size, bold=column.bold, align=column.align)
                    at += self._line
            y += row.height
            sheets.rule(self.x, y - 0.4, right, thickness=0.15)
        return y

    def _places(self) -> list[tuple[float, Column]]:
        """Where the text of each column begins, is centred or ends."""
        places, x = [], self.x
        for column in self.columns:
            inner = column.width - _GAP
            places.append((x + {"left": 0.0, "center": inner / 2, "right": inner}[column.align], column))
            x += column.width
        last, column = places[-1]
        if column.align == "right":  # flush with the rules
            places[-1] = (last + _GAP, column)
        return places


def split(rows: Sequence[Row], *, room: Callable[[int], float], foot: float) -> list[list[Row]]:
    """Share `rows` among pages of `room(page number from 0)` millimetres, of which the last has `foot` left over.

    What stands at the foot never has a page to itself: at least one row is with it.
    """
    pages: list[list[Row]] = [[]]
    left = room(0)
    for row in rows:
        if row.height > left and pages[-1]:
            pages.append([])
            left = room(len(pages) - 1)
        pages[-1].append(row)
        left -= row.height
    if left < foot and len(pages[-1]) > 1:
        pages.append([pages[-1].pop()])
    return pages
