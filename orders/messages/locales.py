"""Amounts, days and times as mails write them: by the language's habits, in the shop's time zone."""

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_time
from django.conf import settings

from fulfillment.origin import ship_from
from marketplace.paper import amounts
from marketplace.paper.addresses import PostalAddress

_LOCALES: Final = {code: Locale(code) for code, _ in settings.LANGUAGES}


def locale_of(language: str) -> Locale:
    """Return the locale of one of our languages; English for any other."""
    return _LOCALES.get(language, _LOCALES["en"])


def money(minor: int, currency: str, language: str) -> str:
    """Write `minor` minor units: `€1,299.00` in English, `1.299,00 €` in German."""
    return amounts.money(minor, currency, locale_of(language))


def day(when: date, language: str) -> str:
    """Write a day: `November 21, 2026`, `21. November 2026`."""
    return amounts.day(when, locale_of(language))


def clock(instant: datetime, language: str) -> str:
    """Write a time of day, with its zone: `3:35 PM CET`, `15:35 CET`."""
    there = instant.astimezone(ZoneInfo(settings.INVOICE_TIME_ZONE))
    said = str(format_time(there, "short", tzinfo=there.tzinfo, locale=locale_of(language)))
    return f"{said} {there.tzname()}".replace("\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}")


def return_lines(language: str) -> list[str]:
    """Write where a return goes, line by line, with the country's name: to the warehouse, where parcels come from."""
    ours = ship_from()
    return PostalAddress(ours.name, ours.line1, ours.postal_code, ours.city, ours.country).lines(locale_of(language))


def address_lines(address: dict[str, str], language: str) -> list[str]:
    """Write where something goes, line by line, with the country's name."""
    known = {
        name: str(address.get(name) or "") for name in ("name", "line1", "line2", "postal_code", "city", "country")
    }
    return PostalAddress(**known).lines(locale_of(language))
