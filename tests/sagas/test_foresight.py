"""The dry run of a compensation: it prints exact units and amounts, changes nothing, and then exactly that happens."""

import pytest
from django.db import connection

from inventory.models import LedgerEntry
from marketplace.kernel.clock import database_now
from marketplace.sagas import attention, foresight, runner
from marketplace.sagas.errors import NotParked, PastPivot
from marketplace.sagas.models import SagaInstance
from orders import services
from payments.testing import nobody_listens  # noqa: F401
from tests.shop import authorization_key

pytestmark = pytest.mark.django_db(transaction=True)
TABLES = (
    "sagas_sagainstance", "sagas_sagahistory", "sagas_sagasignal", "orders_order", "orders_timelineentry",
    "inventory_stock", "inventory_reservation", "inventory_ledger", "payments_payment", "payments_attempt",
    "payments_refund", "outbox_event",
)  # fmt: skip


def rows():
    """Every row there is, with the transaction that wrote it last."""
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT xmin::text, t.*::text FROM {table} AS t ORDER BY 2")  # noqa: S608
            found[table] = cursor.fetchall()
    return found


def foreseen(order):
    before = rows()
    told = {one.step: one.effect for one in foresight.foresee(order.saga_id, now=database_now())}
    assert rows() == before
    return told


def parked_at(shop, *queues, token="tok_visa"):
    """An order of two products that came as far as these turns of the queues' workers, and was parked there."""
    shop.stocked("laptop", 3)
    shop.stocked("mouse", 9, price_minor=250)
    order = shop.order_lines([("laptop", 1), ("mouse", 2)], token=token)
    for queue in queues:
        shop.work(queues=(queue,))
    runner.park(order.saga_id, ZeroDivisionError("a bug"))
    return order


def compensated(shop, order):
    attention.compensate(order.saga_id, actor="ada", reason="It can't be.", now=database_now())
    shop.work()
    assert shop.saga_status(order) == "COMPENSATED"


def released():
    return sorted(LedgerEntry.objects.filter(kind="RELEASE").values_list("sku", "available_delta"))


def test_an_authorized_order(shop):
    order = parked_at(shop, "inventory", "orders", "payments")
    assert foreseen(order) == {
        "authorize_payment": "Void the authorization of 15.00 EUR; no money is taken.",
        "reserve_inventory": "Put back 1 of laptop, 2 of mouse.",
    }
    compensated(shop, order)
    assert shop.money(order) == [("AUTHORIZE", 1500), ("VOID", 1500)]
    assert released() == [("laptop", 1), ("mouse", 2)]


def test_a_captured_order(shop, monkeypatch):
    order = parked_at(shop, "inventory", "orders", "payments", "orders", "payments")
    assert shop.money(order) == [("AUTHORIZE", 1500), ("CAPTURE", 1500)]
    told = foreseen(order)
    assert list(told) == ["capture_payment", "authorize_payment", "reserve_inventory"]
    assert told["capture_payment"] == "Refund 15.00 EUR, all that was captured."
    assert told["reserve_inventory"] == "Put back 1 of laptop, 2 of mouse."
    compensated(shop, order)
    assert shop.money(order) == [("AUTHORIZE", 1500), ("CAPTURE", 1500), ("REFUND", 1500)]
    assert released() == [("laptop", 1), ("mouse", 2)]


def test_a_capture_that_our_books_have_not_heard_of(shop):
    order = parked_at(shop, "inventory", "orders", "payments", "orders")
    shop.gateway.gateway().capture(
        key=f"{order.saga_id}:capture_payment", authorization_key=authorization_key(order.saga_id), reference="",
        amount_minor=1500,
    )  # fmt: skip
    assert foreseen(order)["capture_payment"] == "Refund 15.00 EUR, all that was captured."
    compensated(shop, order)
    assert shop.money(order)[-1] == ("REFUND", 1500)


def test_an_order_that_was_never_asked_for(shop):
    order = parked_at(shop, "inventory", "orders")
    assert foreseen(order) == {
        "authorize_payment": "Nothing was asked for, so nothing is voided.",
        "reserve_inventory": "Put back 1 of laptop, 2 of mouse.",
    }
    compensated(shop, order)
    assert shop.money(order) == []


def test_nothing_is_held_yet(shop):
    shop.stocked("laptop", 3)
    order = shop.order("laptop")
    runner.park(order.saga_id, ZeroDivisionError("a bug"))
    assert foreseen(order) == {}
    compensated_nothing = attention.compensate(order.saga_id, actor="ada", reason="No.", now=database_now())
    assert compensated_nothing.status == "IN_PROGRESS"
    shop.work()
    assert (shop.saga_status(order), shop.levels("laptop")) == ("FAILED", (3, 0))


def test_a_gateway_that_does_not_answer_is_told_of(shop, nobody_listens, settings):  # noqa: F811
    order = parked_at(shop, "inventory", "orders", "payments")
    bank, settings.SANDBOX_GATEWAY_URL = settings.SANDBOX_GATEWAY_URL, nobody_listens
    told = foreseen(order)["authorize_payment"]
    assert told == "Void what may be authorized, at most 15.00 EUR: the gateway can't be asked now."
    settings.SANDBOX_GATEWAY_URL = bank


def test_what_can_not_be_undone_is_refused_as_it_would_be(shop):
    shop.stocked("laptop", 3)
    order = shop.bought("laptop")
    with pytest.raises(NotParked):
        foresight.foresee(order.saga_id, now=database_now())
    services.cancel(order.id, actor="user-1", now=database_now())
    shop.work(queues=("fulfillment",))
    shop.work(queues=("payments",))
    reversal = shop.now(order)
    row = SagaInstance.objects.get(name="reverse_order", subject_id=reversal.id)
    runner.park(row.id, ZeroDivisionError("a bug"))
    with pytest.raises(PastPivot):
        foresight.foresee(row.id, now=database_now())
