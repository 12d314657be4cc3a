"""What Stripe's buyer has been declined stays open there: the order that ends without it, or goes on, ends it too."""

from datetime import timedelta

import pytest
from django.db import transaction

from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.sagas.models import SagaInstance
from orders import services
from payments import news, observations, watch
from payments import services as cashier
from payments.gateways.base import ChargeStatus
from payments.gateways.stripe.client import from_settings
from payments.models import Attempt, Payment
from payments.selectors import ledger_discrepancies
from payments.tests.gateways.stripe import fake
from tests.shop import Shop, authorization_key

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stripe(settings):
    with fake.running() as server:
        settings.PAYMENT_GATEWAY, settings.PAYMENT_GATEWAYS_READY = "stripe", ["stripe"]
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = "sk_test_1", server.url
        settings.SAGA_RETRY_DELAY_SECONDS = 0.0
        settings.SAGA_BREAKER_FAILURES = 1000
        yield server


@pytest.fixture
def shop(stripe, db):
    shop = Shop(stripe)
    shop.stocked("laptop", 1)
    return shop


@pytest.fixture
def attempts():
    """How many attempts to pay an order is allowed."""
    return 1


@pytest.fixture
def refused(shop, stripe, settings, attempts):
    """An order whose buyer has failed at the bank's page: our books know it, and no saga has acted on it yet."""
    settings.PAYMENT_ATTEMPTS = attempts
    order = shop.bought("laptop", token=fake.SECURE)
    stripe.decide(authorization_key(order.saga_id), approve=False)
    bank_says(order)
    return order


def bank_says(order):
    payment = Payment.objects.filter(reference_id=order.id).latest("sequence")
    sighting, now = observations.sight(payment.id), database_now()
    with transaction.atomic():
        cashier.observe(sighting, event_id=f"evt_{payment.sequence}", occurred_at=now, now=now)
    news.pass_on(now=database_now(), payment_id=payment.id)


def look(shop, *, times=1):
    """The periodic task's looks, and what follows from them."""
    for _ in range(times):
        now = database_now() + timedelta(minutes=1)
        watch.look_due(now=now)
        news.pass_on(now=now)
        SagaInstance.objects.exclude(due_at=None).update(due_at=database_now())
        shop.work()


def intent(stripe, order, attempt=1):
    return stripe.intent_of(authorization_key(order.saga_id, attempt))


def charge(order, attempt=1):
    return from_settings().find(authorization_key=authorization_key(order.saga_id, attempt))


def books_are_right():
    charges = list(from_settings().list(since=database_now() - timedelta(hours=1)))
    return audit(ask_gateway=False).findings == [] and ledger_discrepancies(charges) == []


def voids(order):
    rows = Attempt.objects.filter(payment__reference_id=order.id, operation="VOID").order_by("id")
    return list(rows.values_list("idempotency_key", "outcome"))


@pytest.mark.core
def test_an_order_that_ends_declined_ends_its_intent(shop, stripe, refused):
    shop.work()
    order = shop.now(refused)
    assert (order.status, order.failure_code, order.payment.status) == ("FAILED", "payment_declined", "FAILED")
    assert intent(stripe, order)["status"] == "canceled"
    assert not stripe.try_another_card(authorization_key(order.saga_id))
    assert shop.story(order)[-2:] == ["-authorize_payment", "-reserve_inventory"]
    assert "PAYMENT_VOIDED" not in shop.events(order)  # nothing was held
    assert (shop.levels("laptop"), books_are_right()) == ((1, 0), True)


def test_an_order_whose_bank_says_no_to_what_its_buyer_has_confirmed_is_told_so_at_once(shop, stripe):
    order = shop.bought("laptop", token=fake.SECURE)
    stripe.turn_down(authorization_key(order.saga_id))
    bank_says(order)
    shop.work()
    order = shop.now(order)
    assert (order.status, order.failure_code, order.payment.status) == ("FAILED", "payment_declined", "FAILED")
    assert intent(stripe, order)["status"] == "canceled"
    assert (shop.levels("laptop"), books_are_right()) == ((1, 0), True)


def test_an_answer_that_is_lost_is_asked_for_again_by_the_same_key(shop, stripe, refused):
    stripe.lose_answers(1, of="/cancel")
    shop.work()
    key = f"{authorization_key(refused.saga_id)}:undo"
    assert voids(refused) == [(key, "UNKNOWN"), (key, "DONE")]
    assert (intent(stripe, refused)["status"], shop.now(refused).status) == ("canceled", "FAILED")


def test_what_the_buyer_has_completed_meanwhile_is_let_go(shop, stripe, refused):
    stripe.try_another_card(authorization_key(refused.saga_id))
    shop.work()
    assert (charge(refused).status, shop.now(refused).status) == (ChargeStatus.VOIDED, "FAILED")
    assert (shop.levels("laptop"), books_are_right()) == ((1, 0), True)


@pytest.mark.core
def test_money_that_was_even_taken_meanwhile_is_found_and_given_back_before_the_order_ends(shop, stripe, refused):
    stripe.try_another_card(authorization_key(refused.saga_id), captured=True)
    shop.work()
    assert shop.saga_status(refused) == "COMPENSATING"
    look(shop)
    order = shop.now(refused)
    assert (charge(order).status, order.payment.status) == (ChargeStatus.REFUNDED, "REFUNDED")
    assert (shop.saga_status(order), order.status, order.refund_status) == ("COMPENSATED", "FAILED", "REFUNDED")
    assert len(stripe.refunds) == 1
    assert (shop.levels("laptop"), books_are_right()) == ((1, 0), True)


@pytest.mark.parametrize("attempts", [2])
@pytest.mark.parametrize("captured", [False, True])
def test_what_is_given_up_for_another_card_is_ended_too_and_money_of_it_goes_back(shop, stripe, refused, captured):
    if captured:
        stripe.try_another_card(authorization_key(refused.saga_id), captured=True)
    shop.work()
    order = shop.now(refused)
    assert (order.status, order.payment_attempt) == ("RESERVED", 2)
    assert intent(stripe, order)["status"] == ("succeeded" if captured else "canceled")
    services.pay(order.id, method=fake.APPROVED, attempt=2, now=database_now())
    shop.work()
    look(shop, times=2)
    order = shop.now(refused)
    assert (order.status, order.refund_status) == ("CONFIRMED", "")
    assert charge(order).status is (ChargeStatus.REFUNDED if captured else ChargeStatus.DECLINED)
    assert charge(order, 2).status is ChargeStatus.CAPTURED
    assert books_are_right()


def test_what_the_bank_takes_back_is_none_of_it(shop, stripe):
    """Captured money that was lost to the bank is FAILED in our books, too: nothing is ended, nothing is refunded."""
    order = shop.bought("laptop", token=fake.APPROVED)
    stripe.dispute(authorization_key(order.saga_id), status="lost")
    bank_says(order)
    shop.work()
    assert (shop.now(order).status, shop.now(order).payment.status) == ("FAILED", "FAILED")
    assert (voids(order), stripe.refunds) == ([], {})
