import pytest
from django.db import connection, transaction

from inventory.locks import lock_stock
from inventory.services import release, reserve
from inventory.tests.books import sell, states, wants

pytestmark = pytest.mark.django_db


def test_rows_are_locked_in_the_order_of_their_skus_whatever_the_order_asked(stocked):
    for sku in ("mug", "lamp", "rug"):
        stocked(sku, 3)
    statements = []
    with transaction.atomic(), connection.execute_wrapper(lambda run, *args: statements.append(args[0]) or run(*args)):
        assert lock_stock(["rug", "lamp", "rug", "no-such-thing"]) == {"lamp": 3, "rug": 3}
    (locking,) = [statement for statement in statements if "FOR UPDATE" in statement]
    assert locking.endswith("ORDER BY sku FOR UPDATE")


@pytest.mark.django_db(transaction=True)
def test_a_lock_without_a_transaction_would_be_no_lock(stocked, now):
    stocked("lamp", 3)
    with pytest.raises(transaction.TransactionManagementError):
        lock_stock(["lamp"])
    with pytest.raises(transaction.TransactionManagementError):
        reserve([wants(("lamp", 1))], now=now)
    assert states() == {}


@pytest.mark.django_db(transaction=True)
def test_moving_a_hold_needs_a_transaction_too(stocked, now):
    stocked("lamp", 3)
    request = wants(("lamp", 1))
    with transaction.atomic():
        reserve([request], now=now)
    for call in (release, sell):
        with pytest.raises(transaction.TransactionManagementError):
            call([request.owner_id], now=now)
    assert states() == {"HELD": 1}
