"""A gateway remembers a key for a day. After that a payment's call is looked for, and never sent again."""

from datetime import timedelta

import pytest

from marketplace.kernel.clock import database_now
from marketplace.sagas import attention
from marketplace.sagas.models import SagaHistory, SagaInstance
from orders import services
from orders.sagas import money
from payments.gateways.base import Outcome, Reply

pytestmark = pytest.mark.django_db(transaction=True)

LOST = Reply(Outcome.UNKNOWN, message="The answer is lost.")


@pytest.fixture
def asked(monkeypatch, settings):
    """What was sent and what was probed, in order. Pauses are as long as can be, so that nothing is retried yet."""
    log = []
    send, probe = money.payments.send, money.payments.probe
    monkeypatch.setattr(money.payments, "send", lambda call: log.append(f"send {call.operation}") or send(call))
    monkeypatch.setattr(money.payments, "probe", lambda call: log.append(f"probe {call.operation}") or probe(call))
    monkeypatch.setattr("marketplace.sagas.nodes.random.uniform", lambda least, most: most)
    settings.SAGA_RETRY_DELAY_SECONDS = 100.0
    return log


def let_pass(saga_id, time):
    """Put all that has happened to the saga back by `time`; it is due."""
    for entry in SagaHistory.objects.filter(saga_id=saga_id):
        SagaHistory.objects.filter(pk=entry.pk).update(started_at=entry.started_at - time)
    if SagaInstance.objects.get(pk=saga_id).due_at:
        SagaInstance.objects.filter(pk=saga_id).update(due_at=database_now())


@pytest.mark.core
def test_an_authorization_of_the_day_before_is_found_and_not_made_again(shop, asked):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_timeout")
    assert order.status == "PAYMENT_PENDING"

    let_pass(order.saga_id, timedelta(hours=25))
    shop.work()

    assert shop.now(order).status == "CONFIRMED"
    assert asked == ["send AUTHORIZE", "probe AUTHORIZE", "send CAPTURE"]
    assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]


def test_one_that_never_arrived_is_not_made_a_day_later(shop, asked, monkeypatch):
    shop.stocked("laptop", 1)
    with monkeypatch.context() as patch:
        patch.setattr(money.payments, "send", lambda call: LOST)
        order = shop.bought("laptop")

    let_pass(order.saga_id, timedelta(hours=25))
    shop.work()

    order = shop.now(order)
    assert (order.status, order.failure_code) == ("FAILED", "payment_declined")
    assert asked == ["probe AUTHORIZE"]
    assert shop.money(order) == []
    assert shop.levels("laptop") == (1, 0)


def test_within_the_day_the_same_key_is_sent_again(shop, asked):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_timeout")
    let_pass(order.saga_id, timedelta(hours=23))
    shop.work()
    assert asked == ["send AUTHORIZE", "send AUTHORIZE", "send CAPTURE"]
    assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]


def test_a_refund_that_a_person_retries_days_later_is_not_given_twice(shop, asked, monkeypatch, settings):
    """The first one was made and its answer lost; the gateway has long forgotten the key."""
    settings.SAGA_RETRY_DELAY_SECONDS = 0.0
    shop.stocked("laptop", 1)
    order = shop.bought("laptop")
    services.cancel(order.id, actor="user-1", now=database_now())
    send = money.payments.send
    with monkeypatch.context() as patch:
        patch.setattr(money.payments, "send", lambda call: send(call) and LOST)
        shop.work()
    reversal = SagaInstance.objects.get(name="reverse_order")
    assert reversal.status == "IN_PROGRESS"
    asked.clear()

    let_pass(reversal.pk, timedelta(days=3))
    SagaInstance.objects.filter(pk=reversal.pk).update(deadline_at=database_now())
    shop.work()
    assert SagaInstance.objects.get(pk=reversal.pk).status == "NEEDS_ATTENTION"
    attention.retry(reversal.pk, actor="ada", reason="They answer again.", now=database_now())
    shop.work()

    assert shop.now(order).status == "CANCELLED"
    assert asked == ["send REFUND"]  # by the same key, under which the gateway's own list has it
    assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000), ("REFUND", 1000)]
