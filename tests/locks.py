"""For races that are decided on a row: work in a thread of its own, and know when it waits for a lock."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

T = TypeVar("T")

_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND wait_event_type = 'Lock'
"""


def aside(work: Callable[[], T]) -> T:
    """Run `work` in a thread of its own, and leave no connection behind."""
    try:
        return work()
    finally:
        connection.close()


def waiting_for_a_lock(count: int) -> None:
    """Return once so many connections to this database wait for a lock."""
    end = time.monotonic() + 60
    with connection.cursor() as cursor:
        while time.monotonic() < end:
            cursor.execute(_WAITING)
            if cursor.fetchone()[0] == count:
                return
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            time.sleep(0.01)
    raise AssertionError(f"not {count} are waiting")
