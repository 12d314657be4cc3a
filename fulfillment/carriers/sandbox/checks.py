"""What the sandbox carrier accepts from outside. Each check returns the value or raises `Refused` with a 400."""

import re
from collections.abc import Mapping
from typing import Any, Final

from fulfillment.carriers.sandbox.ledger import SAYS
from marketplace.sandbox.checks import body, idempotency_key, invalid, key
from marketplace.sandbox.wire import Request

__all__ = ["address", "body", "deed", "idempotency_key", "key", "kind", "text", "weight"]

_ADDRESS: Final = ("name", "line1", "line2", "postal_code", "city", "country")


def address(values: Mapping[str, Any]) -> dict[str, str]:
    value = values.get("to")
    if not isinstance(value, dict) or not set(value) <= set(_ADDRESS):
        raise invalid("to", f"An object of {', '.join(_ADDRESS)}.")
    if not all(isinstance(line, str) and len(line) <= 100 for line in value.values()):
        raise invalid("to", "Texts of at most 100 characters.")
    if value.get("country") and not re.fullmatch(r"[A-Z]{2}", value["country"]):
        raise invalid("to", "The country is two capital letters, for example DE.")
    return {name: value.get(name, "") for name in _ADDRESS}


def weight(values: Mapping[str, Any]) -> int:
    value = values.get("weight_grams")
    if type(value) is not int or not 0 < value <= 10**9:
        raise invalid("weight_grams", "A whole number of grams from 1 to 1000000000.")
    return value


def text(values: Mapping[str, Any], name: str, *, longest: int = 100) -> str:
    value = values.get(name, "")
    if not isinstance(value, str) or len(value) > longest:
        raise invalid(name, f"A text of at most {longest} characters.")
    return value


def kind(values: Mapping[str, Any]) -> str:
    value = values.get("kind")
    if not isinstance(value, str) or value not in SAYS:
        raise invalid("kind", f"One of {', '.join(SAYS)}.")
    return value


def deed(request: Request) -> str:
    """What a person wants who has pressed a button on a page of ours, and on no other."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise invalid("origin", "Only the pages of this service can do this.")
    value = request.form().get("deed", "")
    if value not in {*SAYS, "again", "close", "open"}:
        raise invalid("deed", "Not a button of this page.")
    return value
