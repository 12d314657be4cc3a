"""Reading all of our tables as they stood at one instant."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction


@contextmanager
def snapshot() -> Iterator[None]:
    """Everything read inside is of the same instant, and nothing can be written. Locks nobody out.

    Raises `TransactionManagementError` inside another transaction, whose view of the world might be an older one.
    """
    if connection.in_atomic_block:
        raise transaction.TransactionManagementError("An audit needs a transaction of its own.")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def rows(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run a query whose `%(name)s` are filled from `values`."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
