"""What the sandbox gateway accepts from outside. Each check returns the value or raises `Refused` with a 400."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from marketplace.sandbox.checks import body, idempotency_key, invalid, key, query
from marketplace.sandbox.wire import Request

AMOUNT_LIMIT: Final = 10**12  # minor units
PAGE_LIMIT: Final = 1000

__all__ = [
    "amount", "body", "currency", "cursor", "decision", "dispute", "idempotency_key", "instant", "key", "limit",
    "metadata", "method", "query", "return_url",
]  # fmt: skip


def amount(values: Mapping[str, Any]) -> int:
    value = values.get("amount_minor")
    if type(value) is not int or not 0 < value <= AMOUNT_LIMIT:
        raise invalid("amount_minor", f"A whole number of minor units from 1 to {AMOUNT_LIMIT}.")
    return value


def currency(values: Mapping[str, Any]) -> str:
    value = values.get("currency")
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{3}", value):
        raise invalid("currency", "Three capital letters, for example EUR.")
    return value


def method(values: Mapping[str, Any]) -> str:
    value = values.get("method")
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise invalid("method", "A token of 1 to 255 characters.")
    return value


def metadata(values: Mapping[str, Any]) -> dict[str, str]:
    value = values.get("metadata", {})
    if (
        not isinstance(value, dict)
        or len(value) > 20
        or not all(isinstance(text, str) and len(text) <= 500 for text in value.values())
    ):
        raise invalid("metadata", "An object of at most 20 texts of at most 500 characters.")
    return value


def return_url(values: Mapping[str, Any]) -> str:
    value = values.get("return_url", "")
    try:
        good = isinstance(value, str) and len(value) <= 2000 and value.isascii() and value.isprintable()
        good = good and " " not in value
        good = good and (not value or (urlsplit(value).scheme in {"http", "https"} and bool(urlsplit(value).hostname)))
    except ValueError:
        good = False
    if not good:
        raise invalid("return_url", "An address that begins with http:// or https://.")
    return str(value)


def dispute(values: Mapping[str, Any]) -> str:
    value = values.get("status")
    if value not in {"OPEN", "WON", "LOST"}:
        raise invalid("status", "OPEN, WON or LOST.")
    return str(value)


def decision(request: Request) -> str:
    value = request.form().get("decision", "")
    if value not in {"approve", "decline"}:
        raise invalid("decision", "approve or decline.")
    return value


def instant(text: str) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise invalid("since", "A time like 2026-01-31T12:00:00+00:00.") from None
    if value.tzinfo is None:
        raise invalid("since", "A time with its offset, like 2026-01-31T12:00:00+00:00.")
    return value.astimezone(UTC)


def cursor(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,18})-([0-9]{1,18})", text)
    if found is None:
        raise invalid("after", "The cursor that the page before named as its `next`.")
    return int(found[1]), int(found[2])


def limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 0 < int(text) <= PAGE_LIMIT:
        raise invalid("limit", f"A whole number from 1 to {PAGE_LIMIT}.")
    return int(text)
