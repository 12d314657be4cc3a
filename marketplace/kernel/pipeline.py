"""Statements that don't wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction


@contextmanager
def pipelined() -> Iterator[None]:
    """Send the statements of the block one after the other, and wait for their answers once, at its end.

    For writes that need nothing of each other's answers: what PostgreSQL has to say to one (an error, how many rows)
    may be known only after the block; there, or before, the first error is raised, as Django's. Raises
    `TransactionManagementError` outside of a transaction.
    """
    django: Any = connection  # whose stubs don't tell of these
    if not django.in_atomic_block:
        raise transaction.TransactionManagementError("What is sent together is done together, or not at all.")
    django.validate_no_broken_transaction()
    with django.wrap_database_errors, django.connection.pipeline():
        yield
