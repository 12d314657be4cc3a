"""Counting for people, at a bounded price: whoever counts reads `MOST_READ` rows and no more.

Of more than `MOST` nobody needs to know how many they are; a count says `MOST_READ` then.
"""

from typing import Final

MOST: Final = 10_000
MOST_READ: Final = MOST + 1


def in_words(count: int) -> str:
    """Show a count that was made so."""
    return f"more than {MOST:,}" if count > MOST else str(count)
