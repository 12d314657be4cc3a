"""How the auditor's tests break what can't be broken: past the database's own constraints, and back again."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


def sql(statement: str, *values: object) -> int:
    """Run one statement, as somebody with a console would; return how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.rowcount


@contextmanager
def unguarded(table: str, *constraints: str) -> Iterator[None]:
    """Without these constraints of `table`. Its rows are gone afterwards, for they could not be kept under them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = %s::regclass AND conname = ANY(%s)",
            [table, list(constraints)],
        )
        definitions = dict(cursor.fetchall())
        assert set(definitions) == set(constraints)
        for name in constraints:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {table} CASCADE")
            for name, definition in definitions.items():
                cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


@contextmanager
def without_triggers(table: str) -> Iterator[None]:
    """With the triggers of `table` switched off, as a restore from a dump would."""
    sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    try:
        yield
    finally:
        sql(f"TRUNCATE {table} CASCADE")
        sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
