"""The numbers that people call orders by: how they are written, and how they are typed."""

from typing import Final

_PREFIX: Final = "M-"


def number(count: int) -> str:
    """The number of the order that is the `count`th: `M-104`."""
    return f"{_PREFIX}{count}"


def typed(text: str) -> str:
    """Read a number as people scan and type it (`m-104`, or just `104`); whatever else it is, in capitals."""
    read = text.strip().upper().replace("\0", "")
    return f"{_PREFIX}{read}" if read.isascii() and read.isdigit() else read
