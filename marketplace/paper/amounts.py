"""Amounts, dates and numbers as people of a language write them (Unicode CLDR, by Babel)."""

import re
from copy import copy
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.numbers import NumberPattern, format_decimal, format_percent

from marketplace.kernel.money import exponent

_ABUTTING: Final = re.compile(r"(?<=[^\W\d_])(?=\d)")  # CLDR wants a blank between letters and digits; Babel sets none


def money(minor: int, currency: str, locale: Locale) -> str:
    """Write `minor` minor units with the currency's sign and all its decimals: `1.299,00 €`, `¥500`, `KWD 1.250`.

    The decimals are those by which we reckon (ISO 4217), which for a few currencies are more than people write.
    """
    digits = exponent(currency)
    pattern = _pattern(locale, digits)
    written = pattern.apply(Decimal(minor).scaleb(-digits), locale, currency=currency, currency_digits=False)
    return _ABUTTING.sub("\N{NO-BREAK SPACE}", written)


@cache
def _pattern(locale: Locale, digits: int) -> NumberPattern:
    pattern: NumberPattern = copy(locale.currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    return pattern


def number(value: int | Decimal, locale: Locale) -> str:
    """Write `1234.5` as `1,234.5` or `1.234,5`."""
    return format_decimal(value, locale=locale)


def percent(value: Decimal, locale: Locale) -> str:
    """Write a rate given in percent, with up to three decimals: `19%`, `8,1 %`."""
    return format_percent(value / 100, locale=locale, format=_percent_pattern(locale))


@cache
def _percent_pattern(locale: Locale) -> str:
    return str(locale.percent_formats[None].pattern).replace("#,##0", "#,##0.###")


def day(instant: datetime | date, locale: Locale, *, time_zone: str = "UTC") -> str:
    """Write the day on which `instant` is in `time_zone`: `November 21, 2026`, `21. November 2026`."""
    there = instant.astimezone(ZoneInfo(time_zone)).date() if isinstance(instant, datetime) else instant
    return format_date(there, format="long", locale=locale)


def weekday(when: date, locale: Locale) -> str:
    """Write a day of the coming weeks: `Sat, Nov 21`, `Sa., 21. November`."""
    return str(format_skeleton("MMMMEEEEd", when, locale=locale))


def moment(instant: datetime, locale: Locale) -> str:
    """Write an instant to the minute: `Nov 21, 2026, 15:30 UTC`, `21.11.2026, 15:30 UTC`."""
    there = instant.astimezone(UTC)
    return f"{format_date(there, format='medium', locale=locale)}, {there:%H:%M} UTC"


def country(code: str, locale: Locale) -> str:
    """Return the name of a country (ISO 3166-1 alpha-2) in the language of `locale`; the code where it has none."""
    return str(locale.territories.get(code, code))
