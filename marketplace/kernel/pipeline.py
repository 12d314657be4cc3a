"""Statements that don't wait for each other.

To a group of one, waiting is most of what a transaction costs: each statement that waits for its answer takes two
changes between us and the server. So a transaction may be sent in a few trips:

    with transaction.atomic():
        with opening():              # BEGIN, and the first reads
            one.execute(...)
            other.execute(...)
        ...one.fetchall(), other.fetchall()
        with closing():              # the writes, and COMMIT
            ...
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from psycopg.pq import PipelineStatus, TransactionStatus


@contextmanager
def pipelined() -> Iterator[None]:
    """Send the statements of the block one after the other, and wait for their answers once, at its end.

    For statements that need nothing of each other's answers: what PostgreSQL has to say to one (rows, how many, an
    error) is known after the block, to whoever has kept the cursor; there, or before, the first error is raised, as
    Django's. Within another such block it is that one which waits. Raises `TransactionManagementError` outside of a
    transaction.
    """
    django: Any = connections[DEFAULT_DB_ALIAS]  # `connection` would look it up for each of the following
    if not django.in_atomic_block:
        raise transaction.TransactionManagementError("What is sent together is done together, or not at all.")
    django.validate_no_broken_transaction()
    if django.connection.info.pipeline_status != PipelineStatus.OFF:
        yield
        return
    with django.wrap_database_errors, django.connection.pipeline():
        yield


@contextmanager
def opening() -> Iterator[None]:
    """`pipelined`, as the first thing in `transaction.atomic()`: BEGIN goes along with the statements of the block.

    The driver would send it by itself before the first of them, and wait; so it is told not to, for as long as this
    transaction lasts (`atomic` sets that back). Anywhere else it is just `pipelined`.
    """
    raw: Any = connections[DEFAULT_DB_ALIAS].connection
    begun = raw is None or raw.info.transaction_status != TransactionStatus.IDLE
    if not begun:
        raw.autocommit = True
    with pipelined():
        if not begun:
            raw.execute("BEGIN")
        yield


@contextmanager
def closing() -> Iterator[None]:
    """`pipelined`, as the last thing in `transaction.atomic()`: COMMIT goes along with the statements of the block.

    What is to happen on commit happens when `atomic` ends, as ever. In an `atomic` within another one it is just
    `pipelined`.
    """
    django: Any = connections[DEFAULT_DB_ALIAS]
    with pipelined():
        yield
        if not django.savepoint_ids:
            django.connection.execute("COMMIT")
