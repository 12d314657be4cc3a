"""What the operations' templates need beyond Django's own."""

import json
from datetime import UTC, datetime
from typing import Any, Final

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from fulfillment.carriers.base import Address
from marketplace.kernel import counting
from marketplace.operations import wording

register = template.Library()

COLOURS: Final = {
    "order": wording.COLOUR_OF_ORDER,
    "saga": wording.COLOUR_OF_SAGA,
    "circuit": wording.COLOUR_OF_CIRCUIT,
    "result": wording.COLOUR_OF_RESULT,
    "payment": wording.COLOUR_OF_PAYMENT,
    "news": wording.COLOUR_OF_NEWS,
    "webhook": wording.COLOUR_OF_WEBHOOK,
    "case": wording.COLOUR_OF_CASE,
    "review": wording.COLOUR_OF_REVIEW,
    "return": wording.COLOUR_OF_RETURN,
    "hold": wording.COLOUR_OF_HOLD,
    "message": wording.COLOUR_OF_MESSAGE,
    "shipment": wording.COLOUR_OF_SHIPMENT,
}


@register.inclusion_tag("unfold/helpers/label.html")
def status(value: str, kind: str) -> dict[str, str]:
    """Show a status of `kind` (a key of `COLOURS`) in its colour."""
    return {"text": value or "IN FLIGHT", "type": COLOURS[kind].get(value, "default")}


@register.simple_tag
def when(instant: datetime | None) -> SafeString | str:
    """Show an instant to the second, in UTC, with the rest in its tooltip."""
    if instant is None:
        return wording.NOTHING
    instant = instant.astimezone(UTC)
    shown = f"{instant:%H:%M:%S}" if instant.date() == timezone.now().date() else f"{instant:%Y-%m-%d %H:%M:%S}"
    title = f"{instant.isoformat(sep=' ', timespec='milliseconds')} ({wording.ago(instant, now=timezone.now())})"
    return format_html('<time datetime="{}" title="{}">{}</time>', instant.isoformat(), title, shown)


@register.simple_tag
def ago(instant: datetime | None) -> SafeString | str:
    """Show how long ago an instant was, with the instant in its tooltip."""
    if instant is None:
        return wording.NOTHING
    said = wording.ago(instant, now=timezone.now())
    shown = f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}">{}</time>', instant.isoformat(), shown, said)


@register.filter
def lacking(address: Address) -> str:
    """Say what a parcel's address lacks; nothing if it is complete."""
    return wording.lacking(address)


@register.filter
def took(milliseconds: float | None) -> str:
    """Show a measured duration."""
    return wording.took(milliseconds)


@register.filter
def span(seconds: float) -> str:
    """Show a length of time roughly."""
    return wording.span(seconds)


@register.filter
def money(minor: int, currency: str) -> str:
    """Show an amount in minor units."""
    return wording.money(minor, currency)


@register.filter
def times(minor: int, quantity: int) -> int:
    """Return the price of so many units."""
    return minor * quantity


@register.filter
def step_name(name: str) -> str:
    """Show a step's name for people."""
    return wording.step(name)


@register.filter
def refunded_by(source: str) -> str:
    """Say who wanted a refund."""
    return wording.REFUNDED_BY[source]


@register.filter
def percent(share: float | None) -> str:
    """Show a share between 0 and 1."""
    return wording.NOTHING if share is None else f"{share * 100:.1f} %"


@register.filter
def counted(count: int) -> str:
    """Show a count that was made up to a bound."""
    return counting.in_words(count)


@register.filter
def as_json(value: Any) -> str:
    """Show data as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def unlocal(number: float) -> str:
    """Write a coordinate, whatever the language."""
    return f"{number:g}"
