"""Reading back what was printed: the page as a picture, the codes that a scanner finds on it, and its text."""

from dataclasses import dataclass

import pypdfium2
import zxingcpp
from PIL.Image import Image

DOTS_PER_INCH = 203  # of a common thermal printer


@dataclass(frozen=True)
class Page:
    """One page: its size in millimetres, its text, and what a scanner reads on it as (format, text), sorted."""

    width: float
    height: float
    text: str
    codes: tuple[tuple[str, str], ...]
    picture: Image

    @property
    def lines(self) -> list[str]:
        """Its text, line by line."""
        return [line.strip() for line in self.text.splitlines()]

    def ink(self) -> tuple[float, float, float, float]:
        """Where something is printed: left, top, right and bottom, in millimetres."""
        inverted = self.picture.convert("L").point(lambda value: 255 - value)
        box = inverted.getbbox()
        if box is None:
            raise AssertionError("Nothing is printed.")
        left, top, right, bottom = (side / DOTS_PER_INCH * 25.4 for side in box)
        return left, top, right, bottom


def pages(pdf: bytes) -> list[Page]:
    """Render every page of `pdf` and read it."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [_page(page) for page in document]
    finally:
        document.close()


def _page(page: pypdfium2.PdfPage) -> Page:
    picture = page.render(scale=DOTS_PER_INCH / 72).to_pil()
    found = sorted((code.format.name, code.text) for code in zxingcpp.read_barcodes(picture))
    text = page.get_textpage()
    try:
        written = text.get_text_range()
    finally:
        text.close()
    width, height = (side / 72 * 25.4 for side in page.get_size())
    return Page(width, height, written.replace("\r\n", "\n"), tuple(found), picture)
