"""Carry out a plan that somebody has seen; write the shop down as a sheet."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime

from django.db import IntegrityError, transaction

from inventory import movements
from inventory.errors import SheetOutdated, SheetRefused
from inventory.locks import lock_stock
from inventory.models import LedgerEntry, Product, Stock
from inventory.sheets.columns import COLUMNS, ON_HAND, SKU, written
from inventory.sheets.planning import Plan, plan
from inventory.sheets.reading import read

AT_A_TIME = 500


def preview(content: bytes) -> Plan:
    """Return what the sheet in `content` would do now, and what is wrong with it. Changes nothing."""
    return plan(read(content))


@transaction.atomic
def take_in(content: bytes, *, digest: str, now: datetime, actor: str, reason: str) -> Plan:
    """Do what the sheet says, all of it or nothing; return what was done. Its own transaction.

    `digest` is that of the plan that was looked at (`preview`). A stock that differs from `on_hand` is corrected, with
    `reason` in the ledger. Raises `SheetRefused` when something is wrong with it, and `SheetOutdated` when it would do
    something else by now.
    """
    sheet = read(content)
    skus = sorted({line.cells[SKU] for line in sheet.lines if SKU in line.cells})
    list(Product.objects.select_for_update(of=("self",)).filter(sku__in=skus).order_by("sku").values_list("sku"))
    if any(ON_HAND in line.cells for line in sheet.lines):
        lock_stock(skus)
    made = plan(sheet)
    if made.problems:
        raise SheetRefused(problems=len(made.problems))
    if made.digest != digest:
        raise SheetOutdated
    _write_products(made)
    deltas = {change.product.sku: change.delta for change in made.changes if change.delta}
    if deltas:
        Stock.objects.bulk_create([Stock(product_id=sku) for sku in sorted(deltas)], ignore_conflicts=True)
        lock_stock(deltas)
        movements.change_by_hand(LedgerEntry.Kind.ADJUST, deltas, now=now, actor=actor, reason=reason)
    return made


def _write_products(made: Plan) -> None:
    fields = [column.field for column in COLUMNS if column.field and column.name != SKU]
    try:
        with transaction.atomic():
            Product.objects.bulk_create([change.product for change in made.new], batch_size=AT_A_TIME)
    except IntegrityError as error:  # somebody has made one of them in this very moment
        raise SheetOutdated from error
    Product.objects.bulk_update([change.product for change in made.changed], fields, batch_size=AT_A_TIME)


def write() -> Iterator[str]:
    """Write every product down, line by line, also those that are not for sale. Read again, it changes nothing."""
    yield "\ufeff"  # without which Excel takes it for its own old encoding
    yield _line([column.name for column in COLUMNS])
    rows = Product.objects.select_related("category", "stock").order_by("sku")
    for product in rows.iterator(chunk_size=AT_A_TIME):
        yield _line(written(product, product.stock.on_hand if hasattr(product, "stock") else 0))


def _line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
