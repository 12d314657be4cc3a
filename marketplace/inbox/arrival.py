"""Taking a webhook in: written down once, and no more, so that it is answered at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection, transaction

LARGEST: Final = 256 * 1024  # bytes; the largest that providers and carriers send are some tens of kilobytes
# It is sent again if it is not answered; better that than to have the sender wait for a database that is stuck.
_PATIENCE: Final = "800ms"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a webhook: it is on record, by this delivery or by an earlier one."""

    event_id: str
    duplicate: bool


def as_text(body: bytes) -> str:
    """The body of a webhook as it is kept: PostgreSQL's text holds no NUL."""
    return body.decode(errors="replace").replace("\x00", "\ufffd")


def can_be_kept(text: str) -> bool:
    """Whether PostgreSQL holds such a text: without a NUL, and without half a character."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def keep(statement: str, values: Sequence[Any], *, ring: Callable[[], Any]) -> bool:
    """Write a webhook down by `statement`, which leaves one that is known as it is; answer whether it is new.

    `ring` is called once that is committed. Takes its own transaction. Raises `OperationalError` when PostgreSQL does
    not answer within a second: then nothing is on record.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [_PATIENCE])
        cursor.execute(statement, values)
        new: bool = cursor.rowcount == 1
        if new:
            transaction.on_commit(ring)
    return new
