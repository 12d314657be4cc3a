"""Identifiers that sort by the time they were made."""

import os
import time
from uuid import UUID, SafeUUID

_UNMARKED = ~((0xF << 76) | (0x3 << 62))  # where the version and the variant stand
_MARKS = (0x7 << 76) | (0x2 << 62)


def new_id() -> UUID:
    """Return a UUID version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then randomness.

    Rows made together lie together in an index, which a random UUID would scatter.
    """
    return new_ids(1)[0]


def new_ids(count: int) -> list[UUID]:
    """Return `count` of them at once, for a fraction of the price of each."""
    milliseconds = time.time_ns() // 1_000_000 << 80
    noise = os.urandom(10 * count)
    return [
        _uuid((milliseconds | int.from_bytes(noise[at : at + 10], "big")) & _UNMARKED | _MARKS)
        for at in range(0, 10 * count, 10)
    ]


def _uuid(value: int) -> UUID:
    """`UUID(int=value)`, without asking whether it is one of several other things."""
    made = object.__new__(UUID)
    _set(made, "int", value)
    _set(made, "is_safe", SafeUUID.unknown)
    return made


_set = object.__setattr__  # a UUID lets nobody else change it
