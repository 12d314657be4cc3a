"""After the money came, the bank takes it back, or the warehouse gives up: whoever comes first, the books are right."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import transaction

from fulfillment.models import Shipment
from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas import attention, rows
from marketplace.sagas import services as sagas
from marketplace.sagas.models import SagaInstance, SagaSignal
from marketplace.sagas.services import signal
from marketplace.sagas.stepping import Pass
from marketplace.sagas.testing import let_pass
from orders import services
from orders.errors import AlreadyShipped, NotConfirmed
from orders.models import MoneyCase, Order
from orders.sagas.payment_case_1 import PaymentCase1
from payments import news, observations
from payments import services as payments
from payments.models import Attempt, Observation, Payment
from tests.locks import aside, waiting_for_a_lock
from tests.shop import QUEUES, authorization_key

pytestmark = pytest.mark.django_db(transaction=True)

SOLD = [("AUTHORIZE", 1000), ("CAPTURE", 1000)]
GONE = [*SOLD, ("REVERSE", 1000)]


@pytest.fixture
def sold(shop):
    """A confirmed order of the one unit that there was."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop")
    assert order.status == "CONFIRMED"
    return order


@pytest.fixture
def captured(shop):
    """An order whose money is taken, and which would be confirmed next."""
    shop.stocked("laptop", 1)
    order = shop.order("laptop")
    for queue in ("inventory", "orders", "payments", "orders", "payments"):
        shop.work(queues=(queue,))
    assert (shop.now(order).status, shop.money(order)) == ("PAID", SOLD)
    return order


def takes_back(shop, order, **told):
    """The bank takes the money back, and tells us."""
    shop.gateway.reverse(authorization_key(order.saga_id))
    shop.bank_says(order, **told)


def complains(shop, order):
    """The buyer disputes the payment at the bank, which tells us."""
    shop.gateway.dispute(authorization_key(order.saga_id), "OPEN")
    shop.bank_says(order)


def decides(shop, order, verdict):
    """The bank decides a dispute, "WON" by the shop or "LOST", and tells us."""
    shop.gateway.dispute(authorization_key(order.saga_id), verdict)
    shop.bank_says(order)


def loses(shop, order):
    """A dispute is over before we heard of it."""
    shop.gateway.dispute(authorization_key(order.saga_id), "OPEN")
    decides(shop, order, "LOST")


def cancel(order):
    return services.cancel(order.id, actor="user-1", now=database_now())


def cannot_ship(order):
    return services.cannot_ship(order.id, reason="It fell off the shelf.", actor="warehouse", now=database_now())


def ship(order):
    row = Order.objects.get(pk=order.id)
    row.ship()
    row.save()
    parcel = Shipment.objects.filter(reference_id=order.id)
    parcel.update(status="LABELLED", packed_at=database_now(), label_key=f"{order.id}:label", tracking_number="SP1")


def reversal(order):
    return SagaInstance.objects.get(subject_id=order.id, name="reverse_order")


def cases(order):
    about = MoneyCase.objects.filter(order_id=order.id).values("id")
    return list(SagaInstance.objects.filter(subject_id__in=about, name="payment_case").order_by("id"))


def case(order):
    (only,) = cases(order)
    return only


def refunds_asked_for():
    return Attempt.objects.filter(operation="REFUND").count()


def found():
    return [str(finding) for finding in audit(ask_gateway=False).findings]


def told(order, kind):
    return OutboxEvent.objects.filter(subject_id=order.id, type=kind).count()


@pytest.mark.core
def test_the_bank_takes_the_money_of_a_confirmed_order_back(shop, sold):
    takes_back(shop, sold)
    assert (shop.now(sold).status, reversal(sold).status, found()) == ("CONFIRMED", "STARTED", [])
    shop.work()

    order = shop.now(sold)
    assert (order.status, order.failure_code, order.refund_status) == ("FAILED", "payment_reversed", "REVERSED")
    assert order.failure_message == (
        "Your bank took the payment back before we could ship, so we stopped this order. "
        "Your bank gives the money back to you."
    )
    assert shop.notes(sold) == ["bank: The bank took 10.00 EUR back."]
    assert (shop.money(sold), refunds_asked_for()) == (GONE, 0)  # it is gone already: nothing may be sent on top
    assert (shop.levels("laptop"), shop.hold(sold)) == ((1, 0), ["RELEASED"])
    assert (reversal(sold).status, told(order, "ORDER_FAILED"), found()) == ("COMPLETED", 1, [])


def test_a_reversal_that_is_told_twice_is_one(shop, sold):
    takes_back(shop, sold, event_id="evt_1")
    shop.bank_says(sold, event_id="evt_1")
    shop.bank_says(sold, event_id="evt_2")
    shop.work()
    shop.bank_says(sold, event_id="evt_3")
    shop.work()

    assert Observation.objects.count() == 1
    assert SagaInstance.objects.filter(subject_id=sold.id, name="reverse_order").count() == 1
    assert (shop.now(sold).status, shop.levels("laptop"), told(sold, "ORDER_FAILED")) == ("FAILED", (1, 0), 1)


@pytest.mark.core
def test_a_reversal_between_capture_and_confirmation_stops_the_order(shop, captured):
    takes_back(shop, captured)
    shop.work()

    order = shop.now(captured)
    assert (order.status, order.failure_code, order.refund_status) == ("FAILED", "payment_reversed", "REVERSED")
    assert shop.story(captured)[-4:] == [
        "confirm_order:STOPPED", "-capture_payment", "-authorize_payment", "-reserve_inventory",
    ]  # fmt: skip
    assert (shop.money(captured), refunds_asked_for()) == (GONE, 0)
    assert (shop.levels("laptop"), told(order, "ORDER_CONFIRMED"), found()) == ((1, 0), 0, [])


@pytest.mark.core
@pytest.mark.parametrize("first", ["the news", "the confirmation"])
def test_a_reversal_that_the_books_know_before_a_lost_capture_is_asked_for_again(shop, first):
    """Whoever took the money died before writing it down, and its news are on their way to the order."""
    shop.stocked("laptop", 1)
    order = shop.order("laptop")
    for queue in ("inventory", "orders", "payments", "orders"):
        shop.work(queues=(queue,))
    key = authorization_key(order.saga_id)
    asked = {"key": f"{order.saga_id}:capture_payment", "authorization_key": key, "reference": ""}
    shop.gateway.gateway().capture(**asked, amount_minor=order.total_minor)
    shop.gateway.reverse(key)
    now, seen = database_now(), observations.sight(Payment.objects.get(reference_id=order.id).id)
    with transaction.atomic():
        payments.observe(seen, event_id="evt_1", occurred_at=now, now=now)
    shop.work(queues=("payments",) if first == "the news" else QUEUES)
    assert shop.now(order).status == ("PAID" if first == "the news" else "CONFIRMED")
    assert shop.saga_status(order) == ("IN_PROGRESS" if first == "the news" else "COMPLETED")

    news.pass_on(now=database_now())
    shop.work()
    after = shop.now(order)
    assert (after.status, after.failure_code, after.refund_status) == ("FAILED", "payment_reversed", "REVERSED")
    assert (shop.money(order), shop.levels("laptop"), found()) == (GONE, (1, 0), [])


@pytest.mark.core
def test_a_reversal_that_loses_against_the_confirmation_takes_the_order_back(shop, captured):
    """The news waits for the saga's row while that confirms, and finds it over: the order is reversed instead."""
    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            Order.objects.select_for_update().get(pk=captured.id)  # stops the worker in the midst of its transaction
            confirming = pool.submit(aside, lambda: shop.work(queues=("orders",)))
            waiting_for_a_lock(1)
            telling = pool.submit(aside, lambda: takes_back(shop, captured))
            waiting_for_a_lock(2)
        confirming.result()
        telling.result()
    assert SagaSignal.objects.get(saga_id=captured.saga_id).disposition == "TOO_LATE"
    assert shop.now(captured).status == "CONFIRMED"
    shop.work()

    order = shop.now(captured)
    assert (order.status, order.failure_code, order.refund_status) == ("FAILED", "payment_reversed", "REVERSED")
    assert (shop.money(captured), refunds_asked_for(), shop.levels("laptop")) == (GONE, 0, (1, 0))
    assert found() == []


def test_a_reversal_while_the_capture_is_in_flight(shop):
    """The bank takes back what it says in the same moment that it has given: nobody here may confirm it."""
    shop.stocked("laptop", 1)
    order = shop.order("laptop")
    for queue in ("inventory", "orders", "payments", "orders"):
        shop.work(queues=(queue,))
    with transaction.atomic():
        runs, now = rows.claim(QUEUES, 10)
        taken = Pass(now=now, queues=frozenset(QUEUES))
        taken.claimed(runs)
        taken.write()
    (flight,) = taken.flights
    reply = flight.send()
    takes_back(shop, order)
    with transaction.atomic():
        runs, now = rows.hold([flight.run.ticket.id], [flight.run.fence])
        landed = Pass(now=now, queues=frozenset(QUEUES))
        landed.answered(runs, {flight.run.ticket.id: reply})
        landed.write()
    shop.work()

    order = shop.now(order)
    assert (order.status, order.failure_code, order.refund_status) == ("FAILED", "payment_reversed", "REVERSED")
    assert (shop.money(order), refunds_asked_for(), shop.levels("laptop"), found()) == (GONE, 0, (1, 0), [])


@pytest.mark.parametrize("bank_first", [True, False])
def test_a_cancel_and_a_reversal_by_the_bank_at_once(shop, sold, bank_first):
    """Whoever comes first names the reason; there is one reversal, and nothing is refunded on top."""
    moves = [lambda: takes_back(shop, sold), lambda: cancel(sold)]
    for move in moves if bank_first else reversed(moves):
        move()
    shop.work()

    order = shop.now(sold)
    end = ("FAILED", "payment_reversed") if bank_first else ("CANCELLED", "cancelled_by_buyer")
    assert (order.status, order.failure_code, order.refund_status) == (*end, "REVERSED")
    assert (shop.money(sold), refunds_asked_for(), shop.levels("laptop"), found()) == (GONE, 0, (1, 0), [])


def test_a_refund_that_the_bank_was_faster_with_is_no_riddle_once_its_notice_is_here(shop, sold):
    key = f"{sold.saga_id}:authorize_payment"
    shop.gateway.gateway().refund(key=f"{sold.id}:by-hand", authorization_key=key, amount_minor=None)
    cancel(sold)
    shop.work()
    assert reversal(sold).status == "IN_PROGRESS"

    shop.bank_says(sold)
    let_pass(reversal(sold).id, timedelta(hours=1))
    shop.work()

    assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CANCELLED", "REFUNDED")
    assert (shop.money(sold), shop.levels("laptop"), found()) == ([*SOLD, ("REFUND", 1000)], (1, 0), [])


def test_money_given_back_at_the_banks_counter_for_an_order_that_stands_is_a_case(shop, sold):
    key = f"{sold.saga_id}:authorize_payment"
    shop.gateway.gateway().refund(key=f"{sold.id}:by-hand", authorization_key=key, amount_minor=None)
    shop.bank_says(sold)
    shop.work()

    assert (shop.now(sold).status, case(sold).status) == ("CONFIRMED", "NEEDS_ATTENTION")
    assert case(sold).attention == (
        f"{shop.now(sold).number}: All of its money was given back, at least in part not by us; the order stands. "
        "See to it by hand, then resolve this."
    )
    assert found() == []


@pytest.mark.core
def test_a_dispute_stops_an_order_and_the_bank_decides_about_the_money(shop, sold):
    complains(shop, sold)
    shop.work()

    order = shop.now(sold)
    assert (order.status, order.failure_code, order.refund_status) == ("FAILED", "payment_disputed", "DISPUTED")
    assert "decides about the money" in order.failure_message
    assert (shop.money(sold), refunds_asked_for(), shop.levels("laptop"), found()) == (SOLD, 0, (1, 0), [])

    decides(shop, sold, "LOST")

    order = shop.now(sold)
    assert (order.status, order.refund_status) == ("FAILED", "REVERSED")
    assert order.failure_message.endswith("Your bank gives the money back to you.")
    assert shop.notes(sold)[-1] == "bank: The bank has decided for the buyer and taken 10.00 EUR back."
    assert found() == []


def test_a_dispute_between_capture_and_confirmation(shop, captured):
    complains(shop, captured)
    shop.work()

    order = shop.now(captured)
    assert (order.status, order.failure_code, order.refund_status) == ("FAILED", "payment_disputed", "DISPUTED")
    assert (shop.money(captured), refunds_asked_for(), shop.levels("laptop"), found()) == (SOLD, 0, (1, 0), [])


def test_a_dispute_before_confirmation_makes_no_late_money_of_what_was_paid_in_time(shop, captured):
    """The bank's yes came by webhook, too, and nobody had to wait for it: it is answered when all is over."""
    signal(captured.saga_id, "payment_outcome", signal_id="evt_yes", payload={"kind": "authorized"})
    complains(shop, captured)
    shop.work()

    order = shop.now(captured)
    assert (order.status, order.refund_status, found()) == ("FAILED", "DISPUTED", [])
    assert not SagaInstance.objects.filter(subject_id=captured.id, name="accept_late_payment").exists()
    assert not [note for note in shop.notes(captured) if "after the order had ended" in note]


def test_a_dispute_that_is_won_after_the_order_was_stopped_is_a_case(shop, sold):
    """The money stays here, and there is no order for it: only a person can say whose it is."""
    complains(shop, sold)
    shop.work()
    decides(shop, sold, "WON")
    shop.work()

    assert case(sold).status == "NEEDS_ATTENTION"
    assert "the money is the buyer's" in case(sold).attention
    assert found() == []


def given_back_by_hand(shop, order):
    """Somebody gives the money back at the bank's counter, it is heard of, and a person lets the saga go on."""
    key = authorization_key(order.saga_id)
    shop.gateway.gateway().refund(key=f"{order.id}:by-hand", authorization_key=key, amount_minor=None)
    shop.bank_says(order)
    [parked] = SagaInstance.objects.filter(subject_id=order.id, status="NEEDS_ATTENTION")
    attention.retry(parked.id, actor="ada", reason="I gave it back.", now=database_now())
    shop.work()


def test_a_dispute_that_is_won_while_the_order_is_being_taken_back(shop, sold):
    """The reversal has left the money to the bank already: the order must not be closed with it in the till."""
    complains(shop, sold)
    shop.work(queues=("fulfillment", "payments"))
    assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CONFIRMED", "DISPUTED")
    decides(shop, sold, "WON")
    shop.work()

    assert (shop.now(sold).status, reversal(sold).status, found()) == ("CONFIRMED", "NEEDS_ATTENTION", [])
    assert "the money was not given back" in reversal(sold).attention

    given_back_by_hand(shop, sold)
    assert (shop.now(sold).status, shop.now(sold).refund_status, found()) == ("FAILED", "REFUNDED", [])
    assert shop.levels("laptop") == (1, 0)


def test_a_dispute_that_is_lost_while_the_order_is_being_taken_back(shop, sold):
    complains(shop, sold)
    shop.work(queues=("fulfillment", "payments"))
    decides(shop, sold, "LOST")
    shop.work()

    assert (shop.now(sold).status, shop.now(sold).refund_status, found()) == ("FAILED", "REVERSED", [])


def test_a_dispute_that_is_won_while_the_order_is_being_undone(shop, captured):
    complains(shop, captured)
    shop.work(queues=("orders",))
    shop.work(queues=("payments",))
    assert shop.now(captured).refund_status == "DISPUTED"
    decides(shop, captured, "WON")
    shop.work()

    assert (shop.now(captured).status, shop.saga_status(captured), found()) == ("PAID", "NEEDS_ATTENTION", [])
    given_back_by_hand(shop, captured)
    assert (shop.now(captured).status, shop.now(captured).refund_status, found()) == ("FAILED", "REFUNDED", [])


@pytest.mark.core
@pytest.mark.parametrize("news", [takes_back, complains, loses])
def test_after_shipping_the_status_stays_and_a_case_is_opened(shop, sold, news):
    ship(sold)
    news(shop, sold)
    shop.work()

    order = shop.now(sold)
    assert (order.status, order.refund_status, order.failure_code) == ("SHIPPED", "", "")
    assert (case(sold).status, shop.levels("laptop"), refunds_asked_for()) == ("NEEDS_ATTENTION", (0, 0), 0)
    assert "The order is SHIPPED, so it was not stopped." in case(sold).attention
    assert found() == []

    attention.resolve(case(sold).id, actor="ada", reason="The insurance pays.", now=database_now())
    shop.work()

    assert (case(sold).status, shop.now(sold).status) == ("COMPLETED", "SHIPPED")
    assert shop.notes(sold)[-1] == "saga: The case about its payment is settled."
    assert found() == []


def test_what_comes_while_a_case_waits_is_left_to_it(shop, sold):
    ship(sold)
    complains(shop, sold)
    decides(shop, sold, "LOST")
    shop.work()

    assert case(sold).status == "NEEDS_ATTENTION"
    assert len(shop.notes(sold)) == 2


@pytest.mark.parametrize("settled", [attention.resolve, attention.ignore])
def test_a_dispute_that_is_lost_after_its_case_was_settled_is_a_case_again(shop, sold, settled):
    ship(sold)
    complains(shop, sold)
    shop.work()
    settled(case(sold).id, actor="ada", reason="The bank has our answer.", now=database_now())
    shop.work()
    decides(shop, sold, "LOST")
    shop.work()

    first, second = cases(sold)
    assert (first.attention == second.attention, second.status) == (False, "NEEDS_ATTENTION")
    assert "has decided for the buyer" in second.attention
    assert found() == []
    attention.resolve(second.id, actor="ada", reason="Written off.", now=database_now())
    shop.work()
    assert cases(sold)[1].status == "COMPLETED"
    assert shop.notes(sold)[-1] == "saga: The case about its payment is settled."
    assert found() == []


def test_a_case_that_was_opened_about_the_order_itself_is_settled_as_ever(shop, sold):
    ship(sold)
    with transaction.atomic():
        start = sagas.Start(subject_id=sold.id, context={"why": "The bank took it."})
        sagas.start(PaymentCase1, [start], now=database_now())
    complains(shop, sold)
    shop.work()

    assert cases(sold) == []  # the one that waits is told of it
    attention.resolve(start.id, actor="ada", reason="Written off.", now=database_now())
    shop.work()
    assert SagaInstance.objects.get(pk=start.id).status == "COMPLETED"
    assert shop.notes(sold)[-1] == "saga: The case about its payment is settled."


@pytest.mark.core
def test_an_order_that_the_warehouse_can_not_send_is_refunded(shop, sold):
    result = cannot_ship(sold)
    assert (result.pending, result.order.refund_status) == (True, "PENDING")
    assert cannot_ship(sold).pending  # twice is once
    shop.work()

    order = shop.now(sold)
    assert (order.status, order.failure_code, order.refund_status) == ("FAILED", "cannot_ship", "REFUNDED")
    assert order.failure_message == (
        "We could not ship this order. That is our mistake, and we are sorry. Your money has been sent back."
    )
    assert shop.notes(sold)[0] == "warehouse: Can't be shipped: It fell off the shelf."
    assert (shop.money(sold), shop.levels("laptop"), found()) == ([*SOLD, ("REFUND", 1000)], (1, 0), [])
    assert not cannot_ship(sold).pending


def test_nothing_is_taken_back_that_is_shipped_or_not_sold_yet(shop, captured):
    with pytest.raises(NotConfirmed):
        cannot_ship(captured)
    shop.work()
    ship(captured)
    with pytest.raises(AlreadyShipped):
        cannot_ship(captured)
    assert not SagaInstance.objects.filter(name="reverse_order").exists()


@pytest.mark.parametrize("warehouse_first", [True, False])
def test_the_warehouse_gives_up_while_the_buyer_cancels(shop, sold, warehouse_first):
    moves = [lambda: cannot_ship(sold), lambda: cancel(sold)]
    for move in moves if warehouse_first else reversed(moves):
        move()
    shop.work()

    end = ("FAILED", "cannot_ship") if warehouse_first else ("CANCELLED", "cancelled_by_buyer")
    assert (shop.now(sold).status, shop.now(sold).failure_code) == end
    assert (shop.money(sold), shop.levels("laptop"), found()) == ([*SOLD, ("REFUND", 1000)], (1, 0), [])
