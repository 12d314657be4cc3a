"""A transaction moves the stock of many orders, in more than one call. However they overlap, nobody deadlocks."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic, sleep

import pytest
from django.db import connection, transaction

from inventory import services as inventory
from marketplace.kernel.clock import database_now
from marketplace.sagas.ticket import Cause, Ticket
from orders.desk import Desk
from orders.models import Order
from orders.sagas import stock

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.core]

PATIENCE_SECONDS = 20


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_clear_snapshot(), EXISTS (SELECT 1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )
        return bool(cursor.fetchone()[1])


def a_saga_of(order, *, cause=None):
    return Ticket(id=order.saga_id, subject_id=order.id, context={}, cause=cause)


def in_two_calls(first, second):
    """Return two works, each a transaction of two calls, of which the second comes when the other is in the way.

    `first` and `second`: the two calls of one work, those of the other in turn; each takes the tickets and the time.
    """
    begun = [Event(), Event()]

    def work(i, tickets, calls):
        try:
            with transaction.atomic():
                now = database_now()
                Desk().open(tickets, now=now)
                calls[0]([tickets[0]], now=now)
                begun[i].set()
                end = monotonic() + PATIENCE_SECONDS
                while not (begun[1 - i].is_set() or somebody_waits()):
                    assert monotonic() < end, "the other one never came"
                    sleep(0.01)
                return [type(outcome).__name__ for outcome in calls[1]([tickets[1]], now=now)]
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        works = [pool.submit(work, i, *of) for i, of in enumerate((first, second))]
        return [done.result() for done in works]


def test_selling_some_and_releasing_others_locks_all_their_stock_first(shop):
    """One sells a lamp and puts back a rug, the other sells a rug and puts back a lamp."""
    for sku in ("lamp", "rug"):
        shop.stocked(sku, 10)
    orders = [shop.order(sku, token="") for sku in ("lamp", "rug", "rug", "lamp")]
    shop.work()
    assert [shop.hold(order) for order in orders] == [["HELD"]] * 4
    Order.objects.filter(id__in=[orders[0].id, orders[2].id]).update(status="PAID")
    declined = Cause("failed", "payment_declined")
    tickets = [a_saga_of(order, cause=declined if n % 2 else None) for n, order in enumerate(orders)]

    calls = (stock.sell_and_confirm, stock.release)
    assert in_two_calls((tickets[:2], calls), (tickets[2:], calls)) == [["Done"], ["Done"]]

    assert [shop.hold(order) for order in orders] == [["COMMITTED"], ["RELEASED"]] * 2
    assert shop.levels("lamp") == shop.levels("rug") == (9, 0)


def test_what_expired_and_what_was_declined_go_back_in_order(shop):
    for sku in ("lamp", "rug"):
        shop.stocked(sku, 10)
    orders = [shop.order(sku, token="") for sku in ("lamp", "rug", "rug", "lamp")]
    shop.work()
    reasons = [Cause("cancelled", "reservation_expired"), Cause("failed", "payment_declined")]
    tickets = [a_saga_of(order, cause=reasons[n % 2]) for n, order in enumerate(orders)]

    calls = (stock.release, stock.release)
    assert in_two_calls((tickets[:2], calls), (tickets[2:], calls)) == [["Done"], ["Done"]]

    assert [shop.hold(order) for order in orders] == [["EXPIRED"], ["RELEASED"]] * 2
    assert shop.levels("lamp") == shop.levels("rug") == (10, 0)


def test_a_transaction_that_moves_no_stock_locks_none(shop):
    shop.stocked("lamp", 10)
    order = shop.order("lamp", token="")
    shop.work()
    with transaction.atomic():
        Desk().open([a_saga_of(order)], now=database_now())
        with ThreadPoolExecutor(1) as pool:
            pool.submit(take_in, "lamp").result(PATIENCE_SECONDS)
    assert shop.levels("lamp") == (10, 1)


def take_in(sku):
    try:
        inventory.receive(sku=sku, quantity=1, now=database_now(), actor="test", reason="delivery")
    finally:
        connection.close()
