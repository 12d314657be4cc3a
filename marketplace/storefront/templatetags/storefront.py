"""What the shop's templates need beyond Django's own: prices, icons, a tint for each shelf."""

import zlib
from datetime import date, datetime
from typing import Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext

from marketplace.kernel.errors import MarketplaceError
from marketplace.paper import amounts
from marketplace.storefront import refusals
from marketplace.storefront.cards import card_name
from marketplace.storefront.languages import current_locale
from marketplace.storefront.presentation.money import price as written_price
from marketplace.storefront.presentation.page import status_words

register = template.Library()

TINTS: Final = 6

# Paths of a 24 x 24 grid, drawn with a stroke of 2; ours, so there is no icon font to load.
_ICONS: Final = {
    "check": '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
    "cross": '<path d="m7 7 10 10M17 7 7 17"/>',
    "back": '<path d="M9 7 4.5 11.5 9 16M5 11.5h9a5 5 0 0 1 5 5V18"/>',
    "pause": '<path d="M9 7v10M15 7v10"/>',
    "dots": '<path d="M6 12h.01M12 12h.01M18 12h.01" stroke-width="3.2"/>',
    "again": '<path d="M18.5 8A7.5 7.5 0 1 0 19.5 13M18.8 4v4.2h-4.2"/>',
    "person": '<circle cx="12" cy="8.5" r="3.5"/><path d="M5.5 19.5c.8-3.4 3.3-5 6.5-5s5.7 1.6 6.5 5"/>',
    "search": '<circle cx="11" cy="11" r="6"/><path d="m15.5 15.5 4.5 4.5"/>',
    "arrow": '<path d="M5 12h13M13 7l5 5-5 5"/>',
    "left": '<path d="M19 12H6M11 7l-5 5 5 5"/>',
    "coin": '<circle cx="12" cy="12" r="8"/><path d="M14.8 9.3a3.5 3.5 0 1 0 0 5.4M8 11.2h4M8 13.2h4"/>',
    "clock": '<circle cx="12" cy="12" r="8"/><path d="M12 7.5V12l3 2"/>',
    "bell": '<path d="M12 4.5v9M12 18.5h.01" stroke-width="2.6"/>',
}


@register.filter
def price(minor: int, currency: str) -> str:
    """Write `minor` units of `currency` for people."""
    return written_price(minor, currency)


@register.filter
def times(price_minor: int, quantity: int) -> int:
    """Return the price of `quantity` units, in minor units."""
    return price_minor * quantity


@register.filter
def tint(slug: str) -> str:
    """Return the class that colours the tiles of a shelf: always the same one for the same shelf."""
    return f"tint-{zlib.crc32(slug.encode()) % TINTS}"


@register.filter
def status_name(status: str) -> str:
    """Return an order's status in words."""
    return status_words(status)


@register.filter
def card(token: str) -> str:
    """Return what the card behind a payment token is called in the shop."""
    return card_name(token)


@register.filter
def span(seconds: int) -> str:
    """Write a span of time as people say it: `900` is "15 minutes"."""
    if seconds < 120:
        return ngettext("%(count)s second", "%(count)s seconds", seconds) % {"count": seconds}
    minutes = round(seconds / 60)
    return ngettext("%(count)s minute", "%(count)s minutes", minutes) % {"count": minutes}


@register.filter
def day(instant: datetime | date) -> str:
    """Write a day with its year, as the visitor's language does."""
    return amounts.day(instant, current_locale())


@register.filter
def weekday(when: date) -> str:
    """Write a day of the coming weeks."""
    return amounts.weekday(when, current_locale())


@register.filter
def moment(instant: datetime) -> str:
    """Write an instant to the minute, in UTC: a script says it in the visitor's time zone instead."""
    return amounts.moment(instant, current_locale())


@register.filter
def said(error: MarketplaceError) -> str:
    """Say a refusal in the visitor's language."""
    return refusals.said(error)


@register.filter
def told(text: str) -> str:
    """Say in the visitor's language what is kept in English; what is not known there stays as it is."""
    return gettext(text)


@register.simple_tag
def icon(name: str) -> SafeString:
    """Draw one of the shop's icons; for the eye only, so say the same in words beside it."""
    shape = mark_safe(_ICONS[name])  # noqa: S308 - a constant of this module
    return format_html('<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">{}</svg>', shape)
