"""The one clock that decides leases, holds and due times: the database's."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """Return the database's wall clock, aware and in UTC.

    Several machines never agree on the time; the database they share does. Not the start of the
    transaction (`now()` in SQL) but this instant, so a long wait for a lock does not make it stale.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    instant: datetime = row[0]
    return instant
