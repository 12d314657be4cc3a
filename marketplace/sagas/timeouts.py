"""How long a step's own queries may take: a query that hangs must not hold a whole group of sagas for ever."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection

CANCELLED = "57014"  # SQLSTATE query_canceled: of the time-out, or of somebody who has cancelled it


class Overran(Exception):
    """A step's handler took longer than it may, and nothing of it happened."""

    def __init__(self, step: str, seconds: float, *, undoing: bool) -> None:
        super().__init__(f"{step} took longer than the {seconds:g} s it may take; nothing of it happened.")
        self.step = step
        self.undoing = undoing


def written(seconds: float) -> str:
    """Return a statement's time-out as PostgreSQL reads it."""
    return f"{max(1, round(seconds * 1000))}ms"


class Limit:
    """The time-out of the statements of one transaction, which it ends with; `seconds` as it was set from the start."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def set(self, seconds: float) -> None:
        """From now on no statement of this transaction may take longer; costs a statement where that is new."""
        if seconds == self._seconds:
            return
        self._seconds = seconds
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [written(seconds)])

    @contextmanager
    def watch(self, step: str, seconds: float, *, undoing: bool) -> Iterator[None]:
        """Raise `Overran` if a statement in this block is cancelled once it has taken `seconds`."""
        self.set(seconds)
        begun = time.monotonic()
        try:
            yield
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") == CANCELLED and time.monotonic() - begun >= seconds:
                raise Overran(step, seconds, undoing=undoing) from error
            raise
