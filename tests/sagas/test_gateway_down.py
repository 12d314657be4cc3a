"""The bank is really down: orders stand by, spend nothing, and go on once it is back; nobody is charged twice."""

from datetime import timedelta

import pytest

from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.sagas import tasks
from marketplace.sagas.models import Circuit, SagaHistory, SagaInstance
from orders import services
from payments.models import Attempt

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _patience(shop, settings):
    """Nobody asks a bank that is down again before the test says so (`ask_again`)."""
    settings.SAGA_BREAKER_FAILURES = 5
    settings.SAGA_BREAKER_PAUSE_SECONDS = settings.SAGA_BREAKER_LONGEST_SECONDS = 600.0
    settings.SAGA_RESUME_RATE = 50.0


def spent():
    return {row.attempt - row.forgiven for row in SagaInstance.objects.all()}


def breaker():
    return Circuit.objects.get(pk="sandbox")


def make_due(**which):
    SagaInstance.objects.filter(due_at__isnull=False, **which).update(due_at=database_now())


def ask_again():
    """The pause is over: one may ask."""
    Circuit.objects.update(probe_at=database_now())


def come_back(shop, *, within=100.0):
    """Start the bank, and let one ask; sweep as beat does, until nobody stands by any more."""
    shop.gateway.restart()
    ask_again()
    end = database_now() + timedelta(seconds=within)
    while SagaInstance.objects.exclude(standby="").exists():
        assert database_now() < end
        tasks.sweep()
        shop.work()


def test_a_hundred_orders_stand_by_spend_nothing_and_are_all_confirmed_later(shop):
    shop.stocked("laptop", 200)
    shop.gateway.kill()
    orders = [shop.order("laptop") for _ in range(100)]
    shop.work()
    make_due()  # those who met with nobody, too, find it open now
    shop.work()

    assert breaker().state == "OPEN"
    rows = SagaInstance.objects.all()
    assert {row.status for row in rows} == {"IN_PROGRESS"}
    assert {row.standby for row in rows} == {"circuit:sandbox"}
    assert spent() == {0}
    before = Attempt.objects.count()
    late = [shop.order("laptop") for _ in range(20)]
    shop.work()
    assert Attempt.objects.count() == before  # nothing is even written down while it is open
    assert shop.levels("laptop") == (80, 120)
    assert audit(ask_gateway=False).findings == []

    began = database_now()
    come_back(shop)
    assert (database_now() - began).total_seconds() > 119 / 50 - 0.5  # and not all at once

    assert breaker().state == "CLOSED"
    for order in map(shop.now, [*orders, *late]):
        assert order.status == "CONFIRMED"
        assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]
    assert shop.levels("laptop") == (80, 0)
    assert not SagaHistory.objects.filter(status__in=["RETRY", "UNKNOWN", "PARKED"]).exists()
    assert audit(ask_gateway=False).findings == []


def test_one_order_asks_for_all_while_the_bank_is_down(shop):
    shop.stocked("laptop", 50)
    shop.gateway.kill()
    orders = [shop.order("laptop") for _ in range(30)]
    shop.work()
    assert breaker().state == "OPEN"
    before = Attempt.objects.exclude(outcome="").count()
    for probes in (1, 2, 3):
        ask_again()
        make_due()
        shop.work()
        assert Attempt.objects.exclude(outcome="").count() == before + probes
    assert spent() == {0}
    assert {shop.now(order).status for order in orders} <= {"RESERVED", "PAYMENT_PENDING"}


def test_an_undo_stands_by_and_the_money_is_let_go_when_the_bank_is_back(shop):
    shop.stocked("laptop", 3)
    order = shop.order("laptop", token="tok_fraud")
    for queue in ("inventory", "orders", "payments"):
        shop.work(queues=(queue,))
    assert shop.money(order) == [("AUTHORIZE", 1000)]
    shop.gateway.kill()
    shop.work()
    for _ in range(12):  # more often than the undo's policy has attempts
        make_due()
        ask_again()
        shop.work()
    row = SagaInstance.objects.get()
    assert (row.status, row.standby, row.current_step) == ("COMPENSATING", "circuit:sandbox", "authorize_payment")
    assert row.attempt - row.forgiven == 0
    assert shop.levels("laptop") == (2, 1)

    come_back(shop)

    assert (shop.now(order).failure_code, shop.saga_status(order)) == ("fraud_rejected", "COMPENSATED")
    assert shop.money(order) == [("AUTHORIZE", 1000), ("VOID", 1000)]
    assert shop.levels("laptop") == (3, 0)


def test_a_buyer_may_cancel_while_the_order_stands_by(shop, settings):
    """Nothing was asked for, so nothing has to be asked back: it is over at once, bank or no bank."""
    settings.SAGA_BREAKER_FAILURES = 1
    shop.stocked("laptop", 3)
    shop.gateway.kill()
    first = shop.order("laptop")
    shop.work()
    second = shop.order("laptop")
    shop.work()
    for order in (first, second):
        services.cancel(order.id, actor="user-1", now=database_now())
    shop.work()

    assert (shop.saga_status(second), shop.now(second).status) == ("COMPENSATED", "CANCELLED")
    # The first one's call went out, and whether it arrived is for the bank to say.
    assert (shop.saga_status(first), SagaInstance.objects.get(pk=first.saga_id).standby) == (
        "COMPENSATING", "circuit:sandbox",
    )  # fmt: skip
    come_back(shop)
    assert shop.now(first).status == "CANCELLED"
    assert shop.money(first) == shop.money(second) == []
    assert shop.levels("laptop") == (3, 0)


def test_a_wrong_key_of_ours_fails_no_order(shop, settings):
    right, settings.SANDBOX_API_KEY = settings.SANDBOX_API_KEY, "sk_wrong"
    shop.stocked("laptop", 20)
    orders = [shop.order("laptop") for _ in range(8)]
    shop.work()
    make_due()
    shop.work()
    assert (breaker().state, spent()) == ("OPEN", {0})
    settings.SANDBOX_API_KEY = right
    come_back(shop)
    assert {shop.now(order).status for order in orders} == {"CONFIRMED"}


def test_an_answer_that_was_lost_before_the_outage_is_found_after_it(shop, settings):
    """The charge happened, its answer was lost, then the bank went down: the same key finds it."""
    settings.SAGA_BREAKER_FAILURES = 1
    settings.SAGA_RETRY_DELAY_SECONDS = 60.0
    shop.stocked("laptop", 3)
    order = shop.order("laptop", token="tok_timeout")
    shop.work()
    row = SagaInstance.objects.get()
    assert row.attempt - row.forgiven == 1
    assert breaker().state == "OPEN"  # a time-out counts
    shop.gateway.kill()
    ask_again()
    make_due()
    shop.work()
    row.refresh_from_db()
    assert (row.standby, row.attempt - row.forgiven) == ("circuit:sandbox", 1)
    come_back(shop)
    assert shop.now(order).status == "CONFIRMED"
    assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]
