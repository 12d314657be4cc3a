"""Set-based writes: any number of rows in one statement, one array a column.

Django's `bulk_create` and `bulk_update` build a model instance, and for updates a CASE arm, for every row. On the hot
path (sagas moving in groups) that is most of the time, so rows travel as plain tuples through PostgreSQL's `unnest`.

The statements are the same for any number of rows, so PostgreSQL plans them once a connection (`prepare_threshold` in
the settings): without looking at how many there are this time, and therefore always by an index.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.db.backends.postgresql.base import ServerBindingCursor
from psycopg.pq import Format

from marketplace.kernel import arrays

Row = Sequence[Any]


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} can't be written as JSON")


def to_json(value: object, *, sort_keys: bool = False) -> str:
    """Write `value` as JSON text; UUIDs and datetimes become strings."""
    return _by_the_standard_library(value, sort_keys=True) if sort_keys else json_bytes(value).decode()


def json_bytes(value: object) -> bytes:
    """Write `value` as `to_json` does, ready to be sent (`arrays.Documents`)."""
    try:
        return orjson.dumps(value)
    except TypeError:  # what it does not take (keys that are numbers, say), the standard library may
        return _by_the_standard_library(value).encode()


def _by_the_standard_library(value: object, *, sort_keys: bool = False) -> str:
    return json.dumps(value, default=_plain, separators=(",", ":"), sort_keys=sort_keys)


def binding_cursor(*, binary: bool = False) -> Any:
    """Return a cursor that sends parameters beside the statement, and arrays (`%b`, see `arrays`) in binary.

    Django's own writes them into the statement as text, which takes several times as long for arrays. `binary`: rows
    come back in binary too, which is quicker to read, and with jsonb already parsed.
    """
    django: Any = connections[DEFAULT_DB_ALIAS]  # `connection` would look it up for each of the following
    django.ensure_connection()
    raw: Any = django.connection
    if not hasattr(raw, "knows_arrays"):
        arrays.register(raw)
        raw.knows_arrays = True
    binding: Any = ServerBindingCursor
    cursor = binding(raw)
    if binary:
        cursor.format = Format.BINARY
    return django._prepare_cursor(cursor)


@cache
def _columns(model: type[models.Model], names: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """Quoted column names, their types, and the arrays of these for a cast, for the fields `names` of `model`."""
    fields = [cast("models.Field[Any, Any]", model._meta.get_field(name)) for name in names]
    columns = [connection.ops.quote_name(str(field.column)) for field in fields]
    types = [str(field.db_type(connection)).split("(")[0] for field in fields]
    return columns, types, [f"%b::{kind}[]" for kind in types]


def _arrays(rows: Sequence[Row], types: list[str]) -> list[Any]:
    return [_array(kind, values) for kind, values in zip(types, zip(*rows, strict=True), strict=True)]


def _array(kind: str, values: Sequence[Any]) -> Any:
    if kind == "jsonb":
        values = [None if value is None else json_bytes(value) for value in values]
    column = arrays.KINDS.get(kind)
    return list(values) if column is None else column(values)


def insert(model: type[models.Model], fields: Sequence[str], rows: Iterable[Row], *, on_conflict: str = "") -> int:
    """Insert `rows` (one value per name in `fields`, in that order); return how many were written.

    Model defaults are not applied and signals are not sent: name every column that has no database default.
    `on_conflict` is raw SQL after `ON CONFLICT`, for example `"DO NOTHING"`. Takes part in the caller's transaction.
    """
    rows = list(rows)
    if not rows:
        return 0
    statement, types = _insertion(model, tuple(fields), on_conflict)
    with binding_cursor() as cursor:
        cursor.execute(statement, _arrays(rows, types))
        return int(cursor.rowcount)


@cache
def _insertion(model: type[models.Model], fields: tuple[str, ...], on_conflict: str = "") -> tuple[str, list[str]]:
    columns, types, given = _columns(model, fields)
    table = connection.ops.quote_name(model._meta.db_table)
    conflict = f" ON CONFLICT {on_conflict}" if on_conflict else ""
    statement = f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({', '.join(given)}){conflict}"  # noqa: S608
    return statement, types


class Insertion(NamedTuple):
    """What `insert` writes, for `update` to write in the same statement."""

    model: type[models.Model]
    fields: tuple[str, ...]
    rows: Sequence[Row]


def update(
    model: type[models.Model],
    key: str,
    fields: Sequence[str],
    rows: Iterable[Row],
    *,
    only_if: str = "",
    beside: Insertion | None = None,
) -> list[Any]:
    """Update one row of `model` per row given: first the value of the unique field `key`, then those of `fields`.

    `only_if` is raw SQL ANDed to the join, where `t` is the table and `d` the given data. `beside`: rows of another
    table to insert in the same statement, whether or not there is anything to update: to a group of one, a statement
    less is worth more than what it does. Returns the keys that were updated, so that the caller can see who lost a
    compare-and-set. Takes part in the caller's transaction.
    """
    with binding_cursor(binary=True) as cursor:
        if not _send(cursor, _update(model, (key, *fields), only_if), list(rows), beside):
            return []
        return [row[0] for row in cursor.fetchall()]


def write(
    model: type[models.Model],
    key: str,
    fields: Sequence[str],
    rows: Iterable[Row],
    *,
    beside: Insertion | None = None,
    or_else: str = "",
) -> None:
    """Do what `update` does for rows that are there: without asking, or waiting, for the keys.

    `or_else`: what to say (in letters and spaces, after their number) where some are not there after all. PostgreSQL
    raises that as a `DataError`, so that the transaction comes to nothing: even if COMMIT is on its way already.
    """
    rows = list(rows)
    with binding_cursor() as cursor:
        _send(cursor, _update(model, (key, *fields), "", or_else), rows, beside, [len(rows)] if or_else else [])


def _send(
    cursor: Any,
    updating: tuple[str, list[str]],
    rows: Sequence[Row],
    beside: Insertion | None,
    more: Sequence[Any] = (),
) -> bool:
    """Send an update of `rows`, and what is to be inserted beside it; whether there was anything to update."""
    if not rows:
        if beside is not None:
            insert(*beside)
        return False
    statement, types = updating
    values = [*_arrays(rows, types), *more]
    if beside is not None and beside.rows:
        inserting, types = _insertion(beside.model, beside.fields)
        others = f", {statement.removeprefix('WITH ')}" if statement.startswith("WITH ") else f" {statement}"
        statement = f"WITH beside AS ({inserting}){others}"
        values = [*_arrays(beside.rows, types), *values]
    cursor.execute(statement, values)
    return True


@cache
def _update(
    model: type[models.Model], fields: tuple[str, ...], only_if: str, or_else: str = ""
) -> tuple[str, list[str]]:
    columns, types, given = _columns(model, fields)
    table = connection.ops.quote_name(model._meta.db_table)
    assignments = ", ".join(f"{column} = d.{column}" for column in columns[1:])
    condition = f" AND {only_if}" if only_if else ""
    statement = (
        f"UPDATE {table} AS t SET {assignments} FROM unnest({', '.join(given)}) AS d ({', '.join(columns)}) "  # noqa: S608
        f"WHERE t.{columns[0]} = d.{columns[0]}{condition} RETURNING t.{columns[0]}"
    )
    if or_else:  # what is no number can't be made one
        statement = (
            f"WITH written AS ({statement}), missing AS (SELECT %s - count(*) AS many FROM written) "  # noqa: S608
            f"SELECT CASE WHEN many > 0 THEN (many || ' {or_else}')::int END FROM missing"
        )
    return statement, types
