"""What every sandbox accepts from outside. Each check returns the value or raises `Refused` with a 400."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from marketplace.sandbox.wire import Refused, Request, error

_KEY: Final = re.compile(r"[!-~]{1,255}")


def invalid(field: str, message: str) -> Refused:
    """What to raise about a field."""
    return Refused(error(400, "invalid_request", f"{field}: {message}", field=field))


def key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise invalid("key", "1 to 255 printable ASCII characters without blanks.")
    return value


def idempotency_key(request: Request) -> str:
    value = request.headers.get("idempotency-key", "")
    if not value:
        raise Refused(error(400, "idempotency_key_missing", "Every POST needs an Idempotency-Key."))
    return key(value)


def body(request: Request, *allowed: str) -> dict[str, Any]:
    value = request.json()
    for name in value:
        if name not in allowed:
            raise invalid(name, "This field is not known here.")
    return value


def query(values: Mapping[str, Sequence[str]], *allowed: str) -> dict[str, str]:
    for name, given in values.items():
        if name not in allowed or len(given) > 1:
            raise invalid(name, "This parameter is not known here, or given twice.")
    return {name: given[0] for name, given in values.items()}
