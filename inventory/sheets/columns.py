"""The columns of a sheet: how a cell is read, and how it is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from inventory.models import Product
from marketplace.kernel.errors import Refusal
from marketplace.kernel.money import InvalidAmount, Money, format_minor

YES, NO = "yes", "no"
MOST_PRICE: Final = "1000000000"
MOST_UNITS: Final = 1_000_000  # of anything that is counted: a longer number is a slip of the finger
_MOST_DIGITS: Final = 12  # of a count, zeros before it included


class UnreadableCell(Refusal):
    """The cell can't be understood."""

    code = "unreadable_cell"


def _plain(text: str) -> str:
    return text


def _currency(text: str) -> str:
    return text.upper()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > _MOST_DIGITS or int(text) > MOST_UNITS:
        raise UnreadableCell("Not a whole number from 0 to a million.")
    return int(text)


def _yes_or_no(text: str) -> bool:
    known = {YES: True, NO: False, "true": True, "false": False, "1": True, "0": False}
    try:
        return known[text.lower()]
    except KeyError:
        raise UnreadableCell(f"Neither “{YES}” nor “{NO}”.") from None


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `field` is the product's; that of the price and of the stock are not read on their own."""

    name: str
    field: str
    read: Callable[[str], Any]
    needed: bool = False  # for a product that is new


SKU: Final = "sku"
PRICE: Final = "price"
ON_HAND: Final = "on_hand"

COLUMNS: Final = (
    Column(SKU, "sku", _plain, needed=True),
    Column("name", "name", _plain, needed=True),
    Column("description", "description", _plain),
    Column("category", "category", _plain, needed=True),
    Column(PRICE, "price_minor", _plain, needed=True),
    Column("currency", "currency", _currency, needed=True),
    Column("image", "image", _plain),
    Column("weight_grams", "weight_grams", _count),
    Column("low_stock_at", "low_stock_at", _count),
    Column("for_sale", "is_active", _yes_or_no),
    Column(ON_HAND, "", _count),
)
BY_NAME: Final[Mapping[str, Column]] = {column.name: column for column in COLUMNS}


def price_minor(text: str, currency: str) -> int:
    """Read a price in the decimals of `currency`; raises `UnreadableCell`."""
    try:
        minor = Money.parse(text, currency).minor
    except InvalidAmount as error:
        raise UnreadableCell(error.message) from error
    if not 0 <= minor < Money.parse(MOST_PRICE, currency).minor:
        raise UnreadableCell("A price is from 0 to below a thousand million.")
    return minor


# What a spreadsheet program would take for a formula, https://owasp.org/www-community/attacks/CSV_Injection. An
# apostrophe before it makes it plain text there (and before an apostrophe, so that it can be told from ours); read in
# again, it is taken off.
_FORMULA: Final = ("=", "+", "-", "@", "'", "\t", "\r")


def shielded(text: str) -> str:
    """Write a cell so that no spreadsheet program runs it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def unshielded(text: str) -> str:
    """Undo `shielded`, and drop the blanks around."""
    text = text.strip()
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def shown(product: Product, on_hand: int) -> dict[str, str]:
    """A product as people read it, by the names of `COLUMNS`. Its category must be loaded."""
    return {
        SKU: product.sku,
        "name": product.name,
        "description": product.description,
        "category": product.category.slug,
        PRICE: format_minor(product.price_minor, product.currency),
        "currency": product.currency,
        "image": product.image,
        "weight_grams": str(product.weight_grams),
        "low_stock_at": str(product.low_stock_at),
        "for_sale": YES if product.is_active else NO,
        ON_HAND: str(on_hand),
    }


def written(product: Product, on_hand: int) -> list[str]:
    """Write a product as a line of the sheet, in the order of `COLUMNS`. Its category must be loaded."""
    cells = shown(product, on_hand)
    return [shielded(cells[name]) for name in BY_NAME]
