"""A cancel and a label want the same parcel: whichever comes first wins, and the other leaves nothing behind."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from fulfillment.models import CarrierCall
from fulfillment.selectors import shipments_of
from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.testing.interception import Place
from marketplace.sagas.testing.seams import Boundary, watched
from orders import services
from orders.errors import AlreadyShipped
from orders.invoicing.selectors import credit_notes
from orders.models import Order
from tests.locks import aside, waiting_for_a_lock
from tests.races.test_one_winner import in_threads
from tests.shop import authorization_key

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = {"name": "Ada Lovelace", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}
BUYING = Place("buy_label")


@pytest.fixture
def sold(shop, sandbox_carrier):
    """Sell so many lamps, one to an order; they wait to be packed."""

    def sell(count=1):
        shop.stocked("lamp", 10)
        orders = [shop.order("lamp", address=ADDRESS) for _ in range(count)]
        shop.work(seconds=60)
        return orders

    return sell


def pack(*orders):
    ids = {order.id for order in orders}
    assert services.packed(ids, who="wanda", now=database_now()).packed == ids


def cancel(order):
    """Cancel it; return whether that was in time."""
    try:
        services.cancel(order.id, actor="user-1", now=database_now())
    except AlreadyShipped:
        return False
    return True


def cancel_once(order, at, heard):
    """Let the cancel come in when a worker gets there for the first time, as if by a web process."""

    def reached(place, boundary):
        if (place, boundary) == at and not heard:
            try:
                heard.append(cancel(order))
            finally:
                if boundary is not Boundary.AFTER_COMMIT:
                    connection.close()  # of the thread that calls the carrier

    return watched(reached)


def end(shop, carrier, order):
    """The order's status, once carrier, bank and stock are seen to agree with it."""
    shipment = shipments_of([order.id])[order.id]
    bought = carrier.shipment(shipment.label_key).get("status") == "BOUGHT" if shipment.label_key else False
    status = shop.now(order).status
    refunds = [movement for movement in shop.money(order) if movement[0] == "REFUND"]
    told = list(OutboxEvent.objects.filter(subject_id=order.id).values_list("type", flat=True))
    assert bought == (status == "SHIPPED")
    assert refunds == ([] if bought else [("REFUND", 1000)])
    assert len(credit_notes(order.id)) == len(refunds)
    assert (told.count("ORDER_SHIPPED"), told.count("ORDER_CANCELLED")) == ((1, 0) if bought else (0, 1))
    assert shipment.status == ("LABELLED" if bought else "CANCELLED")
    return status


def findings():
    return [str(finding) for finding in audit(ask_gateway=False).findings]


def test_a_cancel_before_anybody_asks_for_the_label(shop, sandbox_carrier, sold):
    [order] = sold()
    pack(order)

    assert cancel(order)
    shop.work()

    assert end(shop, sandbox_carrier, order) == "CANCELLED"
    assert not CarrierCall.objects.exists()
    assert shop.levels("lamp") == (10, 0)
    assert findings() == []


@pytest.mark.parametrize("boundary", [Boundary.BEFORE_EFFECT, Boundary.AFTER_EFFECT])
def test_a_cancel_while_the_label_is_bought_has_it_voided(shop, sandbox_carrier, sold, boundary):
    [order] = sold()
    pack(order)
    heard = []

    with cancel_once(order, (BUYING, boundary), heard):
        shop.work()
    shop.work()

    assert heard == [True]
    assert end(shop, sandbox_carrier, order) == "CANCELLED"
    label_key = CarrierCall.objects.filter(operation="BUY").values_list("shipment__label_key", flat=True).get()
    assert sandbox_carrier.shipment(label_key)["status"] == "VOIDED"
    assert shop.levels("lamp") == (10, 0)
    assert findings() == []


def test_a_cancel_right_after_the_label_is_too_late(shop, sandbox_carrier, sold):
    [order] = sold()
    pack(order)
    heard = []

    with cancel_once(order, (Place("ship_order"), Boundary.AFTER_COMMIT), heard):
        shop.work()

    assert heard == [False]
    assert end(shop, sandbox_carrier, order) == "SHIPPED"
    assert shop.levels("lamp") == (9, 0)
    assert findings() == []


def test_a_bank_that_takes_the_money_back_while_the_order_ships_leaves_a_case(shop, sandbox_carrier, sold):
    """Its news meets a confirmed order, waits for the saga that ships it, and is too late to stop it."""
    [order] = sold()
    pack(order)
    shop.gateway.reverse(authorization_key(order.saga_id))
    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            Order.objects.select_for_update(no_key=True).get(pk=order.id)
            shipping = pool.submit(aside, shop.work)
            waiting_for_a_lock(1)
            telling = pool.submit(aside, lambda: shop.bank_says(order))
            waiting_for_a_lock(2)
        shipping.result()
        telling.result()
    shop.work()

    assert end(shop, sandbox_carrier, order) == "SHIPPED"
    case = SagaInstance.objects.get(name="payment_case")
    assert (case.status, case.context["why"]) == (
        "NEEDS_ATTENTION",
        "The bank took 10.00 EUR back. The order is SHIPPED, so it was not stopped.",
    )
    assert findings() == []


def test_cancels_and_labels_in_no_order_at_all(shop, sandbox_carrier, sold):
    orders = sold(8)
    pack(*orders)

    def work_or_cancel(i):
        return shop.work(seconds=15) if i == 0 else [cancel(order) for order in orders[i - 1 :: 4]]

    heard = in_threads(5, work_or_cancel)[1:]
    shop.work(seconds=60)

    in_time = {order.id: hit for i, hits in enumerate(heard) for order, hit in zip(orders[i::4], hits, strict=True)}
    ends = {order.id: end(shop, sandbox_carrier, order) for order in orders}
    assert ends == {order_id: "CANCELLED" if hit else "SHIPPED" for order_id, hit in in_time.items()}
    assert shop.levels("lamp") == (10 - list(ends.values()).count("SHIPPED"), 0)
    assert findings() == []
