"""Set-based writes: any number of rows in one statement, one array a column.

Django's `bulk_create` and `bulk_update` build a model instance, and for updates a CASE arm, for every row. On the hot
path (sagas moving in groups) that is most of the time, so rows travel as plain tuples through PostgreSQL's `unnest`.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast
from uuid import UUID

from django.db import connection, models
from django.db.backends.postgresql.base import ServerBindingCursor

Row = Sequence[Any]


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} can't be written as JSON")


def to_json(value: object, *, sort_keys: bool = False) -> str:
    """Write `value` as JSON text; UUIDs and datetimes become strings."""
    return json.dumps(value, default=_plain, separators=(",", ":"), sort_keys=sort_keys)


def binding_cursor() -> Any:
    """Return a cursor that sends parameters beside the statement, and arrays (`%b`) in binary.

    Django's own writes them into the statement as text, which takes several times as long for arrays.
    """
    django: Any = connection  # whose stubs don't tell of these
    binding: Any = ServerBindingCursor
    django.ensure_connection()
    return django._prepare_cursor(binding(django.connection))


@cache
def _columns(model: type[models.Model], names: tuple[str, ...]) -> tuple[list[str], list[str], list[bool]]:
    """Quoted column names, their types for a cast, and which hold JSON, for the fields `names` of `model`."""
    fields = [cast("models.Field[Any, Any]", model._meta.get_field(name)) for name in names]
    columns = [connection.ops.quote_name(str(field.column)) for field in fields]
    types = [str(field.db_type(connection)).split("(")[0] for field in fields]
    return columns, types, [kind == "jsonb" for kind in types]


def _arrays(rows: Sequence[Row], is_json: list[bool]) -> list[list[Any]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    for position, json_column in enumerate(is_json):
        if json_column:
            columns[position] = [None if value is None else to_json(value) for value in columns[position]]
    return columns


def insert(model: type[models.Model], fields: Sequence[str], rows: Iterable[Row], *, on_conflict: str = "") -> int:
    """Insert `rows` (one value per name in `fields`, in that order); return how many were written.

    Model defaults are not applied and signals are not sent: name every column that has no database default.
    `on_conflict` is raw SQL after `ON CONFLICT`, for example `"DO NOTHING"`. Takes part in the caller's transaction.
    """
    rows = list(rows)
    if not rows:
        return 0
    columns, types, is_json = _columns(model, tuple(fields))
    table = connection.ops.quote_name(model._meta.db_table)
    arrays = ", ".join(f"%b::{kind}[]" for kind in types)
    conflict = f" ON CONFLICT {on_conflict}" if on_conflict else ""
    statement = f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays}){conflict}"  # noqa: S608
    with binding_cursor() as cursor:
        cursor.execute(statement, _arrays(rows, is_json))
        return int(cursor.rowcount)


def update(
    model: type[models.Model], key: str, fields: Sequence[str], rows: Iterable[Row], *, only_if: str = ""
) -> list[Any]:
    """Update one row of `model` per row given: first the value of the unique field `key`, then those of `fields`.

    `only_if` is raw SQL ANDed to the join, where `t` is the table and `d` the given data. Returns the keys that were
    updated, so that the caller can see who lost a compare-and-set. Takes part in the caller's transaction.
    """
    rows = list(rows)
    if not rows:
        return []
    columns, types, is_json = _columns(model, (key, *fields))
    table = connection.ops.quote_name(model._meta.db_table)
    arrays = ", ".join(f"%b::{kind}[]" for kind in types)
    assignments = ", ".join(f"{column} = d.{column}" for column in columns[1:])
    condition = f" AND {only_if}" if only_if else ""
    statement = (
        f"UPDATE {table} AS t SET {assignments} FROM unnest({arrays}) AS d ({', '.join(columns)}) "  # noqa: S608
        f"WHERE t.{columns[0]} = d.{columns[0]}{condition} RETURNING t.{columns[0]}"
    )
    with binding_cursor() as cursor:
        cursor.execute(statement, _arrays(rows, is_json))
        return [row[0] for row in cursor.fetchall()]
