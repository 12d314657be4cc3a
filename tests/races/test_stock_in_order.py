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
from tests.locks import aside, waiting_for_a_lock

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.core]

PATIENCE_SECONDS = 60


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_clear_snapshot(), EXISTS (SELECT 1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND backend_type = 'client backend')"
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
                desk = Desk()
                desk.open(tickets, now=now)
                calls[0]([tickets[0]], now=now)
                begun[i].set()
                end = monotonic() + PATIENCE_SECONDS
                while not (begun[1 - i].is_set() or somebody_waits()):
                    assert monotonic() < end, "the other one never came"
                    sleep(0.01)
                outcomes = calls[1]([tickets[1]], now=now)
                desk.close(now=now)
                desk.finish(now=now)
                return [type(outcome).__name__ for outcome in outcomes]
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


def test_whoever_sells_waits_for_the_stock_when_all_else_is_written(shop):
    """And so nobody waits for the seller of a popular product while it writes all that."""
    shop.stocked("lamp", 10)
    order = shop.order("lamp", token="")
    shop.work()
    Order.objects.filter(id=order.id).update(status="PAID")
    written = Event()

    def sell():
        with transaction.atomic():
            now, desk = database_now(), Desk()
            tickets = [a_saga_of(order)]
            desk.open(tickets, now=now)
            stock.sell_and_confirm(tickets, now=now)
            desk.close(now=now)
            written.set()
            desk.finish(now=now)

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            inventory.lock_for(["lamp"])
            selling = pool.submit(aside, sell)
            assert written.wait(PATIENCE_SECONDS)
            waiting_for_a_lock(1)
        selling.result(PATIENCE_SECONDS)
    assert shop.hold(order) == ["COMMITTED"]
    assert shop.levels("lamp") == (9, 0)


def test_a_transaction_that_moves_no_stock_locks_none(shop):
    shop.stocked("lamp", 10)
    order = shop.order("lamp", token="")
    shop.work()
    with transaction.atomic():
        Desk().open([a_saga_of(order)], now=database_now())
        with ThreadPoolExecutor(1) as pool:
            pool.submit(aside, take_in).result(PATIENCE_SECONDS)
    assert shop.levels("lamp") == (10, 1)


def take_in():
    inventory.receive(sku="lamp", quantity=1, now=database_now(), actor="test", reason="delivery")
