"""A reversal gets stuck half-way: what is done stays done, what remains is said, and a person lets it go on."""

from datetime import timedelta

import pytest
from django.db import transaction

from inventory import services as inventory
from inventory.models import LedgerEntry
from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.sagas import attention, rows
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.stepping import Pass
from marketplace.sagas.testing import let_pass
from orders import services
from orders.models import Order
from orders.sagas import stock
from payments import services as payments
from payments.gateways.base import Outcome, Reply
from payments.models import Refund
from tests.shop import QUEUES

pytestmark = pytest.mark.django_db(transaction=True)

SOLD = [("AUTHORIZE", 1000), ("CAPTURE", 1000)]
BACK = [*SOLD, ("REFUND", 1000)]


@pytest.fixture
def sold(shop):
    """A confirmed order of the one unit that there was."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop")
    assert order.status == "CONFIRMED"
    return order


def cancel(order):
    return services.cancel(order.id, actor="user-1", now=database_now())


def reversal(order):
    return SagaInstance.objects.get(subject_id=order.id, name="reverse_order")


def decide(how, order):
    return how(reversal(order).id, actor="ada", reason="The bank was called.", now=database_now())


def found():
    return [str(finding) for finding in audit(ask_gateway=False).findings]


def restocked(sku):
    return LedgerEntry.objects.filter(sku=sku, kind="RESTOCK").count()


def refuses(monkeypatch, message="Insufficient funds in the merchant's account."):
    """From now on the bank refuses every refund; answer how to let it do them again."""
    really = payments.send

    def send(call):
        if call.operation == "REFUND":
            return Reply(Outcome.REFUSED, code="refund_refused", message=message)
        return really(call)

    monkeypatch.setattr(payments, "send", send)
    return lambda: monkeypatch.setattr(payments, "send", really)


def breaks(monkeypatch):
    """From now on the vault can't restock; answer how to mend it."""
    really = inventory.restock

    def restock(*args, **kwargs):
        really(*args, **kwargs)
        raise ZeroDivisionError("a bug after the units were moved")

    monkeypatch.setattr(stock.inventory, "restock", restock)
    return lambda: monkeypatch.setattr(stock.inventory, "restock", really)


def test_a_refused_refund_is_left_to_a_person_and_asked_for_anew(shop, sold, monkeypatch):
    relents = refuses(monkeypatch)
    cancel(sold)
    shop.work()

    row, order = reversal(sold), shop.now(sold)
    assert (row.status, row.current_step) == ("NEEDS_ATTENTION", "refund_payment")
    assert "Insufficient funds" in row.attention
    assert row.attention.endswith(
        "Done: shipment_stopped. Still to be done: refund_payment, restock_inventory, close_order."
    )
    assert (order.status, order.refund_status) == ("CONFIRMED", "REFUSED")
    assert (shop.money(sold), shop.levels("laptop"), found()) == (SOLD, (0, 0), [])
    assert shop.notes(sold) == [
        "user-1: Wants to cancel: the money goes back first, then the units.",
        "saga: The payment provider refuses to send the money back: Insufficient funds in the merchant's account.",
    ]

    decide(attention.retry, sold)
    shop.work()
    assert reversal(sold).status == "NEEDS_ATTENTION"  # a person may be told no as often as they ask
    relents()
    decide(attention.retry, sold)
    shop.work()

    order = shop.now(sold)
    assert (order.status, order.refund_status, reversal(sold).status) == ("CANCELLED", "REFUNDED", "COMPLETED")
    assert shop.notes(sold)[-1] == "saga: 10.00 EUR sent back to the buyer."
    assert (shop.money(sold), shop.levels("laptop"), found()) == (BACK, (1, 0), [])
    tries = list(Refund.objects.order_by("id").values_list("status", "idempotency_key"))
    key = f"{reversal(sold).id}:refund_payment"
    assert tries == [("FAILED", key), ("FAILED", f"{key}:2"), ("DONE", f"{key}:3")]


def test_a_new_key_after_a_refusal_is_kept_until_somebody_knows(shop, sold, monkeypatch, lossy_proxy, settings):
    """Refused, then done with the answer lost: asked for again under the key of the second try, so paid once."""
    relents = refuses(monkeypatch)
    cancel(sold)
    shop.work()
    relents()
    settings.SANDBOX_GATEWAY_URL = lossy_proxy.url
    lossy_proxy.lose_answers(2)

    decide(attention.retry, sold)
    shop.work()

    assert shop.now(sold).refund_status == "REFUNDED"
    assert shop.money(sold) == BACK
    assert sorted(Refund.objects.values_list("status", flat=True)) == ["DONE", "FAILED"]


def test_a_refund_that_is_unknown_for_long_is_asked_for_again_and_paid_once(shop, sold, lossy_proxy, settings):
    """The bank gives the money back at once, and every answer is lost: nobody here may say more than is known."""
    settings.SANDBOX_GATEWAY_URL = lossy_proxy.url
    lossy_proxy.lose_answers(8)
    cancel(sold)
    shop.work()

    order = shop.now(sold)
    assert (reversal(sold).status, reversal(sold).attempt) == ("IN_PROGRESS", 8)
    assert (order.status, order.refund_status) == ("CONFIRMED", "PENDING")
    assert (shop.money(sold), shop.levels("laptop"), found()) == (BACK, (0, 0), [])

    let_pass(reversal(sold).pk, timedelta(hours=1))
    shop.work()

    assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CANCELLED", "REFUNDED")
    assert (shop.money(sold), shop.levels("laptop"), found()) == (BACK, (1, 0), [])


def test_a_worker_that_dies_with_the_banks_answer_in_hand(shop, sold):
    """The refund happened and nobody wrote it down: the next worker asks with the same key, and only then restocks."""
    cancel(sold)
    shop.work(queues=("fulfillment",))
    with transaction.atomic():
        runs, now = rows.claim(QUEUES, 10)
        taken = Pass(now=now, queues=frozenset(QUEUES))
        taken.claimed(runs)
        taken.write()
    (flight,) = taken.flights
    flight.send()  # and that was the last that this worker did
    assert shop.money(sold) == BACK
    assert (shop.now(sold).refund_status, shop.levels("laptop")) == ("PENDING", (0, 0))

    SagaInstance.objects.filter(pk=reversal(sold).pk).update(due_at=database_now() - timedelta(seconds=1))
    shop.work()

    assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CANCELLED", "REFUNDED")
    assert shop.story(sold)[-4:-2] == ["refund_payment:UNKNOWN", "refund_payment"]
    assert (shop.money(sold), shop.levels("laptop"), restocked("laptop")) == (BACK, (1, 0), 1)


def test_a_worker_that_dies_between_the_money_and_the_units(shop, sold):
    cancel(sold)
    shop.work(queues=("fulfillment",))
    shop.work(queues=("payments",))  # its last act was to write down the refund
    assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CONFIRMED", "REFUNDED")
    assert (reversal(sold).current_step, shop.levels("laptop"), found()) == ("restock_inventory", (0, 0), [])
    assert cancel(sold).pending

    shop.work()

    assert shop.now(sold).status == "CANCELLED"
    assert (shop.money(sold), shop.levels("laptop"), restocked("laptop")) == (BACK, (1, 0), 1)


def test_a_restock_that_fails_loses_neither_the_refund_nor_the_record_of_it(shop, sold, monkeypatch):
    """What the bank has answered is on record although the step after it raised in the same breath."""
    mended = breaks(monkeypatch)
    cancel(sold)
    shop.work()

    row, order = reversal(sold), shop.now(sold)
    assert (row.status, row.current_step) == ("NEEDS_ATTENTION", "restock_inventory")
    assert row.attention == (
        "ZeroDivisionError: a bug after the units were moved. Done: shipment_stopped, refund_payment. "
        "Still to be done: restock_inventory, close_order."
    )
    assert (order.status, order.refund_status, order.payment.status) == ("CONFIRMED", "REFUNDED", "REFUNDED")
    assert shop.notes(sold)[-1] == "saga: 10.00 EUR sent back to the buyer."
    assert (shop.money(sold), shop.levels("laptop"), restocked("laptop"), found()) == (BACK, (0, 0), 0, [])

    decide(attention.retry, sold)
    shop.work()
    assert (reversal(sold).status, restocked("laptop")) == ("NEEDS_ATTENTION", 0)
    mended()
    decide(attention.retry, sold)
    shop.work()

    assert (shop.now(sold).status, reversal(sold).status) == ("CANCELLED", "COMPLETED")
    assert (shop.money(sold), shop.levels("laptop"), restocked("laptop"), found()) == (BACK, (1, 0), 1, [])


@pytest.mark.parametrize("cancel_first", [True, False])
def test_a_cancel_while_a_reversal_is_parked_changes_nothing(shop, sold, monkeypatch, cancel_first):
    """A person's retry and the buyer's second cancel, in both orders: one reversal, one refund."""
    relents = refuses(monkeypatch)
    cancel(sold)
    shop.work()
    relents()

    moves = [lambda: cancel(sold), lambda: decide(attention.retry, sold)]
    for move in moves if cancel_first else reversed(moves):
        move()
    shop.work()

    assert SagaInstance.objects.filter(subject_id=sold.id, name="reverse_order").count() == 1
    assert (shop.now(sold).status, shop.money(sold), shop.levels("laptop")) == ("CANCELLED", BACK, (1, 0))
    assert not cancel(sold).pending


def test_a_refund_declared_as_done_by_hand_closes_nothing_that_the_books_deny(shop, sold, monkeypatch):
    """Otherwise the order would be over, and the money by our own books still here."""
    relents = refuses(monkeypatch)
    cancel(sold)
    shop.work()

    decide(attention.resolve, sold)
    shop.work()

    assert (reversal(sold).status, reversal(sold).current_step) == ("NEEDS_ATTENTION", "close_order")
    assert "not given back" in reversal(sold).attention
    assert (shop.now(sold).status, shop.levels("laptop")) == ("CONFIRMED", (1, 0))
    assert (shop.money(sold), found()) == (SOLD, [])
    relents()


def test_a_capture_whose_refund_is_refused_on_the_way_back_is_given_back_later(shop, monkeypatch):
    """The same in place_order: cancelled after the capture, and the bank will not refund at first."""
    shop.stocked("laptop", 1)
    order = shop.order("laptop")
    for queue in ("inventory", "orders", "payments", "orders", "payments"):
        shop.work(queues=(queue,))
    relents = refuses(monkeypatch)
    cancel(order)
    shop.work()

    assert (shop.saga_status(order), shop.now(order).refund_status) == ("NEEDS_ATTENTION", "REFUSED")
    assert (shop.money(order), shop.levels("laptop"), found()) == (SOLD, (0, 1), [])
    relents()
    attention.retry(order.saga_id, actor="ada", reason="The bank was called.", now=database_now())
    shop.work()

    assert (shop.now(order).status, shop.now(order).refund_status) == ("CANCELLED", "REFUNDED")
    assert (shop.money(order), shop.levels("laptop"), found()) == (BACK, (1, 0), [])
    assert Order.objects.get(pk=order.id).timeline.filter(why__startswith="The payment provider refuses").count() == 1
