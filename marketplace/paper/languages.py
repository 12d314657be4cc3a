"""Languages, by their tags."""

from functools import cache

from babel import Locale, UnknownLocaleError


class UnknownLocale(ValueError):
    """There is no such language or place."""


@cache
def locale_of(tag: str) -> Locale:
    """Read `de` or `en-GB` (BCP 47). Raises `UnknownLocale`."""
    try:
        return Locale.parse(tag, sep="-")
    except (ValueError, TypeError, UnknownLocaleError) as error:
        raise UnknownLocale(f"{tag[:40]!r} is no language, or none with a place; try de or en-GB.") from error
