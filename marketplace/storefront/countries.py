"""Where the shop sends things, by country (ISO 3166-1 alpha-2), and what the visitor's language calls it."""

import unicodedata
from typing import Final

from marketplace.paper import amounts
from marketplace.storefront.languages import current_locale

COUNTRIES: Final = (
    "AT", "AU", "BE", "BG", "BR", "CA", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR", "HU",
    "IE", "IN", "IS", "IT", "JP", "LT", "LU", "LV", "MT", "NL", "NO", "NZ", "PL", "PT", "RO", "SE", "SI", "SK", "US",
)  # fmt: skip


def country_name(code: str) -> str:
    """Return the name of a country to which the shop sends things; empty for any other."""
    return amounts.country(code, current_locale()) if code in COUNTRIES else ""


def choices() -> list[tuple[str, str]]:
    """Return each country with its name, in the order of their names."""
    named = [(code, country_name(code)) for code in COUNTRIES]
    return sorted(named, key=lambda one: unicodedata.normalize("NFKD", one[1]))
