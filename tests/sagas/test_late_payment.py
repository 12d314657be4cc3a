"""Money that comes after its order has ended: the order lives again, or the money goes back; both are told."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import transaction

from inventory.models import LedgerEntry
from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.sagas import attention, rows, runner
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.stepping import Pass
from orders import selectors, services
from orders.errors import NotPlacedYet
from orders.fraud import services as fraud
from orders.fraud.models import DenyEntry
from orders.models import Order
from payments import services as payments
from payments.gateways.base import Outcome, Reply
from payments.models import Attempt
from payments.testing import answer_the_bank
from tests.locks import aside, waiting_for_a_lock
from tests.shop import QUEUES, authorization_key

pytestmark = pytest.mark.django_db(transaction=True)

HELD = ("AUTHORIZE", 1000)
AGAIN = ["take_in_payment", "check_order", "reserve_inventory", "check_fraud", "capture_payment", "confirm_order"]


def let_the_time_pass(order):
    past = database_now() - timedelta(seconds=1)
    SagaInstance.objects.filter(pk=order.saga_id).update(wait_until=past, due_at=past)


@pytest.fixture
def bank_forgets_voids(shop, monkeypatch):
    """A bank that answers a void, and lets the buyer's confirmation win all the same: such banks exist.

    The sandbox is stricter, so its last word is held back here: our void never reaches it.
    """
    really = payments.send

    def send(call):
        if call.operation == "VOID" and call.key.endswith(":authorize_payment:undo"):
            return Reply(Outcome.DONE, code="nothing_to_void", amount_minor=0)
        return really(call)

    monkeypatch.setattr(payments, "send", send)


@pytest.fixture
def expired(shop, bank_forgets_voids):
    """An order of the one unit that there was, whose buyer did not confirm in time; the bank still waits for them."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_requires_action")
    let_the_time_pass(order)
    shop.work()
    ended = shop.now(order)
    assert (ended.status, ended.failure_code, shop.levels("laptop")) == ("FAILED", "payment_timeout", (1, 0))
    return order


def pay_late(shop, order, **more):
    """The buyer confirms at the bank at last, and the bank tells us."""
    answer_the_bank(order.payment.action_url, "approve")
    shop.bank_says(order, **more)


def late(order):
    """The saga about the late money."""
    return SagaInstance.objects.get(subject_id=order.id, name="accept_late_payment")


def found():
    return [str(finding) for finding in audit(ask_gateway=False).findings]


def captures():
    return Attempt.objects.filter(operation="CAPTURE").count()


def cancel(order):
    return services.cancel(order.id, actor="user-1", now=database_now())


@pytest.mark.core
def test_the_order_lives_again_where_the_units_are_still_there(shop, expired):
    pay_late(shop, expired)
    assert (late(expired).status, found()) == ("STARTED", [])
    shop.work()

    order = shop.now(expired)
    assert (order.status, order.failure_code, order.failure_message) == ("CONFIRMED", "", "")
    assert (late(expired).status, shop.story(order)[-6:]) == ("COMPLETED", AGAIN)
    assert shop.statuses(order)[-3:] == ["FAILED", "PAID", "CONFIRMED"]
    assert shop.notes(order) == ["bank: 10.00 EUR came after the order had ended."]
    assert (shop.money(order), shop.levels("laptop"), shop.hold(order)) == (
        [HELD, ("CAPTURE", 1000)],
        (0, 0),
        ["COMMITTED"],
    )
    kinds = LedgerEntry.objects.filter(owner_id=order.id).order_by("id").values_list("kind", flat=True)
    assert list(kinds) == ["RESERVE", "RELEASE", "RESERVE", "COMMIT"]
    assert order.payment.transaction_id
    assert found() == []


@pytest.mark.core
def test_where_they_are_gone_the_money_is_let_go(shop, expired):
    other = shop.bought("laptop")
    pay_late(shop, expired)
    shop.work()

    order = shop.now(expired)
    assert (order.status, order.failure_code, late(expired).status) == ("FAILED", "payment_timeout", "COMPENSATED")
    assert shop.notes(order) == [
        "bank: 10.00 EUR came after the order had ended.",
        "saga: A payment came too late, and the bank lets go of it. The units are gone by now.",
    ]
    assert order.failure_message.endswith("No money was taken.")
    assert (shop.money(order), shop.levels("laptop")) == ([HELD, ("VOID", 1000)], (0, 0))
    assert (shop.now(other).status, found()) == ("CONFIRMED", [])


def test_money_that_is_taken_already_is_sent_back(shop, expired):
    """The bank has captured it together with its yes, so that letting go is not enough."""
    shop.bought("laptop")
    answer_the_bank(expired.payment.action_url, "approve")
    key = authorization_key(expired.saga_id)
    shop.gateway.gateway().capture(key=f"{key}:by-bank", authorization_key=key, reference="", amount_minor=1000)
    shop.bank_says(expired)
    shop.work()

    order = shop.now(expired)
    assert (order.status, order.refund_status, order.payment.status) == ("FAILED", "REFUNDED", "REFUNDED")
    assert shop.notes(order)[-1] == "saga: A payment came too late, and it was sent back. The units are gone by now."
    assert order.failure_message.endswith("Your money has been sent back.")
    assert (shop.money(order), found()) == ([HELD, ("CAPTURE", 1000), ("REFUND", 1000)], [])


def test_money_that_is_taken_already_is_not_taken_again(shop, expired):
    answer_the_bank(expired.payment.action_url, "approve")
    key = authorization_key(expired.saga_id)
    shop.gateway.gateway().capture(key=f"{key}:by-bank", authorization_key=key, reference="", amount_minor=1000)
    shop.bank_says(expired)
    shop.work()

    assert shop.now(expired).status == "CONFIRMED"
    assert (shop.money(expired), captures(), found()) == ([HELD, ("CAPTURE", 1000)], 0, [])


@pytest.mark.core
def test_an_order_whose_hold_had_lapsed(shop, settings):
    """It ended as `reservation_expired`, without a payment of its own; then money came by a way that is not ours."""
    settings.RESERVATION_TTL_SECONDS = 0
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="")
    assert (order.status, order.failure_code) == ("CANCELLED", "reservation_expired")
    settings.RESERVATION_TTL_SECONDS = 900
    shop.paid_elsewhere(order)
    shop.work()

    order = shop.now(order)
    assert (order.status, shop.hold(order), shop.levels("laptop")) == ("CONFIRMED", ["COMMITTED"], (0, 0))
    assert shop.statuses(order)[-3:] == ["CANCELLED", "PAID", "CONFIRMED"]
    assert (shop.money(order), found()) == ([HELD, ("CAPTURE", 1000)], [])


@pytest.mark.parametrize("how", ["cancelled", "fraud"])
def test_what_was_cancelled_or_rejected_is_never_revived(shop, bank_forgets_voids, how):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_requires_action")
    if how == "cancelled":
        cancel(order)
    else:  # somebody should look at this user's orders, and there is no time for that any more
        entry = DenyEntry(kind="USER", value=order.user_id, leads_to="REVIEW")
        fraud.save(entry, actor="ada", now=database_now())
    shop.work()
    if how == "fraud":
        let_the_time_pass(order)
        shop.work()
    pay_late(shop, order)
    shop.work()

    ended = shop.now(order)
    assert ended.status == ("CANCELLED" if how == "cancelled" else "FAILED")
    assert (late(order).status, shop.money(order)) == ("COMPENSATED", [HELD, ("VOID", 1000)])
    why = "The order was not waiting for it." if how == "cancelled" else "It could not be accepted."
    assert shop.notes(order)[-1] == f"saga: A payment came too late, and the bank lets go of it. {why}"
    assert (shop.levels("laptop"), found()) == ((1, 0), [])


@pytest.mark.core
def test_one_unit_left_and_two_claimants(shop, bank_forgets_voids):
    """Two late payments at once: the stock's row decides who lives again, and the other's money is let go."""
    shop.stocked("laptop", 2)
    orders = [shop.bought("laptop", token="tok_requires_action") for _ in range(2)]
    for order in orders:
        let_the_time_pass(order)
    shop.work()
    shop.bought("laptop")  # somebody else took one of the two
    for order in orders:
        pay_late(shop, order)
    shop.work()

    assert sorted(shop.now(order).status for order in orders) == ["CONFIRMED", "FAILED"]
    for order in orders:
        second = "CAPTURE" if shop.now(order).status == "CONFIRMED" else "VOID"
        assert shop.money(order) == [HELD, (second, 1000)]
    assert (shop.levels("laptop"), found()) == ((0, 0), [])


def test_a_late_payment_against_a_fresh_order_for_the_last_unit(shop, expired):
    """First come, first served: a hold is a hold, whoever has it."""
    pay_late(shop, expired)
    fresh = shop.order("laptop")
    shop.work()

    assert sorted([shop.now(expired).status, shop.now(fresh).status]) == ["CONFIRMED", "FAILED"]
    assert (shop.levels("laptop"), found()) == ((0, 0), [])


@pytest.mark.parametrize("calls", [1, 2])
def test_a_worker_killed_in_between_takes_no_money_twice(shop, expired, calls):
    """It dies with the answer of the capture in hand, once or twice; the same key finds what was done."""
    pay_late(shop, expired)
    for _ in range(calls):
        with transaction.atomic():
            runs, now = rows.claim(QUEUES, 10)
            taken = Pass(now=now, queues=frozenset(QUEUES))
            taken.claimed(runs)
            taken.write()
        (flight,) = taken.flights
        flight.send()  # and that was the last that this worker did
        SagaInstance.objects.filter(pk=late(expired).pk).update(due_at=database_now() - timedelta(seconds=1))
    shop.work()

    assert shop.now(expired).status == "CONFIRMED"
    assert (shop.money(expired), shop.levels("laptop"), found()) == ([HELD, ("CAPTURE", 1000)], (0, 0), [])


@pytest.mark.parametrize("queues", [("payments",), ("payments", "orders"), ("payments", "orders", "inventory")])
def test_the_books_agree_wherever_it_stops(shop, expired, queues):
    pay_late(shop, expired)
    for queue in queues:
        shop.work(queues=(queue,))
        assert (shop.now(expired).status, found()) == ("FAILED", [])
    shop.work()
    assert (shop.now(expired).status, found()) == ("CONFIRMED", [])


def test_news_that_come_twice_are_one_story(shop, expired):
    pay_late(shop, expired, event_id="evt_1")
    shop.bank_says(expired, event_id="evt_1")
    shop.bank_says(expired, event_id="evt_2")
    shop.work()
    shop.bank_says(expired)
    shop.work()

    assert SagaInstance.objects.filter(subject_id=expired.id).exclude(name="fulfill_order").count() == 2
    assert (shop.now(expired).status, shop.money(expired)) == ("CONFIRMED", [HELD, ("CAPTURE", 1000)])


def test_news_while_the_order_is_still_being_undone_wait_for_its_end(shop, bank_forgets_voids, monkeypatch):
    """The void is answered, the units are not back yet: the late money's story begins when this one is over."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_requires_action")
    let_the_time_pass(order)
    shop.work(queues=("payments",))
    assert shop.saga_status(order) == "COMPENSATING"
    pay_late(shop, order)
    assert not SagaInstance.objects.filter(name="accept_late_payment").exists()
    shop.work()

    assert (shop.now(order).status, late(order).status) == ("CONFIRMED", "COMPLETED")
    assert (shop.money(order), shop.levels("laptop"), found()) == ([HELD, ("CAPTURE", 1000)], (0, 0), [])


@pytest.mark.core
def test_a_buyer_who_cancels_while_the_order_is_being_undone_is_heard_too(shop, bank_forgets_voids):
    """It changes nothing about why the order ends; but nobody must revive it, and take the money, after that."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_requires_action")
    let_the_time_pass(order)
    shop.work(queues=("payments",))
    assert (shop.now(order).status, shop.hold(order)) == ("PAYMENT_PENDING", ["HELD"])
    assert cancel(order).pending
    shop.work()
    assert (shop.now(order).status, shop.now(order).failure_code) == ("FAILED", "payment_timeout")

    pay_late(shop, order)
    shop.work()
    assert (shop.now(order).status, late(order).status, found()) == ("FAILED", "COMPENSATED", [])
    assert (shop.money(order)[-1], shop.levels("laptop")) == (("VOID", 1000), (1, 0))


@pytest.mark.parametrize("cancel_first", [True, False])
def test_a_buyer_who_cancels_while_the_late_money_is_looked_at(shop, bank_forgets_voids, settings, cancel_first):
    """Told that it is over, or that it will be: the order does not come back to life behind the buyer's back."""
    settings.RESERVATION_TTL_SECONDS = 0
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="")
    settings.RESERVATION_TTL_SECONDS = 900
    moves = [lambda: cancel(order), lambda: shop.paid_elsewhere(order)]
    answers = [move() for move in (moves if cancel_first else reversed(moves))]
    pending = next(answer.pending for answer in answers if answer)
    assert pending is not cancel_first
    shop.work()

    ended = shop.now(order)
    assert (ended.status, ended.failure_code) == ("CANCELLED", "reservation_expired")
    assert (late(order).status, shop.money(order)) == ("COMPENSATED", [HELD, ("VOID", 1000)])
    assert (shop.levels("laptop"), found()) == ((1, 0), [])
    assert not cancel(order).pending


@pytest.mark.core
def test_a_cancel_that_loses_against_the_revival_takes_the_order_back(shop, expired):
    """The buyer cancels while the order is being confirmed after all: the cancel waits, and finds it standing."""
    pay_late(shop, expired)
    for queue in ("payments", "orders", "inventory", "orders", "payments"):
        shop.work(queues=(queue,))
    assert late(expired).current_step == "confirm_order"
    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            Order.objects.select_for_update().get(pk=expired.id)
            confirming = pool.submit(aside, lambda: shop.work(queues=("orders",)))
            waiting_for_a_lock(1)
            cancelling = pool.submit(aside, lambda: cancel(expired))
            waiting_for_a_lock(2)
        confirming.result()
        assert cancelling.result().pending
    shop.work()

    order = shop.now(expired)
    assert (order.status, order.failure_code, order.refund_status) == ("CANCELLED", "cancelled_by_buyer", "REFUNDED")
    assert (shop.money(order), shop.levels("laptop"), found()) == (
        [HELD, ("CAPTURE", 1000), ("REFUND", 1000)],
        (1, 0),
        [],
    )


@pytest.mark.core
def test_a_bank_that_takes_the_money_back_just_when_the_order_is_revived_stops_the_order(shop, expired):
    """Its news waits for the confirmation, and finds an order that stands: that is reversed, as any other would be."""
    pay_late(shop, expired)
    for queue in ("payments", "orders", "inventory", "orders", "payments"):
        shop.work(queues=(queue,))
    assert late(expired).current_step == "confirm_order"
    shop.gateway.reverse(authorization_key(expired.saga_id))
    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            Order.objects.select_for_update().get(pk=expired.id)
            confirming = pool.submit(aside, lambda: shop.work(queues=("orders",)))
            waiting_for_a_lock(1)
            telling = pool.submit(aside, lambda: shop.bank_says(expired))
            waiting_for_a_lock(2)
        confirming.result()
        telling.result()
    shop.work()

    order = shop.now(expired)
    assert (order.status, order.failure_code, order.refund_status) == ("FAILED", "payment_reversed", "REVERSED")
    assert not SagaInstance.objects.filter(name="payment_case").exists()
    assert (shop.money(order)[-1], shop.levels("laptop"), found()) == (("REVERSE", 1000), (1, 0), [])


def test_a_revived_order_can_be_cancelled_like_any_other(shop, expired):
    pay_late(shop, expired)
    shop.work()
    assert cancel(expired).pending
    shop.work()

    assert shop.statuses(expired)[-4:] == ["FAILED", "PAID", "CONFIRMED", "CANCELLED"]
    assert selectors.saga_of(expired.id).status == "COMPLETED"
    assert (shop.money(expired)[-1], shop.levels("laptop"), found()) == (("REFUND", 1000), (1, 0), [])


def test_the_bank_takes_late_money_back_before_anybody_has_looked(shop, expired):
    answer_the_bank(expired.payment.action_url, "approve")
    key = authorization_key(expired.saga_id)
    shop.gateway.gateway().capture(key=f"{key}:by-bank", authorization_key=key, reference="", amount_minor=1000)
    shop.bank_says(expired)
    shop.gateway.reverse(key)
    shop.bank_says(expired)
    shop.work()

    order = shop.now(expired)
    assert (order.status, late(expired).status, shop.levels("laptop")) == ("FAILED", "COMPENSATED", (1, 0))
    assert (shop.money(order)[-1], found()) == (("REVERSE", 1000), [])


def test_money_that_can_not_be_given_back_is_left_to_a_person(shop, expired):
    shop.bought("laptop")
    pay_late(shop, expired)
    for queue in ("payments", "orders"):
        shop.work(queues=(queue,))
    runner.park(late(expired).id, ZeroDivisionError("a bug"))
    assert found() == []
    attention.compensate(late(expired).id, actor="ada", reason="Give it back.", now=database_now())
    shop.work()

    assert (shop.now(expired).status, shop.money(expired), found()) == ("FAILED", [HELD, ("VOID", 1000)], [])


def test_staff_can_not_give_back_what_the_order_may_yet_be_confirmed_with(shop, expired):
    order = expired
    pay_late(shop, order)
    for queue in ("payments", "orders", "inventory", "orders", "payments"):
        shop.work(queues=(queue,))
    assert (shop.now(order).status, shop.now(order).payment.status) == ("FAILED", "CAPTURED")
    asked = {"amount_minor": None, "reason": "It is over.", "actor": "ada", "key": "click-1", "now": database_now()}
    with pytest.raises(NotPlacedYet):
        services.refund(order.id, **asked)
    shop.work()
    assert (shop.now(order).status, shop.now(order).refund_status) == ("CONFIRMED", "")
