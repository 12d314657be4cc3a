"""Names on the wire: the API speaks camelCase, the code speaks snake_case."""

import re
from datetime import datetime
from functools import lru_cache
from uuid import UUID


class AsSent(str):
    """A key that a client made up: it is shown back exactly as it came, never translated."""

    __slots__ = ()


@lru_cache(maxsize=4096)
def camel(name: str) -> str:
    """Write `reserved_until` as `reservedUntil`; a name that is camelCase already stays as it is."""
    return re.sub(r"(?<=[a-z0-9])_([a-z0-9])", lambda match: match[1].upper(), name)


_HOLDS_NO_KEYS = frozenset({str, int, bool, float, type(None), UUID, datetime})


def camel_keys(value: object) -> object:
    """Return `value` with every key of every mapping in it in camelCase; tuples become lists."""
    if isinstance(value, dict):
        return {
            camel(str(key)): item if type(item) in _HOLDS_NO_KEYS else camel_keys(item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [camel_keys(item) for item in value]
    return value
