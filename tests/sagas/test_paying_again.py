"""An order whose bank has declined may be paid by another method, while its hold lives, and is never charged twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations
from threading import Barrier

import pytest
from django.db import connection, transaction

from inventory.models import Reservation
from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas import attention, foresight, runner
from marketplace.sagas import services as sagas
from marketplace.sagas.models import SagaInstance, SagaSignal
from orders import selectors, services
from orders.errors import NotPayable
from orders.fraud import reviews
from orders.invoicing import selectors as invoices
from orders.models import Order
from payments import news, observations, watch
from payments import services as cashier
from payments.models import Attempt, Payment, Refund
from payments.selectors import ledger_discrepancies
from payments.testing import answer_the_bank
from tests.sagas.test_place_order import HAPPY
from tests.shop import authorization_key

pytestmark = pytest.mark.django_db(transaction=True)

SOLD = [("AUTHORIZE", 1000), ("CAPTURE", 1000)]
DECLINED = ["validate_inventory", "reserve_inventory", "authorize_payment:REFUSED", "-payment_request:RETURNED"]
WAITS = "payment_request:WAITING"


@pytest.fixture(autouse=True)
def _three_attempts(settings):
    settings.PAYMENT_ATTEMPTS = 3


@pytest.fixture
def declined(shop):
    """An order of the one unit there is, whose bank has declined, and which may be paid again."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_declined")
    assert (order.status, order.payment_method) == ("RESERVED", "")
    return order


def pay(order, method="tok_visa", **options):
    return services.pay(order.id, method=method, now=database_now(), **options)


def found(shop):
    """What is wrong by our own books, or differs between them and the bank's."""
    differences = [str(one) for one in ledger_discrepancies(shop.gateway.charges())]
    return [str(finding) for finding in audit(ask_gateway=False).findings] + differences


def payments(order):
    """Each attempt to pay: status, and whether it was given up."""
    rows = Payment.objects.filter(reference_id=order.id).order_by("sequence")
    return [(row.status, row.given_up_at is not None) for row in rows]


def let_the_wait_end(order):
    past = database_now() - timedelta(seconds=1)
    SagaInstance.objects.filter(pk=order.saga_id).update(wait_until=past, due_at=past)


# --- what the buyer sees ----------------------------------------------------------------------------------------------


@pytest.mark.core
def test_a_declined_order_is_reserved_again_and_its_buyer_is_told(shop, declined, settings):
    assert shop.story(declined) == [*DECLINED, WAITS]
    assert shop.statuses(declined) == ["CREATED", "RESERVED", "PAYMENT_PENDING", "RESERVED"]
    until = declined.reserved_until
    assert declined.failure_code == ""
    assert declined.failure_message == (
        f"Payment failed. The card was declined. No money was taken. "
        f"You may pay by another method until {until:%H:%M} UTC."
    )
    assert (declined.payment.status, declined.payment_attempt) == ("FAILED", 2)
    assert [kind for kind in shop.events(declined) if kind.startswith(("PAY", "ORDER", "SAGA"))] == [
        "ORDER_CREATED", "SAGA_STARTED", "ORDER_RESERVED", "PAYMENT_DECLINED", "ORDER_RESERVED",
    ]  # fmt: skip
    assert (shop.hold(declined), shop.levels("laptop"), found(shop)) == (["HELD"], (0, 1), [])


@pytest.mark.core
def test_it_is_paid_by_another_card(shop, declined):
    assert pay(declined).status in ("RESERVED", "PAYMENT_PENDING")
    shop.work()
    order = shop.now(declined)
    assert (order.status, order.failure_message, order.payment.status) == ("CONFIRMED", "", "CAPTURED")
    assert shop.story(order) == [*DECLINED, "payment_request", *HAPPY[2:]]
    assert payments(order) == [("FAILED", True), ("CAPTURED", False)]
    assert order.payment.transaction_id
    assert (shop.money(order), shop.levels("laptop"), found(shop)) == (SOLD, (0, 0), [])


def test_each_attempt_has_keys_of_its_own_but_for_the_one_capture(shop, declined):
    pay(declined)
    shop.work()
    keys = Attempt.objects.order_by("id").values_list("operation", "idempotency_key", "number")
    saga = declined.saga_id
    assert list(keys) == [
        ("AUTHORIZE", f"{saga}:authorize_payment", 1),
        ("AUTHORIZE", f"{saga}:authorize_payment:2", 1),
        ("CAPTURE", f"{saga}:capture_payment", 1),
    ]


def test_the_hold_lives_on_until_the_time_that_it_had_and_no_longer(shop, settings):
    shop.stocked("laptop", 1)
    order = shop.order("laptop", token="")
    shop.work()
    promised = shop.now(order).reserved_until
    for method in ("tok_declined", "tok_insufficient_funds"):
        pay(order, method)
        shop.work()
        assert shop.now(order).reserved_until == promised
        assert Reservation.objects.get(owner_id=order.id).expires_at >= promised
    assert SagaInstance.objects.get(pk=order.saga_id).wait_until == promised


def test_the_last_attempt_ends_it(shop, declined):
    for method in ("tok_insufficient_funds", "tok_declined"):
        assert shop.now(declined).status == "RESERVED"
        pay(declined, method)
        shop.work()
    order = shop.now(declined)
    assert (order.status, order.failure_code) == ("FAILED", "payment_declined")
    assert payments(order) == [("FAILED", True), ("FAILED", True), ("FAILED", False)]
    assert (shop.levels("laptop"), shop.money(order), found(shop)) == ((1, 0), [], [])
    with pytest.raises(NotPayable):
        pay(declined)


def test_one_attempt_is_the_default_and_leaves_everything_as_it_was(shop, settings):
    settings.PAYMENT_ATTEMPTS = 1
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_declined")
    assert (order.status, order.failure_code, payments(order)) == ("FAILED", "payment_declined", [("FAILED", False)])
    assert "pay_by" not in SagaInstance.objects.get(pk=order.saga_id).context


def test_nobody_pays_again_in_time(shop, declined):
    let_the_wait_end(declined)
    shop.work()
    order = shop.now(declined)
    assert (order.status, order.failure_code) == ("CANCELLED", "reservation_expired")
    assert order.failure_message == "The time to pay ran out, so we gave the units back. No money was taken."
    assert (shop.hold(order), shop.levels("laptop"), found(shop)) == (["EXPIRED"], (1, 0), [])


def test_a_decline_that_comes_when_the_hold_was_to_have_ended_is_the_end(shop):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_requires_action")
    row = SagaInstance.objects.get(pk=order.saga_id)
    past = {"pay_by": (database_now() - timedelta(seconds=1)).isoformat()}
    SagaInstance.objects.filter(pk=row.pk).update(context={**row.context, **past})
    answer_the_bank(order.payment.action_url, "decline")
    shop.bank_says(order)
    shop.work()
    assert (shop.now(order).status, shop.now(order).failure_code) == ("FAILED", "payment_declined")
    assert (shop.levels("laptop"), found(shop)) == ((1, 0), [])


def test_a_cancel_while_it_may_be_paid_again(shop, declined):
    services.cancel(declined.id, actor="user-1", now=database_now())
    shop.work()
    assert (shop.now(declined).status, shop.levels("laptop"), found(shop)) == ("CANCELLED", (1, 0), [])


def test_what_is_undone_later_is_what_the_second_attempt_did(shop, declined):
    pay(declined)
    for queue in ("orders", "payments"):
        shop.work(queues=(queue,))
    runner.park(declined.saga_id, ZeroDivisionError("a bug"))
    told = {one.step: one.effect for one in foresight.foresee(declined.saga_id, now=database_now())}
    assert told == {
        "authorize_payment": "Void the authorization of 10.00 EUR; no money is taken.",
        "reserve_inventory": "Put back 1 of laptop.",
    }
    attention.compensate(declined.saga_id, actor="ada", reason="It can't be.", now=database_now())
    shop.work()
    assert shop.money(declined) == [("AUTHORIZE", 1000), ("VOID", 1000)]
    assert (payments(declined), found(shop)) == ([("FAILED", True), ("VOIDED", False)], [])


# --- a bank that declines later ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False])
def test_a_decline_that_comes_by_webhook_or_is_asked_for_leads_back_too(shop, told):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_requires_action")
    answer_the_bank(order.payment.action_url, "decline")
    if told:
        shop.bank_says(order)
    else:
        let_the_wait_end(order)
    shop.work()
    story = shop.story(order)
    assert story[-3:] == ["-authorize_payment", "-payment_request:RETURNED", WAITS]
    assert story[-4] == ("payment_outcome:REFUSED" if told else "look_up_payment:REFUSED")
    assert shop.now(order).status == "RESERVED"

    pay(order)
    shop.work()
    assert (shop.now(order).status, shop.money(order), found(shop)) == ("CONFIRMED", SOLD, [])


def test_a_second_attempt_that_has_to_be_confirmed_at_the_bank(shop, declined):
    pay(declined, "tok_requires_action")
    shop.work()
    order = shop.now(declined)
    assert (order.status, order.payment.status) == ("PAYMENT_PENDING", "PENDING")
    answer_the_bank(order.payment.action_url, "approve")
    shop.bank_says(order)
    shop.work()
    assert (shop.now(order).status, shop.money(order), found(shop)) == ("CONFIRMED", SOLD, [])


def test_a_bank_that_says_nothing_until_the_end_is_no_decline(shop):
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_requires_action")
    let_the_wait_end(order)
    shop.work()
    assert (shop.now(order).status, shop.now(order).failure_code) == ("FAILED", "payment_timeout")


def test_a_bank_that_had_said_no_and_says_yes_before_anybody_acted_on_it_is_taken_at_its_word(shop):
    """The books are read under the payment's lock when it is given up: what they say then counts."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_requires_action")
    answer_the_bank(order.payment.action_url, "decline")
    shop.bank_says(order)
    shop.gateway.change_its_mind(authorization_key(order.saga_id))
    shop.bank_says(order)
    shop.work()
    assert (shop.now(order).status, payments(order)) == ("CONFIRMED", [("CAPTURED", False)])
    assert found(shop) == []


# --- trying hard to be charged twice ----------------------------------------------------------------------------------


def declined_at_the_bank(shop):
    """An order whose first attempt the bank has declined later, so that it has books about it."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_requires_action")
    answer_the_bank(order.payment.action_url, "decline")
    shop.bank_says(order, event_id="evt_declined")
    shop.work()
    assert shop.now(order).status == "RESERVED"
    return shop.now(order)


def captured(shop, order):
    """How many charges of this order the bank has captured and not given back, and how many it holds."""
    charges = [one for one in shop.gateway.charges() if one.key.startswith(str(order.saga_id))]
    kept = [one for one in charges if one.captured_minor > one.refunded_minor + one.reversed_minor]
    return len(kept), sum(one.status == "AUTHORIZED" for one in charges)


MOMENTS = ("declined", "asked", "authorized", "captured", "confirmed")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    ("heard", "taken_at_once"),
    [("by webhook", False), ("twice", False), ("by the watch", False), ("by webhook", True)],
)
def test_the_first_attempt_succeeds_after_all_at_any_moment_of_the_second(shop, moment, heard, taken_at_once):
    order = declined_at_the_bank(shop)
    if moment != "declined":
        pay(order)
        for queue in ("orders", "payments", "orders", "payments", "orders")[: MOMENTS.index(moment) + 1]:
            shop.work(queues=(queue,))
    first = authorization_key(order.saga_id)
    shop.gateway.change_its_mind(first)
    if taken_at_once:
        shop.gateway.gateway().capture(
            key=f"{first}:by-itself", authorization_key=first, reference="", amount_minor=1000
        )
    for _ in range({"by webhook": 1, "twice": 2}.get(heard, 0)):
        shop.bank_says(order, attempt=1, event_id="evt_late")
    if heard == "by the watch":
        later = database_now() + timedelta(hours=1)
        watch.look_due(now=later)
        news.pass_on(now=later)
    if moment == "declined":
        pay(order)
    shop.work()

    assert shop.now(order).status == "CONFIRMED"
    assert captured(shop, order) == (1, 0)
    way_back = ("REFUNDED", True) if taken_at_once else ("VOIDED", True)
    assert payments(order) == [way_back, ("CAPTURED", False)]
    assert any("attempt 1 to pay" in note and "goes back" in note for note in shop.notes(order))
    assert (shop.levels("laptop"), found(shop)) == ((0, 0), [])


@pytest.mark.parametrize("ends", ["cancelled", "expired"])
def test_the_first_attempt_succeeds_when_the_order_has_ended(shop, ends):
    order = declined_at_the_bank(shop)
    if ends == "cancelled":
        services.cancel(order.id, actor="user-1", now=database_now())
    else:
        let_the_wait_end(order)
    shop.work()
    shop.gateway.change_its_mind(authorization_key(order.saga_id))
    shop.bank_says(order, attempt=1)
    shop.work()
    assert (shop.now(order).status, captured(shop, order)) == ("CANCELLED", (0, 0))
    assert (payments(order), shop.levels("laptop"), found(shop)) == ([("VOIDED", True)], (1, 0), [])
    assert Order.objects.get(pk=order.id).revival_id is None


def test_the_bank_takes_back_what_it_had_declined_and_the_order_stands(shop):
    order = declined_at_the_bank(shop)
    pay(order)
    shop.work()
    first = authorization_key(order.saga_id)
    shop.gateway.change_its_mind(first)
    shop.gateway.gateway().capture(key=f"{first}:by-itself", authorization_key=first, reference="", amount_minor=1000)
    shop.gateway.reverse(first)
    shop.bank_says(order, attempt=1)
    shop.work()
    assert (shop.now(order).status, shop.now(order).refund_status) == ("CONFIRMED", "")
    assert shop.notes(order) == ["bank: Of the declined attempt 1 to pay, 10.00 EUR was reversed."]
    assert (captured(shop, order), found(shop)) == ((1, 0), [])


@pytest.mark.parametrize("methods", list(permutations(["tok_visa", "tok_flaky"])))
def test_two_who_pay_at_once_by_different_methods_pay_once(shop, declined, methods):
    together = Barrier(2)

    def press(method):
        together.wait()
        try:
            return pay(declined, method)
        except NotPayable:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(press, methods))
    shop.work()
    order = shop.now(declined)
    assert (order.status, captured(shop, order), found(shop)) == ("CONFIRMED", (1, 0), [])
    assert payments(order) == [("FAILED", True), ("CAPTURED", False)]
    assert SagaSignal.objects.filter(saga_id=order.saga_id, name="payment_request").count() == 1


def test_who_presses_twice_does_not_use_up_the_next_attempt(shop, declined):
    pay(declined, "tok_declined", attempt=2)
    shop.work()
    with pytest.raises(NotPayable, match="failed meanwhile"):
        pay(declined, "tok_declined", attempt=2)
    shop.work()
    assert shop.now(declined).payment_attempt == 3


def test_a_signal_that_was_meant_for_an_earlier_attempt_pays_nothing(shop, declined):
    sagas.signal(declined.saga_id, "payment_request", signal_id="stray", payload={"method": "tok_visa"})
    shop.work()
    assert (shop.now(declined).status, shop.money(declined)) == ("RESERVED", [])
    pay(declined)
    shop.work()
    assert shop.now(declined).status == "CONFIRMED"


@pytest.mark.parametrize("lost", [1, 2])
def test_lost_answers_of_the_second_attempt(shop, declined, lossy_proxy, settings, lost):
    settings.SANDBOX_GATEWAY_URL = lossy_proxy.url
    lossy_proxy.lose_answers(lost)
    pay(declined)
    shop.work()
    settings.SANDBOX_GATEWAY_URL = shop.gateway.url
    order = shop.now(declined)
    assert (order.status, shop.money(order), found(shop)) == ("CONFIRMED", SOLD, [])
    assert captured(shop, order) == (1, 0)


def test_answers_of_the_second_attempt_that_never_come_undo_it_and_only_it(shop, declined, lossy_proxy, settings):
    settings.SANDBOX_GATEWAY_URL = lossy_proxy.url
    lossy_proxy.lose_answers(3)
    pay(declined)
    shop.work()
    settings.SANDBOX_GATEWAY_URL = shop.gateway.url
    order = shop.now(declined)
    assert (order.status, order.failure_code) == ("FAILED", "payment_timeout")
    assert (shop.money(order), shop.levels("laptop")) == ([("AUTHORIZE", 1000), ("VOID", 1000)], (1, 0))
    assert found(shop) == []


def test_webhooks_about_the_declined_attempt_that_come_again_change_nothing(shop):
    order = declined_at_the_bank(shop)
    for event in ("evt_declined", "evt_declined", "evt_again"):
        shop.bank_says(order, attempt=1, event_id=event)
    shop.work()
    assert (shop.now(order).status, shop.notes(order)) == ("RESERVED", [])
    pay(order)
    shop.bank_says(order, attempt=1, event_id="evt_later")
    shop.work()
    assert (shop.now(order).status, captured(shop, order), found(shop)) == ("CONFIRMED", (1, 0), [])


def test_a_capture_that_is_declined_ends_the_order(shop, declined):
    pay(declined)
    for queue in ("orders", "payments", "orders"):
        shop.work(queues=(queue,))
    key = authorization_key(declined.saga_id, 2)
    shop.gateway.gateway().void(key=f"{key}:by-the-bank", authorization_key=key)
    shop.work()
    order = shop.now(declined)
    assert (order.status, order.failure_code) == ("FAILED", "payment_declined")
    assert (captured(shop, order), shop.levels("laptop"), found(shop)) == ((0, 0), (1, 0), [])
    assert selectors.order(order.id).payment.attempt == 2


def test_money_of_a_declined_attempt_that_goes_back_is_no_refund_of_the_order(shop):
    order = declined_at_the_bank(shop)
    pay(order)
    shop.work()
    first = authorization_key(order.saga_id)
    shop.gateway.change_its_mind(first)
    shop.gateway.gateway().capture(key=f"{first}:by-itself", authorization_key=first, reference="", amount_minor=1000)
    shop.bank_says(order, attempt=1)
    assert payments(order) == [("REFUNDED", True), ("CAPTURED", False)]
    shop.work()
    asked = {"reason": "It came late.", "actor": "ada", "key": "click-1", "now": database_now()}
    services.refund(order.id, amount_minor=100, **asked)
    shop.work()
    assert [(note.amount_minor, note.reason) for note in invoices.credit_notes(order.id)] == [(100, "refunded")]
    told = OutboxEvent.objects.filter(subject_id=order.id, type="PAYMENT_REFUNDED")
    assert [event.data["amount"] for event in told] == ["1.00"]
    assert shop.now(order).refund_status == "PARTIALLY_REFUNDED"
    Refund.objects.update(settled_at=database_now() - timedelta(days=2))
    assert found(shop) == []


def test_money_of_a_declined_attempt_that_can_not_go_back_yet_does_not_hold_up_the_order_s_refunds(shop):
    order = declined_at_the_bank(shop)
    pay(order)
    shop.work()
    row = Payment.objects.get(reference_id=order.id, sequence=1)
    Payment.objects.filter(pk=row.pk).update(status="CAPTURED", captured_minor=1000, failure_code="")
    now = database_now()
    with transaction.atomic():
        cashier.begin_for("REFUND", row.pk, key="late:refund", number=1, now=now)
    asked = {"reason": "It came late.", "actor": "ada", "key": "click-1", "now": now}
    services.refund(order.id, amount_minor=100, **asked)
    shop.work()
    again = shop.now(order)
    assert (again.refund_status, again.payment.refunded_minor) == ("PARTIALLY_REFUNDED", 100)
    services.refund(order.id, amount_minor=100, **{**asked, "key": "click-2"})
    assert shop.now(order).payment.refunding_minor == 100


def test_late_money_that_could_not_be_given_back_for_a_day_is_told_of(shop, sandbox_server, caplog):
    order = declined_at_the_bank(shop)
    pay(order)
    shop.work()
    shop.gateway.change_its_mind(authorization_key(order.saga_id))
    first = Payment.objects.get(reference_id=order.id, sequence=1)
    sighting, now = observations.sight(first.id), database_now()
    with transaction.atomic():
        cashier.observe(sighting, event_id="evt_late", occurred_at=now, now=now)
    sandbox_server.stop()
    news.pass_on(now=now)
    told = [str(finding) for finding in audit(ask_gateway=False).findings]
    news.pass_on(now=now + timedelta(hours=25))
    sandbox_server.start()
    assert told == []  # it was under way
    without_reason, twice = found(shop)
    assert "10.00 EUR authorized for an order that is CONFIRMED" in without_reason
    assert "20.00 EUR authorized or captured, in 2 payments" in twice
    assert "payment_news_parked" in caplog.text


# --- and looked at by a person ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "ends", "money"),
    [
        ("APPROVED", ("CONFIRMED", "", "APPROVED"), SOLD),
        ("REJECTED", ("FAILED", "fraud_rejected", "REJECTED"), [("AUTHORIZE", 1000), ("VOID", 1000)]),
        ("LAPSED", ("FAILED", "payment_declined", ""), [("AUTHORIZE", 1000), ("VOID", 1000)]),
    ],
)
def test_a_second_attempt_that_a_person_has_to_look_at(shop, declined, verdict, ends, money):
    pay(declined, "tok_review")
    shop.work()
    assert (shop.now(declined).status, shop.now(declined).review_status) == ("PAID", "PENDING")
    if verdict == "LAPSED":  # a no of the bank, but not to what the buyer has asked: they were told that they had paid
        key = authorization_key(declined.saga_id, 2)
        shop.gateway.gateway().void(key=f"{key}:by-the-bank", authorization_key=key)
        shop.bank_says(declined)
    else:
        (review,) = reviews.of_orders([declined.id])
        reviews.decide(review.id, verdict, actor="ada", reason="As I see it.", now=database_now())
    shop.work()
    order = shop.now(declined)
    assert (order.status, order.failure_code, order.review_status) == ends
    assert (shop.money(order), found(shop)) == (money, [])
    assert shop.levels("laptop") == ((0, 0) if verdict == "APPROVED" else (1, 0))


def test_a_declined_attempt_succeeds_after_all_while_a_person_looks_at_the_second(shop):
    order = declined_at_the_bank(shop)
    pay(order, "tok_review")
    shop.work()
    shop.gateway.change_its_mind(authorization_key(order.saga_id))
    shop.bank_says(order, attempt=1)
    shop.work()
    assert (shop.now(order).status, captured(shop, order)) == ("PAID", (0, 1))
    (review,) = reviews.of_orders([order.id])
    reviews.decide(review.id, "APPROVED", actor="ada", reason="As I see it.", now=database_now())
    shop.work()
    assert (shop.now(order).status, captured(shop, order), found(shop)) == ("CONFIRMED", (1, 0), [])


def test_the_second_attempt_is_paid_when_the_order_has_run_out_of_time(shop, declined):
    pay(declined, "tok_requires_action")
    shop.work()
    asked = shop.now(declined)
    let_the_wait_end(declined)
    shop.work()
    ended = shop.now(declined)
    assert (ended.status, ended.failure_code, shop.levels("laptop")) == ("FAILED", "payment_timeout", (1, 0))
    answer_the_bank(asked.payment.action_url, "approve")
    shop.bank_says(declined, attempt=2)
    shop.work()
    assert captured(shop, declined) == ((1, 0) if shop.now(declined).status == "CONFIRMED" else (0, 0))
    assert found(shop) == []
