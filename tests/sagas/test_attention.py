"""A person decides about a real order: whatever they choose, units and money end where the books say."""

from datetime import timedelta

import pytest

from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.sagas import attention, runner
from marketplace.sagas.services import signal
from marketplace.sagas.testing import let_pass
from payments.testing import lossy_proxy  # noqa: F401
from tests.shop import authorization_key

pytestmark = pytest.mark.django_db(transaction=True)


def decide(how, order):
    return how(order.saga_id, actor="ada", reason="Nobody else would.", now=database_now())


def findings(order):
    """What the auditor has to say; the gateway also knows charges of other tests, which are not meant."""
    ours = [str(finding) for finding in audit(ask_gateway=False).findings]
    compared = [str(finding) for finding in audit(ask_gateway=True).findings]
    return ours + [one for one in compared if str(order.saga_id) in one]


def authorized(shop, *, token="tok_visa"):
    """An order whose payment is authorized, and that now waits for the fraud check."""
    shop.stocked("laptop", 3)
    order = shop.order("laptop", token=token)
    for queue in ("inventory", "orders", "payments"):
        shop.work(queues=(queue,))
    assert shop.money(order) == [("AUTHORIZE", 1000)]
    return order


def parked(order):
    runner.park(order.saga_id, ZeroDivisionError("a bug"))
    return order


def test_an_undo_that_the_bank_did_not_answer_is_retried_once_it_does(shop, lossy_proxy, settings):  # noqa: F811
    order = authorized(shop, token="tok_fraud")
    bank = settings.SANDBOX_GATEWAY_URL
    settings.SANDBOX_GATEWAY_URL = lossy_proxy.url
    lossy_proxy.lose_answers(1000)
    shop.work()
    assert shop.saga_status(order) == "COMPENSATING"
    let_pass(order.saga_id, timedelta(days=1))
    shop.work()
    assert shop.saga_status(order) == "NEEDS_ATTENTION"
    assert shop.levels("laptop") == (2, 1)
    settings.SANDBOX_GATEWAY_URL = bank
    decide(attention.ignore, order)
    ours = [str(finding) for finding in audit(ask_gateway=False).findings]
    assert ours == []  # the bank has let go of it, and we don't know yet

    decide(attention.retry, order)
    shop.work()

    assert (shop.now(order).failure_code, shop.saga_status(order)) == ("fraud_rejected", "COMPENSATED")
    assert shop.money(order) == [("AUTHORIZE", 1000), ("VOID", 1000)]
    assert shop.levels("laptop") == (3, 0)
    assert findings(order) == []


def test_a_parked_order_is_undone_and_its_buyer_is_told_nothing_of_the_reason(shop):
    order = parked(authorized(shop))

    decide(attention.compensate, order)
    shop.work()

    view = shop.now(order)
    assert (view.status, view.failure_code) == ("CANCELLED", "cancelled_by_staff")
    assert view.failure_message == "Our team cancelled this order. No money was taken."
    assert "Nobody else" not in repr(view)
    assert shop.money(order) == [("AUTHORIZE", 1000), ("VOID", 1000)]
    assert shop.levels("laptop") == (3, 0)
    assert findings(order) == []


def test_a_capture_that_happened_unseen_is_refunded(shop):
    order = authorized(shop)
    shop.work(queues=("orders",))
    parked(order)
    shop.gateway.gateway().capture(
        key=f"{order.saga_id}:capture_payment", authorization_key=authorization_key(order.saga_id), reference="",
        amount_minor=1000,
    )  # fmt: skip

    decide(attention.compensate, order)
    shop.work()

    assert shop.now(order).status == "CANCELLED"
    money = shop.money(order)
    assert money[:2] == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]
    assert money[2:] == [("REFUND", 1000)]
    assert shop.levels("laptop") == (3, 0)
    assert findings(order) == []


def test_a_cancel_that_came_while_it_was_parked_acts_once_it_goes_on(shop):
    order = parked(authorized(shop))
    payload = {"code": "cancelled_by_buyer", "actor": "user-1"}
    assert signal(order.saga_id, "cancel", signal_id="cancel", payload=payload).accepted

    decide(attention.retry, order)
    shop.work()

    assert (shop.now(order).failure_code, shop.saga_status(order)) == ("cancelled_by_buyer", "COMPENSATED")
    assert shop.money(order) == [("AUTHORIZE", 1000), ("VOID", 1000)]
    assert findings(order) == []


def test_a_payment_declared_as_done_by_hand_confirms_nothing_that_is_not_paid(shop):
    shop.stocked("laptop", 3)
    order = shop.order("laptop")
    for queue in ("inventory", "orders"):
        shop.work(queues=(queue,))
    parked(order)

    decide(attention.resolve, order)
    shop.work()

    assert (shop.saga_status(order), shop.now(order).status) == ("NEEDS_ATTENTION", "RESERVED")
    assert shop.money(order) == []
    assert findings(order) == []
    decide(attention.compensate, order)
    shop.work()
    assert (shop.saga_status(order), shop.now(order).status) == ("COMPENSATED", "CANCELLED")
    assert (shop.money(order), shop.levels("laptop")) == ([], (3, 0))
    assert findings(order) == []
