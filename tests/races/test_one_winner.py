"""Two things happen at once, and one of them wins: on the stock's row, or on the saga's."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection

from marketplace.kernel.clock import database_now
from marketplace.sagas.models import SagaInstance, SagaSignal
from orders import services
from orders.errors import NotCancellable, NotPayable
from orders.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def in_threads(count, work):
    """Run `work(i)` in `count` threads that start together; return what they returned."""
    gate = Barrier(count)

    def run(i):
        try:
            gate.wait()
            return work(i)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.core
def test_two_hundred_buyers_and_fifty_units(shop):
    """Twenty threads place orders while two workers move them: exactly fifty are confirmed, nothing is negative."""
    shop.stocked("hit", 50)

    def buy_or_work(i):
        if i < 2:
            shop.work(seconds=2.0)
            return []
        return [shop.order("hit") for _ in range(10)]

    placed = [order for batch in in_threads(22, buy_or_work) for order in batch]
    shop.work(seconds=90.0)

    ends = Counter((shop.now(order).status, shop.now(order).failure_code) for order in placed)
    assert ends == {("CONFIRMED", ""): 50, ("FAILED", "out_of_stock"): 150}
    assert shop.levels("hit") == (0, 0)
    charges = shop.gateway.charges()
    assert len(charges) == 50
    assert sum(charge.captured_minor for charge in charges) == 50 * 1000


def test_the_last_unit_goes_to_the_first_in_line(shop):
    shop.stocked("last", 1)
    first, second = shop.order("last"), shop.order("last")

    shop.work()

    assert shop.now(first).status == "CONFIRMED"
    assert shop.now(second).failure_code == "out_of_stock"


def test_a_payment_that_came_before_the_deadline_counts_even_if_it_is_looked_at_after(shop):
    shop.stocked("unit", 1)
    order = shop.bought("unit", token="")
    services.pay(order.id, method="tok_visa", now=database_now())
    received = SagaSignal.objects.get(saga_id=order.saga_id).received_at
    SagaInstance.objects.filter(pk=order.saga_id).update(wait_until=received + timedelta(microseconds=1))

    shop.work()

    assert shop.now(order).status == "CONFIRMED"


def test_a_payment_that_came_after_the_deadline_does_not(shop):
    shop.stocked("unit", 1)
    order = shop.bought("unit", token="")
    services.pay(order.id, method="tok_visa", now=database_now())
    received = SagaSignal.objects.get(saga_id=order.saga_id).received_at
    SagaInstance.objects.filter(pk=order.saga_id).update(wait_until=received - timedelta(microseconds=1))

    shop.work()

    assert shop.now(order).failure_code == "reservation_expired"
    assert shop.levels("unit") == (1, 0)
    assert shop.money(order) == []
    assert SagaSignal.objects.get(saga_id=order.saga_id).disposition == "TOO_LATE"


@pytest.mark.parametrize("cancel_first", [True, False])
def test_cancel_and_pay_before_anybody_looks(shop, cancel_first):
    """Whatever the order of arrival, a buyer who wants out is let out: nothing has been paid yet."""
    shop.stocked("unit", 1)
    order = shop.bought("unit", token="")
    requests = [
        lambda: services.cancel(order.id, actor="user-1", now=database_now()),
        lambda: services.pay(order.id, method="tok_visa", now=database_now()),
    ]
    for request in requests if cancel_first else reversed(requests):
        request()

    shop.work()

    assert shop.now(order).status == "CANCELLED"
    assert shop.levels("unit") == (1, 0)
    assert shop.money(order) == []


def test_twenty_cancels_race_the_saga(shop):
    """Either everybody hears that it is cancelled, or everybody that it is too late; never a mixture of effects."""
    shop.stocked("unit", 1)
    order = shop.order("unit")

    def cancel_or_work(i):
        if i == 0:
            shop.work()
            return None
        try:
            services.cancel(order.id, actor="user-1", now=database_now())
        except NotCancellable:
            return "late"
        return "taken"

    in_threads(20, cancel_or_work)
    shop.work()

    end = shop.now(order).status
    money = [kind for kind, _ in shop.money(order)]
    if end == "CONFIRMED":
        assert money == ["AUTHORIZE", "CAPTURE"]
        assert shop.levels("unit") == (0, 0)
    else:
        assert end == "CANCELLED"
        assert money in ([], ["AUTHORIZE", "VOID"], ["AUTHORIZE", "CAPTURE", "REFUND"])
        assert shop.levels("unit") == (1, 0)
    assert Order.objects.get(pk=order.id).timeline.filter(to_status=end).count() == 1


def test_paying_twice_at_once_pays_once(shop):
    shop.stocked("unit", 1)
    order = shop.bought("unit", token="")

    def pay(i):
        try:
            return services.pay(order.id, method="tok_visa", now=database_now()).status
        except NotPayable:
            return "refused"

    in_threads(10, pay)
    shop.work()

    assert shop.now(order).status == "CONFIRMED"
    assert SagaSignal.objects.filter(saga_id=order.saga_id, name="payment_request").count() == 1
    assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]
