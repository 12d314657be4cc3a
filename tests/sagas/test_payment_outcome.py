"""A bank that answers later: its word is waited for, used whenever it comes, and asked for when it doesn't."""

from datetime import timedelta

import pytest
from django.db import transaction

from inventory.models import Reservation
from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.sagas import rows, tasks
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.stepping import Pass
from orders import placing, services
from orders.api.serializers import as_json
from orders.sagas.place_order_2 import PlaceOrder2
from payments.models import Attempt
from payments.testing import answer_the_bank
from tests.sagas.test_place_order import HAPPY
from tests.shop import QUEUES

pytestmark = pytest.mark.django_db(transaction=True)

SOLD = [("AUTHORIZE", 1000), ("CAPTURE", 1000)]
STARTED = HAPPY[:3]
FINISHED = HAPPY[3:]


@pytest.fixture
def pending(shop):
    """An order of the one unit that there was, which its buyer has to confirm at the bank."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_requires_action")
    assert (order.status, order.payment.status) == ("PAYMENT_PENDING", "PENDING")
    return order


def answer(order, decision="approve"):
    """The buyer presses a button on the bank's page."""
    answer_the_bank(order.payment.action_url, decision)


def row(order):
    return SagaInstance.objects.get(pk=order.saga_id)


def let_the_time_pass(order):
    past = database_now() - timedelta(seconds=1)
    SagaInstance.objects.filter(pk=order.saga_id).update(wait_until=past, due_at=past)


def asked():
    """How often a gateway was asked for an authorization."""
    return Attempt.objects.filter(operation="AUTHORIZE").count()


def found():
    return [str(finding) for finding in audit(ask_gateway=False).findings]


def take_off(order):
    """The authorization's intent is committed, and the call is about to be made."""
    with transaction.atomic():
        runs, now = rows.claim(QUEUES, 10)
        taken = Pass(now=now, queues=frozenset(QUEUES))
        taken.claimed(runs)
        taken.write()
    (flight,) = taken.flights
    assert flight.run.ticket.id == order.saga_id
    return flight


def land(flight, reply):
    """The worker that made the call writes down its answer, and leaves the next call to others."""
    with transaction.atomic():
        runs, now = rows.hold([flight.run.ticket.id], [flight.run.fence])
        landed = Pass(now=now, queues=frozenset({"orders"}))
        landed.answered(runs, {flight.run.ticket.id: reply})
        landed.write()


@pytest.mark.core
def test_the_buyer_is_sent_to_the_bank_and_the_order_waits(shop, pending, settings):
    assert shop.story(pending) == [*STARTED, "payment_outcome:WAITING"]
    assert pending.payment.action_url.startswith("http")
    assert as_json(pending)["links"]["payment"] == pending.payment.action_url
    assert as_json(pending)["payment"]["status"] == "PENDING"
    due = row(pending).wait_until
    assert (
        timedelta(0)
        <= database_now() + timedelta(seconds=settings.PAYMENT_OUTCOME_SECONDS) - due
        < timedelta(minutes=1)
    )
    hold = Reservation.objects.get(owner_id=pending.id)
    assert hold.expires_at == pending.reserved_until > due + timedelta(seconds=settings.SAGA_TIMEOUT_SECONDS)
    assert (shop.money(pending), shop.levels("laptop"), found()) == ([], (0, 1), [])


@pytest.mark.core
def test_what_the_buyer_confirms_is_confirmed(shop, pending):
    answer(pending)
    shop.bank_says(pending)
    shop.work()

    order = shop.now(pending)
    assert (order.status, order.payment.status) == ("CONFIRMED", "CAPTURED")
    assert "payment" not in as_json(order)["links"]
    assert shop.story(order) == [*STARTED, "payment_outcome", *FINISHED]
    assert (shop.money(order), shop.levels("laptop"), asked(), found()) == (SOLD, (0, 0), 1, [])


def test_what_the_buyer_declines_is_not(shop, pending):
    answer(pending, "decline")
    shop.bank_says(pending)
    shop.work()

    order = shop.now(pending)
    assert (order.status, order.failure_code) == ("FAILED", "payment_declined")
    assert order.failure_message == "Payment failed. The payment was not confirmed at the bank. No money was taken."
    assert shop.story(order)[3:] == ["payment_outcome:REFUSED", "-authorize_payment", "-reserve_inventory"]
    assert (shop.money(order), shop.levels("laptop"), found()) == ([], (1, 0), [])


@pytest.mark.parametrize(("token", "end"), [("tok_delayed_success", "CONFIRMED"), ("tok_delayed_decline", "FAILED")])
def test_a_bank_that_decides_by_itself(shop, token, end):
    shop.gateway.restart(SANDBOX_DECISION_SECONDS="0")
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token=token)
    assert order.status in ("PAYMENT_PENDING", end)
    while shop.gateway.charge(f"{order.saga_id}:authorize_payment").status == "PENDING":
        pass
    shop.bank_says(order)
    shop.work()

    order = shop.now(order)
    assert (order.status, order.payment.action_url) == (end, "")
    assert shop.levels("laptop") == ((0, 0) if end == "CONFIRMED" else (1, 0))
    assert found() == []


@pytest.mark.core
@pytest.mark.parametrize("webhook_first", [True, False])
def test_the_webhook_and_the_calls_own_reply(shop, webhook_first):
    """Whichever is written down first: the bank's yes is used once, and nobody asks again."""
    shop.stocked("laptop", 1)
    order = shop.order("laptop", token="tok_requires_action")
    flight = take_off(order)
    reply = flight.send()
    answer_the_bank(reply[1].action_url, "approve")
    moves = [lambda: shop.bank_says(order), lambda: land(flight, reply)]
    for move in moves if webhook_first else reversed(moves):
        move()
    shop.work()

    assert shop.now(order).status == "CONFIRMED"
    waited = [] if webhook_first else ["payment_outcome"]
    assert shop.story(order) == [*STARTED, *waited, *FINISHED]
    assert (shop.money(order), asked(), shop.events(order).count("ORDER_PAID"), found()) == (SOLD, 1, 1, [])


def test_a_webhook_in_the_place_of_an_answer_that_never_comes(shop):
    """The worker dies with the reply; the bank's word is in the books by then, so nobody asks it again."""
    shop.stocked("laptop", 1)
    order = shop.order("laptop", token="tok_requires_action")
    reply = take_off(order).send()
    answer_the_bank(reply[1].action_url, "approve")
    shop.bank_says(order)
    SagaInstance.objects.filter(pk=order.saga_id).update(due_at=database_now() - timedelta(seconds=1))
    shop.work()

    assert shop.now(order).status == "CONFIRMED"
    assert shop.story(order) == [*HAPPY[:2], "authorize_payment:UNKNOWN", *HAPPY[2:]]
    assert (shop.money(order), asked(), found()) == (SOLD, 1, [])


def test_a_decline_by_webhook_in_the_place_of_an_answer(shop):
    shop.stocked("laptop", 1)
    order = shop.order("laptop", token="tok_requires_action")
    reply = take_off(order).send()
    answer_the_bank(reply[1].action_url, "decline")
    shop.bank_says(order)
    SagaInstance.objects.filter(pk=order.saga_id).update(due_at=database_now() - timedelta(seconds=1))
    shop.work()

    assert (shop.now(order).status, shop.now(order).failure_code) == ("FAILED", "payment_declined")
    assert (shop.money(order), shop.levels("laptop"), found()) == ([], (1, 0), [])


@pytest.mark.core
def test_a_webhook_that_is_lost_is_made_up_for_by_a_look_at_the_deadline(shop, pending):
    answer(pending)  # and nobody tells us
    let_the_time_pass(pending)
    shop.work()

    assert shop.now(pending).status == "CONFIRMED"
    assert shop.story(pending) == [*STARTED, "payment_outcome:EXPIRED", "look_up_payment", *FINISHED]
    assert (shop.money(pending), asked(), found()) == (SOLD, 1, [])


@pytest.mark.core
def test_what_nobody_confirms_in_time_is_let_go(shop, pending):
    let_the_time_pass(pending)
    shop.work()

    order = shop.now(pending)
    assert (order.status, order.failure_code, order.payment.status) == ("FAILED", "payment_timeout", "VOIDED")
    assert order.failure_message == "Payment failed. The payment was not confirmed in time. No money was taken."
    assert shop.story(order)[3:] == [
        "payment_outcome:EXPIRED", "look_up_payment:REFUSED", "-authorize_payment", "-reserve_inventory",
    ]  # fmt: skip
    assert (shop.levels("laptop"), found()) == ((1, 0), [])

    answer(pending)  # too late: the bank won't have it any more
    assert shop.gateway.charge(f"{order.saga_id}:authorize_payment").status == "VOIDED"


def test_a_bank_that_is_down_at_the_deadline_is_asked_once_it_is_back(shop, pending, settings):
    """Nobody may guess: neither that it said yes nor that it didn't. The order stands by, with its units."""
    settings.SAGA_BREAKER_PAUSE_SECONDS = settings.SAGA_BREAKER_LONGEST_SECONDS = 0.2
    answer(pending)
    let_the_time_pass(pending)
    shop.gateway.kill()
    shop.work()

    assert (row(pending).current_step, row(pending).standby) == ("look_up_payment", "circuit:sandbox")
    assert (shop.now(pending).status, shop.levels("laptop"), found()) == ("PAYMENT_PENDING", (0, 1), [])

    shop.gateway.restart()
    end = database_now() + timedelta(seconds=60)
    while row(pending).status != "COMPLETED":
        assert database_now() < end
        tasks.sweep()
        shop.work()
    assert (shop.now(pending).status, shop.money(pending), found()) == ("CONFIRMED", SOLD, [])


@pytest.mark.parametrize("outcome_first", [True, False])
def test_the_outcome_and_the_deadline(shop, pending, outcome_first):
    """Before the deadline the word counts, whenever it is looked at; after it, the bank is asked, and says the same."""
    answer(pending)
    if outcome_first:
        shop.bank_says(pending)
    let_the_time_pass(pending)
    if outcome_first:
        SagaInstance.objects.filter(pk=pending.saga_id).update(wait_until=database_now())
    else:
        shop.bank_says(pending)
    shop.work()

    assert shop.now(pending).status == "CONFIRMED"
    assert ("payment_outcome" if outcome_first else "payment_outcome:EXPIRED") in shop.story(pending)
    assert (shop.money(pending), found()) == (SOLD, [])


@pytest.mark.core
@pytest.mark.parametrize("cancel_first", [True, False])
def test_a_cancel_and_the_outcome(shop, pending, cancel_first):
    """Before anybody has looked, the buyer is let out, whichever came first: nothing is taken yet."""
    moves = [
        lambda: services.cancel(pending.id, actor="user-1", now=database_now()),
        lambda: (answer(pending), shop.bank_says(pending)),
    ]
    for move in moves if cancel_first else reversed(moves):
        move()
    shop.work()

    order = shop.now(pending)
    assert (order.status, order.failure_code) == ("CANCELLED", "cancelled_by_buyer")
    assert shop.money(order) == [("AUTHORIZE", 1000), ("VOID", 1000)]
    assert (shop.levels("laptop"), found()) == ((1, 0), [])


def test_an_order_of_the_version_before_goes_on_as_it_began(shop, monkeypatch, settings):
    settings.PAYMENT_ATTEMPTS = 3
    shop.stocked("laptop", 2)
    monkeypatch.setattr(placing, "PlaceOrder", PlaceOrder2)
    order = shop.bought("laptop")
    assert (order.status, row(order).version, shop.story(order)) == ("CONFIRMED", 2, HAPPY)

    poor = shop.bought("laptop", token="tok_declined")
    assert (poor.status, poor.failure_code) == ("FAILED", "payment_declined")
    assert (shop.money(poor), shop.levels("laptop"), found()) == ([], (1, 0), [])

    suspicious = shop.bought("laptop", token="tok_review")
    assert (suspicious.status, suspicious.failure_code, suspicious.review_status) == ("FAILED", "fraud_rejected", "")
    assert (shop.money(suspicious), shop.levels("laptop"), found()) == (
        [("AUTHORIZE", 1000), ("VOID", 1000)], (1, 0), [],
    )  # fmt: skip
