"""What becomes of the rate as work grows: beside many finished sagas, and with orders of several lines."""

from collections.abc import Iterable
from typing import Any, Final

from django.db import connection, models, transaction

from benchmarks import drain, processes, shop
from benchmarks.report import Figure
from inventory.models import LedgerEntry, Reservation
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas.models import SagaHistory, SagaInstance
from orders.models import Order, OrderLine, TimelineEntry
from payments.models import Attempt, Payment

SKUS = 1000
AT_ONCE = 20  # copies in one transaction
MILLISECONDS_APART = 60_000  # by which each copy is older than the one before

# What a finished order leaves behind, in an order that foreign keys agree with.
LEFT_BEHIND: Final[tuple[type[models.Model], ...]] = (
    Order, OrderLine, TimelineEntry, Reservation, LedgerEntry, Payment, Attempt, SagaInstance, SagaHistory, OutboxEvent,
)  # fmt: skip
UNIQUE_WORDS = {"number", "authorization_key", "gateway_reference", "idempotency_key"}


def beside(count: int, finished: Iterable[int]) -> list[Figure]:
    """Drain `count` orders beside so many finished sagas (whole thousands), with all that they have left behind."""
    return [
        Figure(f"{sagas:,} finished sagas", _beside(count, sagas), "orders/s", group="drained beside")
        for sagas in finished
    ]


def with_lines(count: int, lines: Iterable[int]) -> list[Figure]:
    """Drain `count` orders of so many lines, each of another SKU."""
    return [
        Figure(f"{each} line{'s' * (each != 1)} an order", _with_lines(count, each), "orders/s", group="drained with")
        for each in lines
    ]


def _beside(count: int, sagas: int) -> float:
    shop.empty(skus=SKUS)
    with processes.running(processes.workers()) as workers:
        shop.fill(drain.WARM_UP, skus=SKUS)
        drain.until_idle(workers)
        copies = max(0, sagas // drain.WARM_UP - 1)
        _copy(copies)
        shop.fill(count, skus=SKUS)
        seconds = drain.drained(workers, count)
    shop.check(confirmed=drain.WARM_UP * (1 + copies) + count, failed=0)
    return count / seconds


def _with_lines(count: int, lines: int) -> float:
    shop.empty(skus=SKUS)
    with processes.running(processes.workers()) as workers:
        shop.fill(drain.WARM_UP, skus=SKUS, lines=lines)
        drain.until_idle(workers)
        shop.fill(count, skus=SKUS, lines=lines)
        seconds = drain.drained(workers, count)
    shop.check(confirmed=drain.WARM_UP + count, failed=0, sold=lines * (drain.WARM_UP + count))
    return count / seconds


# An id of an earlier time, so that copies lie before the originals, each together, as if they had been made then.
_EARLIER = """
CREATE OR REPLACE FUNCTION pg_temp.earlier(id uuid, milliseconds bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(at - milliseconds), 12, '0') || noise)::uuid FROM (
        SELECT ('x' || left(digits, 12))::bit(48)::bigint AS at, substr(digits, 13) AS noise
        FROM (SELECT replace(id::text, '-', '') AS digits) AS id) AS part
$$
"""
_LEVELS = """
UPDATE inventory_stock AS s SET available = l.available, reserved = l.reserved, on_hand = l.available + l.reserved
FROM (SELECT sku, sum(available_delta) AS available, sum(reserved_delta) AS reserved FROM inventory_ledger GROUP BY sku)
    AS l WHERE l.sku = s.sku
"""


def _copy(copies: int) -> None:
    """Write the finished orders that there are so many times again, with everything about them; the stock adds up."""
    with connection.cursor() as cursor:
        cursor.execute(_EARLIER)
        for model in LEFT_BEHIND:
            table = model._meta.db_table
            ours = " WHERE owner_id IS NOT NULL" if model is LedgerEntry else ""
            cursor.execute(f"CREATE TEMP TABLE first_{table} AS SELECT * FROM {table}{ours}")
        for first in range(1, copies + 1, AT_ONCE):
            with transaction.atomic():
                for model in LEFT_BEHIND:
                    cursor.execute(_copying(model), [first, min(first + AT_ONCE - 1, copies)])
        for model in LEFT_BEHIND:
            cursor.execute(f"DROP TABLE first_{model._meta.db_table}")
        cursor.execute(_LEVELS)


def _copying(model: type[models.Model]) -> str:
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField)]
    columns = ", ".join(str(field.column) for field in fields)
    values = ", ".join(_copied(field) for field in fields)
    table = model._meta.db_table
    return (
        f"INSERT INTO {table} ({columns}) SELECT {values} FROM generate_series(%s::int, %s) AS copy"
        f" CROSS JOIN first_{table} AS first"
    )


def _copied(field: "models.Field[Any, Any]") -> str:
    column = f"first.{field.column}"
    if field.db_type(connection) == "uuid":
        return f"pg_temp.earlier({column}, copy * {MILLISECONDS_APART})"
    if field.column in UNIQUE_WORDS and isinstance(field, models.CharField):
        return f"CASE {column} WHEN '' THEN '' ELSE {column} || '-' || copy END"
    return column
