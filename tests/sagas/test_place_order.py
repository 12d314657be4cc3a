"""Buy Now from end to end: the order, the stock, the money and the record of each way it can go."""

from datetime import timedelta

import pytest
from django.db import transaction

from inventory import services as inventory
from inventory.models import Reservation
from inventory.services import HoldRequest, Line
from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.sagas.models import SagaInstance
from orders import services
from orders.errors import NotCancellable, NotPayable
from orders.models import Order
from orders.sagas.bank import HOLD_MARGIN
from orders.tasks import expire_reservations
from tests.shop import authorization_key

pytestmark = pytest.mark.django_db(transaction=True)

HAPPY = [
    "validate_inventory", "reserve_inventory", "authorize_payment", "check_fraud", "capture_payment", "confirm_order",
]  # fmt: skip


@pytest.mark.core
def test_an_order_that_can_be_paid_is_confirmed(shop):
    shop.stocked("laptop", 3, price_minor=129_900)

    order = shop.bought("laptop")

    assert (order.status, shop.saga_status(order)) == ("CONFIRMED", "COMPLETED")
    assert shop.story(order) == HAPPY
    assert shop.statuses(order) == ["CREATED", "RESERVED", "PAYMENT_PENDING", "PAID", "CONFIRMED"]
    assert shop.levels("laptop") == (2, 0)
    assert shop.hold(order) == ["COMMITTED"]
    assert shop.money(order) == [("AUTHORIZE", 129_900), ("CAPTURE", 129_900)]
    assert order.payment.status == "CAPTURED"
    assert order.payment.transaction_id
    assert shop.events(order) == [
        "ORDER_CREATED", "SAGA_STARTED", "INVENTORY_RESERVED", "ORDER_RESERVED", "PAYMENT_AUTHORIZED", "ORDER_PAID",
        "PAYMENT_CAPTURED", "INVENTORY_COMMITTED", "ORDER_CONFIRMED", "SAGA_COMPLETED",
    ]  # fmt: skip


@pytest.mark.parametrize("ttl", [30, 900])
def test_a_hold_lasts_for_as_long_as_the_payment_may_take(shop, settings, ttl):
    """Whether or not it did so from the start."""
    settings.RESERVATION_TTL_SECONDS = ttl
    shop.stocked("laptop", 3)
    begun = database_now()

    order = shop.bought("laptop")

    needed = begun + timedelta(seconds=settings.SAGA_TIMEOUT_SECONDS) + HOLD_MARGIN
    assert Reservation.objects.get(owner_id=order.id).expires_at >= needed


@pytest.mark.core
@pytest.mark.parametrize(
    ("token", "words"), [("tok_declined", "declined"), ("tok_insufficient_funds", "not enough money")]
)
def test_a_declined_payment_gives_the_stock_back(shop, token, words):
    shop.stocked("laptop", 3)

    order = shop.bought("laptop", 2, token=token)

    assert (order.status, order.failure_code) == ("FAILED", "payment_declined")
    assert words in order.failure_message
    assert "No money was taken" in order.failure_message
    assert shop.story(order) == [
        "validate_inventory", "reserve_inventory", "authorize_payment:REFUSED", "-reserve_inventory",
    ]  # fmt: skip
    assert shop.saga_status(order) == "COMPENSATED"
    assert shop.levels("laptop") == (3, 0)
    assert shop.hold(order) == ["RELEASED"]
    assert shop.money(order) == []
    assert shop.events(order)[-4:] == [
        "PAYMENT_DECLINED", "SAGA_COMPENSATING", "INVENTORY_RELEASED", "ORDER_FAILED", "SAGA_COMPENSATED",
    ][-4:]  # fmt: skip


def test_what_is_not_there_can_not_be_bought(shop):
    shop.stocked("laptop", 1)
    shop.stocked("bag", 5)

    order = shop.order_lines([("bag", 2), ("laptop", 3)])
    shop.work()
    order = shop.now(order)

    assert (order.status, order.failure_code) == ("FAILED", "out_of_stock")
    assert "The laptop: you asked for 3, only 1 left." in order.failure_message
    assert order.failure_detail["shortages"] == [{"sku": "laptop", "name": "The laptop", "asked": 3, "available": 1}]
    assert shop.saga_status(order) == "FAILED"
    assert shop.levels("laptop") == (1, 0)
    assert shop.levels("bag") == (5, 0)
    assert shop.money(order) == []
    assert shop.events(order) == ["ORDER_CREATED", "SAGA_STARTED", "INVENTORY_REJECTED", "ORDER_FAILED", "SAGA_FAILED"]


def test_a_suspicious_order_is_voided_and_told_in_neutral_words(shop):
    shop.stocked("laptop", 1)

    order = shop.bought("laptop", token="tok_fraud")

    assert (order.status, order.failure_code) == ("FAILED", "fraud_rejected")
    assert "fraud" not in order.failure_message.lower()
    assert shop.story(order) == [
        "validate_inventory", "reserve_inventory", "authorize_payment", "check_fraud:REFUSED", "-authorize_payment",
        "-reserve_inventory",
    ]  # fmt: skip
    assert shop.levels("laptop") == (1, 0)
    assert shop.money(order) == [("AUTHORIZE", 1000), ("VOID", 1000)]
    assert order.payment.status == "VOIDED"


def test_an_amount_over_the_limit_is_looked_at(shop, settings):
    settings.FRAUD_AMOUNT_LIMIT = 100
    shop.stocked("car", 1, price_minor=10_001)
    shop.stocked("bike", 1, price_minor=10_000)

    assert shop.bought("car").failure_code == "fraud_rejected"
    assert shop.bought("bike").status == "CONFIRMED"


def test_a_flaky_bank_is_asked_again_with_the_same_key(shop):
    shop.stocked("laptop", 1)

    order = shop.bought("laptop", token="tok_flaky")

    assert order.status == "CONFIRMED"
    assert shop.story(order) == [
        *HAPPY[:2], "authorize_payment:RETRY", "authorize_payment:RETRY", *HAPPY[2:],
    ]  # fmt: skip
    assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]


@pytest.mark.core
def test_a_lost_answer_charges_once(shop):
    shop.stocked("laptop", 1)

    order = shop.bought("laptop", token="tok_timeout")

    assert order.status == "CONFIRMED"
    assert shop.story(order) == [*HAPPY[:2], "authorize_payment:UNKNOWN", *HAPPY[2:]]
    assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]


def test_when_every_payment_fails_every_order_fails_and_the_stock_is_what_it_was(shop):
    shop.gateway.restart(PAYMENT_FAILURE_RATE="1")
    shop.stocked("laptop", 5)

    orders = [shop.order("laptop") for _ in range(5)]
    shop.work()

    for order in map(shop.now, orders):
        assert (order.status, order.failure_code) == ("FAILED", "payment_timeout")
        assert shop.story(order) == [
            *HAPPY[:2], *["authorize_payment:RETRY"] * 3, "-authorize_payment", "-reserve_inventory",
        ]  # fmt: skip
        assert shop.money(order) == []
    assert shop.levels("laptop") == (5, 0)


def test_a_gateway_that_is_down_fails_no_order(shop):
    """It stands by: nobody may guess that no money was taken. More in test_gateway_down."""
    shop.stocked("laptop", 1)
    shop.gateway.kill()
    order = shop.order("laptop")
    shop.work()

    assert shop.saga_status(order) == "IN_PROGRESS"
    assert shop.now(order).status == "PAYMENT_PENDING"
    assert shop.levels("laptop") == (0, 1)  # held until it is known what became of the money
    assert SagaInstance.objects.get(pk=order.saga_id).standby == "circuit:sandbox"


def test_reserving_first_and_paying_later(shop):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="")
    assert order.status == "RESERVED"
    assert order.reserved_until > database_now()
    assert shop.story(order) == [*HAPPY[:2], "payment_request:WAITING"]
    assert shop.levels("laptop") == (0, 1)

    services.pay(order.id, method="tok_visa", now=database_now())
    services.pay(order.id, method="tok_visa", now=database_now())
    shop.work()

    assert shop.now(order).status == "CONFIRMED"
    assert shop.story(order) == [*HAPPY[:2], "payment_request", *HAPPY[2:]]
    assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]


@pytest.mark.parametrize("method", ["tok_visa", "tok_declined"])
def test_paying_a_finished_order_is_refused(shop, method):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_declined")

    with pytest.raises(NotPayable):
        services.pay(order.id, method=method, now=database_now())

    assert shop.money(order) == []


@pytest.mark.core
def test_a_hold_past_its_time_is_given_back(shop, settings):
    settings.RESERVATION_TTL_SECONDS = 0
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="")

    assert (order.status, order.failure_code) == ("CANCELLED", "reservation_expired")
    assert shop.hold(order) == ["EXPIRED"]
    assert shop.levels("laptop") == (1, 0)
    assert shop.story(order) == [*HAPPY[:2], "payment_request:EXPIRED", "-reserve_inventory"]
    with pytest.raises(NotPayable):
        services.pay(order.id, method="tok_visa", now=database_now())


def test_the_periodic_task_leaves_a_live_order_to_its_saga(shop):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="")
    past = database_now() - timedelta(seconds=1)  # as if the time to pay had run out by now
    Reservation.objects.filter(owner_id=order.id).update(expires_at=past)
    SagaInstance.objects.filter(pk=order.saga_id).update(wait_until=past, due_at=past)

    assert expire_reservations() == 1
    assert shop.now(order).status == "RESERVED"
    assert shop.hold(order) == ["HELD"]

    shop.work()
    assert shop.now(order).failure_code == "reservation_expired"
    assert expire_reservations() == 0
    assert shop.levels("laptop") == (1, 0)


def test_the_periodic_task_gives_back_a_hold_that_nobody_is_responsible_for(shop):
    shop.stocked("laptop", 1)
    past = database_now() - timedelta(seconds=1)
    orphan = new_id()
    with transaction.atomic():
        inventory.reserve([HoldRequest(orphan, (Line("laptop", 1),), past)], now=past)
    assert shop.levels("laptop") == (0, 1)

    assert expire_reservations() == 1

    assert shop.levels("laptop") == (1, 0)
    assert Reservation.objects.get(owner_id=orphan).state == "EXPIRED"


def test_the_holds_of_parked_sagas_hide_nobody_s(shop):
    shop.stocked("laptop", 4)
    parked = [shop.bought("laptop", token="") for _ in range(3)]
    past = database_now() - timedelta(seconds=1)
    Reservation.objects.update(expires_at=past - timedelta(hours=1))
    SagaInstance.objects.update(status="NEEDS_ATTENTION", due_at=None)
    orphan = new_id()
    with transaction.atomic():
        inventory.reserve([HoldRequest(orphan, (Line("laptop", 1),), past)], now=past)

    assert services.expire_reservations(now=database_now(), at_once=2) == 4

    assert Reservation.objects.get(owner_id=orphan).state == "EXPIRED"
    assert [shop.hold(order) for order in parked] == [["HELD"]] * 3


@pytest.mark.core
def test_cancelling_while_the_hold_lives(shop):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="")

    assert services.cancel(order.id, actor="user-1", now=database_now()).pending
    assert services.cancel(order.id, actor="user-1", now=database_now()).pending  # twice is once
    shop.work()

    order = shop.now(order)
    assert (order.status, order.failure_code) == ("CANCELLED", "cancelled_by_buyer")
    assert shop.levels("laptop") == (1, 0)
    assert not services.cancel(order.id, actor="user-1", now=database_now()).pending
    assert shop.events(order).count("ORDER_CANCELLED") == 1


def test_cancelling_before_anything_was_done(shop):
    shop.stocked("laptop", 1)
    order = shop.order("laptop")

    services.cancel(order.id, actor="user-1", now=database_now())
    shop.work()

    assert shop.now(order).status == "CANCELLED"
    assert shop.levels("laptop") == (1, 0)
    assert shop.money(order) == []


def test_staff_cancel_in_their_own_name(shop):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="")

    services.cancel(order.id, actor="staff", now=database_now(), by_staff=True, reason="The buyer called.")
    shop.work()

    order = shop.now(order)
    assert order.failure_code == "cancelled_by_staff"
    last = Order.objects.get(pk=order.id).timeline.order_by("-id").first()
    assert (last.who, last.why) == ("staff", "The buyer called.")


def test_an_order_that_failed_can_not_be_cancelled(shop):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_declined")

    with pytest.raises(NotCancellable):
        services.cancel(order.id, actor="user-1", now=database_now())

    shop.work()
    assert (shop.now(order).status, shop.now(order).failure_code) == ("FAILED", "payment_declined")


def test_a_capture_that_slips_in_before_the_void_is_refunded(shop):
    """A worker that was given up captures after all: the void is refused, and the money goes back by a refund."""
    shop.stocked("laptop", 1)
    order = shop.order("laptop", token="tok_fraud")
    for queue in ("inventory", "orders", "payments"):
        shop.work(queues=(queue,))  # authorized, and the fraud check comes next
    key = authorization_key(order.saga_id)
    shop.gateway.gateway().capture(
        key=f"{order.saga_id}:capture_payment", authorization_key=key, reference="", amount_minor=1000
    )

    shop.work()

    order = shop.now(order)
    assert (order.status, order.refund_status, shop.saga_status(order)) == ("FAILED", "REFUNDED", "COMPENSATED")
    assert "Your money has been sent back." in order.failure_message
    assert shop.story(order)[-4:] == [
        "check_fraud:REFUSED", "-authorize_payment:RETRY", "-authorize_payment", "-reserve_inventory",
    ]  # fmt: skip
    assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000), ("REFUND", 1000)]
    assert order.payment.status == "REFUNDED"
    assert shop.events(order).count("PAYMENT_REFUNDED") == 1
    assert "PAYMENT_VOIDED" not in shop.events(order)
    assert shop.levels("laptop") == (1, 0)


def test_a_late_capture_whose_refund_has_to_be_asked_for_again_is_refunded_once(shop, lossy_proxy, settings):
    shop.stocked("laptop", 1)
    order = shop.order("laptop", token="tok_fraud")
    for queue in ("inventory", "orders", "payments"):
        shop.work(queues=(queue,))
    key = authorization_key(order.saga_id)
    shop.gateway.gateway().capture(
        key=f"{order.saga_id}:capture_payment", authorization_key=key, reference="", amount_minor=1000
    )
    settings.SANDBOX_GATEWAY_URL = lossy_proxy.url
    lossy_proxy.lose_answers(2)

    shop.work()

    assert shop.now(order).refund_status == "REFUNDED"
    assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000), ("REFUND", 1000)]
    assert shop.levels("laptop") == (1, 0)


def test_orders_of_a_batch_each_get_their_own_outcome(shop):
    shop.stocked("laptop", 4)
    tokens = ["tok_visa", "tok_declined", "tok_fraud", "tok_visa", "tok_insufficient_funds"]

    orders = [shop.order("laptop", token=token) for token in tokens]
    shop.work()

    # Four were held; the fifth found none left, for a hold counts as long as it lives.
    assert [shop.now(order).failure_code for order in orders] == [
        "", "payment_declined", "fraud_rejected", "", "out_of_stock",
    ]  # fmt: skip
    assert shop.levels("laptop") == (2, 0)
