"""Amounts of money: whole minor units and a currency, never a float."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from marketplace.kernel.errors import Refusal

# ISO 4217: the digits after the point, where they are not two.
_EXPONENTS: Final = {
    "BHD": 3, "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "IQD": 3, "ISK": 0, "JOD": 3, "JPY": 0, "KMF": 0, "KRW": 0,
    "KWD": 3, "LYD": 3, "OMR": 3, "PYG": 0, "RWF": 0, "TND": 3, "UGX": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0,
    "XPF": 0,
}  # fmt: skip


_PLAIN: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,6})?")


class InvalidAmount(Refusal):
    """The amount is not a plain number with at most the currency's decimals."""

    code = "invalid_amount"


def exponent(currency: str) -> int:
    """Return how many digits `currency` (ISO 4217, upper case) has after the point."""
    return _EXPONENTS.get(currency, 2)


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """`minor` whole minor units (cents, yen, fils) of `currency` (ISO 4217, upper case)."""

    minor: int
    currency: str

    @classmethod
    def parse(cls, text: str, currency: str) -> "Money":
        """Read `"1299.00"`; raises `InvalidAmount` on anything that would have to be rounded or guessed."""
        if not _PLAIN.fullmatch(text):
            raise InvalidAmount
        scaled = Decimal(text).scaleb(exponent(currency))
        whole = int(scaled)
        if scaled != whole:
            raise InvalidAmount
        return cls(whole, currency)

    @property
    def amount(self) -> str:
        """The amount as the API writes it: a string with exactly the currency's decimals."""
        return format_minor(self.minor, self.currency)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} can't be added")
        return Money(self.minor + other.minor, self.currency)

    def __mul__(self, count: int) -> "Money":
        return Money(self.minor * count, self.currency)


def format_minor(minor: int, currency: str) -> str:
    """Write `minor` units of `currency` as a string: `129900, "EUR"` is `"1299.00"`, `500, "JPY"` is `"500"`."""
    digits = exponent(currency)
    if not digits:
        return str(minor)
    sign, value = ("-", -minor) if minor < 0 else ("", minor)
    whole, fraction = divmod(value, 10**digits)
    return f"{sign}{whole}.{fraction:0{digits}d}"
