"""Pages, and what can be put on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final, Literal

from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas

from marketplace.paper import fonts

Align = Literal["left", "center", "right"]

BLACK: Final = 0.0
GREY: Final = 0.4  # of white: still readable on a bad printer
LIGHT: Final = 0.85  # for rules
POINT: Final = 1 / mm  # in millimetres


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a page, in millimetres."""

    width: float
    height: float


A4: Final = Size(210, 297)
LETTER: Final = Size(215.9, 279.4)
LABEL: Final = Size(101.6, 152.4)  # 4 x 6 inches
SIZES: Final = {"A4": A4, "LETTER": LETTER}


class Sheets:
    """A document in the making. Begin each page with `page`; positions are in millimetres from its upper left corner.

    The same content makes the same bytes: no time and no random number goes into it.
    """

    def __init__(self, size: Size, *, title: str, author: str = "", language: str = "en") -> None:
        fonts.load()
        self.size = size
        self._file = BytesIO()
        self._canvas = Canvas(self._file, pagesize=(size.width * mm, size.height * mm), invariant=1, lang=language)
        self._canvas.setTitle(title)
        self._canvas.setAuthor(author)
        self._canvas.setCreator("Marketplace")
        self._begun = False

    def page(self) -> None:
        """Begin a page."""
        if self._begun:
            self._canvas.showPage()
        self._begun = True

    def finished(self) -> bytes:
        """Return the document. Nothing can be added to it afterwards."""
        self._canvas.save()
        return self._file.getvalue()

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 9,
        bold: bool = False,
        align: Align = "left",
        grey: float = BLACK,
    ) -> None:
        """Write one line whose base line is at `y`, at `size` points; `x` is where it begins, is centred, or ends."""
        canvas = self._canvas
        canvas.setFillGray(grey)
        canvas.setFont(fonts.BOLD if bold else fonts.REGULAR, size)
        draw = {"left": canvas.drawString, "center": canvas.drawCentredString, "right": canvas.drawRightString}[align]
        draw(x * mm, self._up(y), fonts.printable(text))

    def lines(
        self, x: float, y: float, lines: Sequence[str], *, size: float = 9, leading: float = 1.3, bold: bool = False
    ) -> float:
        """Write `lines` below each other, the first one's base line at `y`; return where the next one's would be."""
        for line in lines:
            self.text(x, y, line, size=size, bold=bold)
            y += size * leading * POINT
        return y

    def rule(self, x: float, y: float, to: float, *, thickness: float = 0.3, grey: float = LIGHT) -> None:
        """Draw a horizontal line from `x` to `to`, `thickness` millimetres thick."""
        self._canvas.setStrokeGray(grey)
        self._canvas.setLineWidth(thickness * mm)
        self._canvas.line(x * mm, self._up(y), to * mm, self._up(y))

    def box(self, x: float, y: float, width: float, height: float, *, thickness: float = 0.3) -> None:
        """Draw a rectangle from its upper left corner."""
        self._canvas.setStrokeGray(BLACK)
        self._canvas.setLineWidth(thickness * mm)
        self._canvas.rect(x * mm, self._up(y + height), width * mm, height * mm)

    def bars(self, rectangles: Sequence[tuple[float, float, float, float]]) -> None:
        """Fill rectangles (x, y of the upper left corner, width, height) in black, as one shape without seams."""
        path = self._canvas.beginPath()
        for x, y, width, height in rectangles:
            path.rect(x * mm, self._up(y + height), width * mm, height * mm)
        self._canvas.setFillGray(BLACK)
        self._canvas.drawPath(path, stroke=0, fill=1)

    def _up(self, y: float) -> float:
        return (self.size.height - y) * mm
