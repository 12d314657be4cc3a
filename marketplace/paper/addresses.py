"""Postal addresses, line by line."""

from dataclasses import dataclass
from typing import Final

from babel import Locale

from marketplace.paper import amounts

# Where the postal code follows the place.
_CODE_LAST: Final = frozenset({"AU", "CA", "GB", "IE", "IN", "NZ", "US"})


@dataclass(frozen=True, slots=True)
class PostalAddress:
    """Whom and where. `country` is ISO 3166-1 alpha-2; `line2` and whatever is not known may be empty."""

    name: str
    line1: str
    postal_code: str
    city: str
    country: str
    line2: str = ""

    def lines(self, locale: Locale, *, origin: str = "") -> list[str]:
        """The lines of the address; the country in capitals where it is not `origin` (Universal Postal Union)."""
        place = (self.city, self.postal_code) if self.country in _CODE_LAST else (self.postal_code, self.city)
        abroad = amounts.country(self.country, locale).upper() if self.country and self.country != origin else ""
        lines = [self.name, self.line1, self.line2, " ".join(part for part in place if part), abroad]
        return [line for line in lines if line.strip()]
