"""How long a step's own queries may take: a query that hangs must not hold a whole group of sagas for ever."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection

CANCELLED = "57014"  # SQLSTATE query_canceled: of the time-out, or of somebody who has cancelled it
LOCKED = "55P03"  # SQLSTATE lock_not_available: of NOWAIT, or of a `lock_timeout` that the database's people have set
IN_VAIN = frozenset({CANCELLED, LOCKED})


class Overran(Exception):
    """What a step does took longer than it may, or than somebody let it wait for a lock; nothing of it happened."""

    def __init__(self, step: str, how: str, *, undoing: bool) -> None:
        super().__init__(f"{step} {how}; nothing of it happened.")
        self.how = how
        self.where = (step, undoing)


def sqlstate(error: BaseException) -> str:
    """Return PostgreSQL's code for what went wrong; empty where it had no time to send one."""
    return getattr(error.__cause__, "sqlstate", None) or ""


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
        """Raise `Overran` if a statement in this block is cancelled once it has taken `seconds`, or gets no lock."""
        self.set(seconds)
        begun = time.monotonic()
        try:
            yield
        except OperationalError as error:
            how = _how(sqlstate(error), time.monotonic() - begun, seconds)
            if not how:
                raise
            raise Overran(step, how, undoing=undoing) from error


def _how(code: str, lasted: float, patience: float) -> str:
    """Return in words how a step's time was up after `lasted` seconds; empty where that is not what went wrong."""
    if code == LOCKED:
        return "waited in vain for what somebody else has locked"
    if code == CANCELLED and lasted >= patience:
        return f"took longer than the {patience:g} s it may take"
    return ""
