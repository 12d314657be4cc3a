"""Orders from before there were shipments: each is shipped once, and none that is being taken back meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.db import transaction

from fulfillment.selectors import shipments_of
from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.sagas.models import SagaInstance
from orders import missing_shipments, services
from orders.desk import FULFILLMENT
from orders.models import Order
from tests.locks import aside, waiting_for_a_lock
from tests.races.test_one_winner import in_threads

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = {"name": "Ada Lovelace", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}
NOT_SHIPPING = ("orders", "inventory", "payments")


@pytest.fixture
def old(shop, sandbox_carrier):
    """Orders of a lamp each, confirmed as they were by code that knew of no shipments."""
    shop.stocked("lamp", 10)

    def confirmed(count=1):
        orders = [shop.order("lamp", address=ADDRESS) for _ in range(count)]
        shop.work(queues=NOT_SHIPPING)
        SagaInstance.objects.filter(name=FULFILLMENT).delete()
        assert [str(finding) for finding in audit(ask_gateway=False).findings] != []
        return orders

    return confirmed


def run(capsys):
    capsys.readouterr()
    call_command("start_missing_shipments")
    return capsys.readouterr().out


def shipping():
    return set(SagaInstance.objects.filter(name=FULFILLMENT).values_list("subject_id", flat=True))


def books_agree():
    assert [str(finding) for finding in audit(ask_gateway=False).findings] == []


def test_each_is_shipped_and_once_only(shop, old, capsys, monkeypatch):
    monkeypatch.setattr(missing_shipments, "BATCH", 2)
    orders = old(3)

    assert run(capsys) == "2 shipments started.\n1 shipment started.\n"
    assert run(capsys) == ""
    shop.work()

    assert shipping() == {order.id for order in orders}
    ids = {order.id for order in orders}
    assert services.packed(ids, who="wanda", now=database_now()).packed == ids
    shop.work()
    assert {shop.now(order).status for order in orders} == {"SHIPPED"}
    assert run(capsys) == ""
    books_agree()


def test_what_is_not_confirmed_or_is_being_taken_back_is_left_alone(shop, old, capsys):
    cancelled, standing = old(2)
    services.cancel(cancelled.id, actor="user-1", now=database_now())
    waiting = shop.order("lamp", token="")
    shop.work(queues=())

    assert run(capsys) == "1 shipment started.\n"
    assert shipping() == {standing.id}
    shop.work()
    assert [shop.now(order).status for order in (cancelled, standing, waiting)] == [
        "CANCELLED",
        "CONFIRMED",
        "RESERVED",
    ]
    books_agree()


def test_two_at_once_beside_working_workers(shop, old, monkeypatch):
    monkeypatch.setattr(missing_shipments, "BATCH", 2)
    orders = old(7)

    def start_or_work(i):
        return (
            0 if i == 0 and shop.work(seconds=3) is None else sum(missing_shipments.start_missing(now=database_now()))
        )

    assert sum(in_threads(4, start_or_work)) == 7
    shop.work()
    assert shipping() == {order.id for order in orders}
    assert len(shipments_of([order.id for order in orders])) == 7
    books_agree()


def start():
    return sum(missing_shipments.start_missing(now=database_now()))


@pytest.mark.parametrize("first", ["start", "cancel"])
def test_a_cancel_that_comes_in_between(shop, old, first):
    """Both have found the order without a saga that ships it, and both want its row."""
    [order] = old()

    def cancel():
        services.cancel(order.id, actor="user-1", now=database_now())

    moves = {"start": start, "cancel": cancel}
    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            Order.objects.select_for_update().get(pk=order.id)
            begun = {}
            for count, name in enumerate(sorted(moves, key=lambda one: one != first), start=1):
                begun[name] = pool.submit(aside, moves[name])
                waiting_for_a_lock(count)
        begun["cancel"].result(60)
        assert begun["start"].result(60) == (1 if first == "start" else 0)
    shop.work()

    assert shop.now(order).status == "CANCELLED"
    assert [view.status for view in shipments_of([order.id]).values() if view.status != "CANCELLED"] == []
    sagas = SagaInstance.objects.filter(subject_id=order.id, name=FULFILLMENT).values_list("status", flat=True)
    assert list(sagas) == (["FAILED"] if first == "start" else [])
    assert shop.levels("lamp") == (10, 0)
    books_agree()
