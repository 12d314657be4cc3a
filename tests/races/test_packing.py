"""Several say at once that the same orders are packed, or can't be sent: for each order one answer counts."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from fulfillment.models import Shipment
from marketplace.kernel.clock import database_now
from orders import selectors, warehouse

pytestmark = pytest.mark.django_db(transaction=True)

WHERE = {"name": "Ada", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}


@pytest.fixture
def numbers(shop, sandbox_carrier):
    """Six confirmed orders that wait to be packed."""
    shop.stocked("lamp", 10)
    orders = [shop.order("lamp", address=WHERE) for _ in range(6)]
    shop.work()
    return [order.number for order in orders]


def at_once(*works):
    gate = Barrier(len(works))

    def run(work):
        try:
            gate.wait()
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_two_people_pack_the_same_orders(shop, numbers):
    def packs(who, names):
        return lambda: warehouse.pack(names, who=who, now=database_now())

    answers = at_once(*(packs(f"p{n}", numbers if n % 2 else numbers[::-1]) for n in range(4)))

    by_order = {number: [a.result for one in answers for a in one if a.number == number] for number in numbers}
    assert {number: Counter(results) for number, results in by_order.items()} == {
        number: {"PACKED": 1, "WAS_PACKED": 3} for number in numbers
    }
    shop.work()
    assert set(Shipment.objects.values_list("status", flat=True)) == {"LABELLED"}


def test_packed_and_can_not_be_sent_at_once(shop, numbers):
    packed, taken = at_once(
        lambda: warehouse.pack(numbers, who="wanda", now=database_now()),
        lambda: warehouse.cannot_ship(numbers[::-1], reason="Broken.", who="walt", now=database_now()),
    )
    shop.work()

    # Before its label is there an order can still be taken back, packed or not; and who takes it back always wins.
    assert {answer.result for answer in taken} == {"TAKEN_BACK"}
    assert {answer.result for answer in packed} <= {"PACKED", "REFUSED"}
    assert {answer.code for answer in packed if answer.result == "REFUSED"} <= {"being_taken_back"}
    ended = [selectors.order(answer.order_id) for answer in packed]
    assert {(order.status, order.failure_code) for order in ended} == {("FAILED", "cannot_ship")}
    assert set(Shipment.objects.values_list("status", flat=True)) == {"CANCELLED"}
    assert shop.levels("lamp") == (10, 0)
