"""Taking a confirmed order back: the money, the units and the record, and that it happens once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection, transaction

from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas import services as sagas
from marketplace.sagas.models import SagaInstance, SagaSignal
from marketplace.sagas.testing import let_pass
from orders import selectors, services
from orders.models import Order
from orders.sagas.reverse_order import ReverseOrder
from payments.models import Refund
from payments.selectors import ledger_discrepancies
from tests.locks import aside, waiting_for_a_lock
from tests.shop import authorization_key

pytestmark = pytest.mark.django_db(transaction=True)

BACK = ["shipment_stopped", "refund_payment", "restock_inventory", "close_order"]
SOLD = [("AUTHORIZE", 1000), ("CAPTURE", 1000)]


def cancel(order, **by):
    return services.cancel(order.id, now=database_now(), **{"actor": "user-1", **by})


def reversal(order):
    """The saga that takes the order back."""
    return SagaInstance.objects.get(subject_id=order.id, name="reverse_order")


def told(saga_id):
    """The types of the events of one saga, whose numbers must have no gaps."""
    rows = list(OutboxEvent.objects.filter(saga_id=saga_id).order_by("sequence"))
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
    return [row.type for row in rows]


def found():
    """What the auditor has to say of our own books."""
    return [str(finding) for finding in audit(ask_gateway=False).findings]


@pytest.fixture
def sold(shop):
    """A confirmed order of the one unit that there was."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop")
    assert (order.status, shop.levels("laptop")) == ("CONFIRMED", (0, 0))
    return order


@pytest.mark.core
def test_a_confirmed_order_is_taken_back(shop, sold):
    before = shop.story(sold)
    result = cancel(sold)

    assert result.pending
    assert (result.order.status, result.order.refund_status) == ("CONFIRMED", "PENDING")
    assert shop.money(sold) == SOLD  # nothing happens in the request itself
    shop.work()

    order = shop.now(sold)
    assert (order.status, order.failure_code, order.refund_status) == ("CANCELLED", "cancelled_by_buyer", "REFUNDED")
    assert order.failure_message == "You cancelled this order. Your money has been sent back."
    assert order.payment.status == "REFUNDED"
    assert shop.money(sold) == [*SOLD, ("REFUND", 1000)]
    assert shop.levels("laptop") == (1, 0)
    assert shop.hold(sold) == ["RELEASED"]
    assert shop.story(sold) == [*before, *BACK]
    assert shop.statuses(sold)[-2:] == ["CONFIRMED", "CANCELLED"]
    assert found() == []
    charges = [shop.gateway.charge(authorization_key(sold.saga_id))]
    assert ledger_discrepancies(charges) == []


def test_it_is_a_saga_of_its_own_with_events_of_its_own(shop, sold):
    placed = shop.events(sold)
    cancel(sold)
    shop.work()

    assert shop.now(sold).saga_id == sold.saga_id
    assert SagaInstance.objects.get(pk=sold.saga_id).status == "COMPLETED"
    assert reversal(sold).id == Order.objects.get(pk=sold.id).reversal_id
    assert shop.events(sold) == placed
    assert told(reversal(sold).id) == [
        "SAGA_STARTED", "PAYMENT_REFUNDED", "INVENTORY_RESTOCKED", "ORDER_CANCELLED", "SAGA_COMPLETED",
    ]  # fmt: skip
    story = selectors.saga_of(sold.id)
    assert (story.id, story.status) == (reversal(sold).id, "COMPLETED")


def test_cancelling_again_is_answered_the_same_and_refunds_once(shop, sold):
    assert [cancel(sold).pending for _ in range(3)] == [True] * 3
    shop.work()
    again = cancel(sold)
    shop.work()

    assert (again.pending, again.order.status) == (False, "CANCELLED")
    assert SagaInstance.objects.filter(subject_id=sold.id, name="reverse_order").count() == 1
    assert shop.money(sold) == [*SOLD, ("REFUND", 1000)]
    assert shop.statuses(sold).count("CANCELLED") == 1


def test_staff_take_it_back_in_their_own_name(shop, sold):
    cancel(sold, actor="boss", by_staff=True, reason="The last one is broken.")
    shop.work()

    assert shop.now(sold).failure_code == "cancelled_by_staff"
    last = Order.objects.get(pk=sold.id).timeline.order_by("-id").first()
    assert (last.who, last.why) == ("boss", "The last one is broken.")


def test_ten_cancels_at_once_start_one_reversal(shop, sold):
    gate = Barrier(10)

    def one(_):
        try:
            gate.wait()
            return cancel(sold).pending
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(one, range(10))) == [True] * 10
    shop.work()

    assert SagaInstance.objects.filter(subject_id=sold.id, name="reverse_order").count() == 1
    assert told(reversal(sold).id).count("SAGA_STARTED") == 1
    assert shop.money(sold) == [*SOLD, ("REFUND", 1000)]
    assert shop.levels("laptop") == (1, 0)


@pytest.mark.core
def test_a_cancel_that_loses_against_the_confirmation_takes_the_order_back(shop):
    """The buyer cancels while the order is being confirmed: the cancel waits for the saga's row, and finds it over."""
    shop.stocked("laptop", 1)
    order = shop.order("laptop")
    for queue in ("inventory", "orders", "payments", "orders", "payments"):
        shop.work(queues=(queue,))  # captured, and the confirmation comes next
    assert (shop.now(order).status, shop.saga_status(order)) == ("PAID", "IN_PROGRESS")

    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            Order.objects.select_for_update().get(pk=order.id)  # stops the worker in the midst of its transaction
            confirming = pool.submit(aside, lambda: shop.work(queues=("orders",)))
            waiting_for_a_lock(1)
            cancelling = pool.submit(aside, lambda: cancel(order))
            waiting_for_a_lock(2)
        confirming.result()
        result = cancelling.result()
    assert (result.pending, result.order.status, result.order.refund_status) == (True, "CONFIRMED", "PENDING")
    assert SagaSignal.objects.get(saga_id=order.saga_id, name="cancel").disposition == "TOO_LATE"
    shop.work()

    assert (shop.now(order).status, shop.now(order).refund_status) == ("CANCELLED", "REFUNDED")
    assert shop.money(order) == [*SOLD, ("REFUND", 1000)]
    assert shop.levels("laptop") == (1, 0)


def test_a_refund_whose_answer_is_lost_is_asked_for_again_with_the_same_key(shop, sold, lossy_proxy, settings):
    cancel(sold)
    settings.SANDBOX_GATEWAY_URL = lossy_proxy.url
    lossy_proxy.lose_answers(1)
    shop.work()

    assert shop.story(sold)[-5:] == [BACK[0], "refund_payment:UNKNOWN", *BACK[1:]]
    assert shop.money(sold) == [*SOLD, ("REFUND", 1000)]
    assert list(Refund.objects.values_list("status", "amount_minor")) == [("DONE", 1000)]
    assert found() == []


def test_while_the_bank_is_down_the_order_stands_and_its_reversal_stands_by(shop, sold):
    cancel(sold)
    shop.gateway.kill()
    shop.work()

    assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CONFIRMED", "PENDING")
    row = reversal(sold)
    assert (row.status, row.standby, row.attempt - row.forgiven) == ("IN_PROGRESS", "circuit:sandbox", 0)
    assert shop.levels("laptop") == (0, 0)
    assert cancel(sold).pending
    assert told(reversal(sold).id) == ["SAGA_STARTED"]


def test_money_that_is_back_already_is_not_asked_for_again(shop, sold):
    """The refund is done and recorded, and only the saga's own row is as it was (restored by hand, say)."""
    cancel(sold)
    shop.work(queues=("fulfillment",))
    shop.work(queues=("payments",))
    row = reversal(sold)
    assert row.current_step == "restock_inventory"
    SagaInstance.objects.filter(pk=row.pk).update(position=1, current_step="refund_payment", queue="payments")
    Order.objects.filter(pk=sold.id).update(refund_status="PENDING")
    shop.work()

    assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CANCELLED", "REFUNDED")
    assert shop.money(sold) == [*SOLD, ("REFUND", 1000)]


def test_no_money_to_give_back_is_left_to_a_person(shop, sold):
    key = f"{sold.saga_id}:authorize_payment"
    shop.gateway.gateway().refund(key=f"{sold.id}:by-hand", authorization_key=key, amount_minor=None)
    cancel(sold)
    shop.work()
    assert reversal(sold).status == "IN_PROGRESS"  # the bank's notice may be on its way
    let_pass(reversal(sold).pk, timedelta(hours=23, minutes=59))
    shop.work()

    assert reversal(sold).status == "NEEDS_ATTENTION"
    assert "nothing to give back" in reversal(sold).attention
    assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CONFIRMED", "PENDING")
    assert shop.levels("laptop") == (0, 0)


@pytest.mark.parametrize("queues", [("payments",), ("payments", "inventory")])
def test_the_books_agree_at_every_stop_on_the_way(shop, sold, queues):
    cancel(sold)
    assert found() == []
    shop.work(queues=("fulfillment",))
    assert found() == []
    shop.work(queues=queues)
    assert (shop.now(sold).status, reversal(sold).status) == ("CONFIRMED", "IN_PROGRESS")
    assert found() == []


def test_there_can_be_no_second_reversal(shop, sold):
    cancel(sold)
    with pytest.raises(Exception, match="sagas_one_of_a_kind_per_subject"), transaction.atomic():
        sagas.start(ReverseOrder, [sagas.Start(subject_id=sold.id)], now=database_now())


def test_what_came_back_can_be_sold_again(shop, sold):
    cancel(sold)
    shop.work()

    assert shop.bought("laptop").status == "CONFIRMED"
    assert shop.levels("laptop") == (0, 0)
    assert found() == []
