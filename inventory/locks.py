"""The order in which inventory locks rows. Whoever keeps to it can't deadlock with anybody else who does.

1. Reservation rows that are moved on, in the order of (owner, SKU), with `IN_LOCK_ORDER`.
2. Stock rows, in SKU order, all that a call needs at once (`lock_stock`, or `STOCK_IN_LOCK_ORDER`).

Reservations come first because hardly anybody waits for those of one owner, and everybody for a popular product. So
nothing waits for a reservation row while it holds a stock row, except where one transaction makes several calls; then
they are for owners whose sagas it has locked, whom nobody else moves. New reservations are written only under the lock
of their SKU's stock: a reservation is there once, and what is available is not promised twice. `extend` moves no stock
and takes only the first kind.

The locks last until the caller's transaction ends, so a transaction makes one call that moves stock, or names every SKU
of all of them before the first (`inventory.services.lock_for`).
"""

from collections.abc import Iterable
from typing import Final

from django.db import connection, transaction

from marketplace.kernel import bulk
from marketplace.kernel.arrays import Texts

STOCK_IN_LOCK_ORDER: Final = "ORDER BY sku FOR UPDATE"
IN_LOCK_ORDER: Final = "ORDER BY owner_id, sku FOR UPDATE"

_LOCK: Final = f"SELECT sku, available FROM inventory_stock WHERE sku = ANY(%b::text[]) {STOCK_IN_LOCK_ORDER}"  # noqa: S608


def lock_stock(skus: Iterable[str]) -> dict[str, int]:
    """Lock the stock rows of `skus` and return how many units of each are available; unknown SKUs are left out.

    Needs the caller's transaction; raises `TransactionManagementError` without one. What is read by later statements
    was committed by whoever held the locks before.
    """
    needs_transaction()
    with bulk.binding_cursor(binary=True) as cursor:
        cursor.execute(_LOCK, [Texts(sorted(set(skus)))])
        return dict(cursor.fetchall())


def needs_transaction() -> None:
    """Raise `TransactionManagementError` where no transaction is open: a lock would be gone at once."""
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("Stock rows can only be locked inside a transaction.")
