"""The tax that is in a price. Prices are gross: what the buyer sees is what the buyer pays.

The rate is that of the country the goods go to, by the table `TAX_RATES`; a country that is not in it, or an order
without an address, has the rate of the seller's country. (A country outside of the tax area is in the table with 0.)
"""

from decimal import Decimal
from functools import cache
from typing import Final

from django.conf import settings

_STEPS: Final = 1000  # a percent: rates have up to three decimals


def rate_for(country: str) -> Decimal:
    """Return the rate in percent for goods that go to `country` (ISO 3166-1 alpha-2; empty where it isn't known)."""
    rates: dict[str, Decimal] = settings.TAX_RATES
    return rates[country if country in rates else settings.SELLER_COUNTRY]


def included(gross_minor: int, percent: Decimal) -> int:
    """Return the tax in `gross_minor` minor units at `percent`: gross x rate / (100 % + rate), half units up.

    Reckoned once for the sum of all that has the same rate, and not line by line, which may differ by some units.
    """
    steps = _steps(percent)
    whole = 100 * _STEPS + steps
    return (2 * gross_minor * steps + whole) // (2 * whole)


@cache
def _steps(percent: Decimal) -> int:
    return int(percent * _STEPS)
