"""An order that looks suspicious waits for a person: what is kept meanwhile, who may decide, and who comes first."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from inventory.models import Reservation
from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.operations.auditor import audit
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas import services as sagas
from marketplace.sagas.models import SagaInstance, SagaSignal
from marketplace.sagas.testing import given
from orders import access, selectors, services
from orders.errors import ReasonMissing, ReviewOver, UnknownReview
from orders.fraud import reviews
from orders.fraud import services as fraud
from orders.fraud.models import DenyEntry, Review
from orders.sagas.place_order import PlaceOrder
from orders.tasks import expire_reservations
from tests.shop import authorization_key

pytestmark = pytest.mark.django_db(transaction=True)

HELD = ("AUTHORIZE", 1000)
BY_THEN = ["validate_inventory", "reserve_inventory", "authorize_payment", "check_fraud"]


def found():
    return [str(finding) for finding in audit(ask_gateway=False).findings]


@pytest.fixture
def held(shop):
    """An order that waits for a person."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop", token="tok_review")
    assert (order.status, order.review_status) == ("PAID", "PENDING")
    return order


def review(order):
    return Review.objects.filter(order_id=order.id).latest("opened_at")


def approve(order, reason="A regular customer.", actor="ada"):
    reviews.decide(review(order).id, "APPROVED", actor=actor, reason=reason, now=database_now())


def reject(order, reason="Looks like a mule.", actor="bob"):
    reviews.decide(review(order).id, "REJECTED", actor=actor, reason=reason, now=database_now())


def cancel(order):
    services.cancel(order.id, actor="user-1", now=database_now())


def lapse(shop, order):
    """The bank lets go of the money, and tells."""
    shop.gateway.gateway().void(key=f"{order.id}:lapse", authorization_key=authorization_key(order.saga_id))
    shop.bank_says(order)


def let_the_deadline_pass(order):
    past = database_now() - timedelta(seconds=1)
    SagaInstance.objects.filter(pk=order.saga_id).update(wait_until=past, due_at=past)


# --- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_a_suspicious_order_waits_and_nothing_is_taken(shop, held, settings):
    assert shop.money(held) == [HELD]
    assert shop.levels("laptop") == (0, 1)
    assert shop.story(held) == [*BY_THEN, "fraud_review:WAITING"]
    one = review(held)
    assert one.reasons == ["the payment provider sees an elevated risk"]
    saga = SagaInstance.objects.get(pk=held.saga_id)
    assert saga.wait_until == one.deadline_at
    left = one.deadline_at - database_now()
    assert timedelta(0) <= timedelta(seconds=settings.FRAUD_REVIEW_SECONDS) - left < timedelta(seconds=60)
    assert found() == []


def test_the_units_are_held_for_longer_than_the_person_has(shop, held):
    [until] = Reservation.objects.filter(owner_id=held.id).values_list("expires_at", flat=True)
    assert until == held.reserved_until > review(held).deadline_at + timedelta(seconds=300)
    assert expire_reservations() == 0


def test_the_time_of_the_review_does_not_count_as_the_saga_s(shop, held):
    """It waits for longer than the saga's whole time, and can then still be tried again."""
    span = timedelta(hours=30)
    saga = SagaInstance.objects.get(pk=held.saga_id)
    SagaInstance.objects.filter(pk=saga.pk).update(
        deadline_at=saga.deadline_at - span, step_started_at=saga.step_started_at - span
    )
    approve(held)
    given(PlaceOrder, held).when("capture_payment", loses_its_answer=True, times=1).expect_completed()
    assert shop.now(held).status == "CONFIRMED"


# --- deciding ---------------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_approved(shop, held):
    approve(held, "A regular\n customer.")
    shop.work()

    order = shop.now(held)
    assert (order.status, order.review_status) == ("CONFIRMED", "APPROVED")
    assert shop.story(order) == [*BY_THEN, "fraud_review", "capture_payment", "confirm_order"]
    assert shop.money(order) == [HELD, ("CAPTURE", 1000)]
    assert "ada: Approved: A regular customer." in shop.notes(order)
    entry = next(one for one in selectors.saga_of(order.id).history if one.step == "fraud_review")
    assert entry.message == "Approved by ada: A regular customer."
    one = review(order)
    assert (one.status, one.actor, one.why) == ("APPROVED", "ada", "A regular customer.")
    assert found() == []


@pytest.mark.core
def test_rejected(shop, held):
    reject(held)
    shop.work()

    order = shop.now(held)
    assert (order.status, order.failure_code, order.review_status) == ("FAILED", "fraud_rejected", "REJECTED")
    assert shop.money(order) == [HELD, ("VOID", 1000)]
    assert shop.levels("laptop") == (1, 0)
    last = selectors.timeline(order.id)[-1]
    assert (last.who, last.why) == ("bob", "Rejected by bob: Looks like a mule.")
    assert found() == []


def test_nobody_decides_in_time(shop, held):
    let_the_deadline_pass(held)
    shop.work()

    order = shop.now(held)
    assert (order.status, order.failure_code, order.review_status) == ("FAILED", "fraud_rejected", "REJECTED")
    assert shop.money(order) == [HELD, ("VOID", 1000)]
    one = review(order)
    assert (one.status, one.actor, one.why) == ("REJECTED", "saga", "Nobody approved it in time.")
    assert found() == []


def test_a_rejected_buyer_is_told_nothing_of_what_was_found(shop, settings, client):
    """Not by the order, not by its events, not by the saga's history: they are read as the buyer reads them."""
    shop.stocked("laptop", 3)
    entry = DenyEntry(kind="USER", value="user-1", note="stolen cards")
    fraud.save(entry, actor="ada", now=database_now())
    at_once = shop.bought("laptop")
    entry.leads_to = "REVIEW"
    fraud.save(entry, actor="ada", now=database_now())
    looked_at = shop.bought("laptop")
    reject(looked_at)
    shop.work()
    too_late = shop.bought("laptop")
    let_the_deadline_pass(too_late)
    shop.work()

    secret = ("deny", "rejected by", "rejected:", "bob", "mule", "stolen", "person", "in time", "suspicious")
    for order in map(shop.now, (at_once, looked_at, too_late)):
        assert order.failure_message == "We could not accept this order. No money was taken."
        headers = {"HTTP_X_ORDER_SECRET": access.client_secret(order.id)}
        told = [client.get(f"/api/orders/{order.id}{what}", **headers).content.decode() for what in ("", "/saga")]
        told += [str(event.data) for event in OutboxEvent.objects.filter(subject_id=order.id)]
        for text in told:
            assert not [word for word in secret if word in text.lower()], text
        assert '"fraud_review"' in told[1] or order.id == at_once.id


@pytest.mark.parametrize("reason", ["", "   ", "\n"])
def test_who_decides_says_why(shop, held, reason):
    with pytest.raises(ReasonMissing):
        approve(held, reason)
    assert not SagaSignal.objects.filter(saga_id=held.saga_id).exists()


def test_a_review_that_is_none(db):
    with pytest.raises(UnknownReview):
        reviews.decide(new_id(), "APPROVED", actor="ada", reason="Fine.", now=database_now())


# --- two at once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decisions", [(approve, reject, "CONFIRMED"), (reject, approve, "FAILED")])
@pytest.mark.parametrize("looked", [False, True])
def test_of_two_decisions_the_first_counts(shop, held, decisions, looked):
    first, second, ends = decisions
    first(held)
    if looked:
        shop.work()
    with pytest.raises(ReviewOver):
        second(held)
    shop.work()
    assert shop.now(held).status == ends
    assert (review(held).status == "APPROVED") == (ends == "CONFIRMED")
    assert found() == []


def test_ten_decisions_at_once_are_one(shop, held):
    def decide(n):
        try:
            (approve if n % 2 else reject)(held, actor=f"staff-{n}")
        except ReviewOver:
            return None
        else:
            return n
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        heard = [n for n in pool.map(decide, range(10)) if n is not None]
    shop.work()

    [winner] = heard
    assert review(held).actor == f"staff-{winner}"
    assert shop.now(held).status == ("CONFIRMED" if winner % 2 else "FAILED")
    assert found() == []


@pytest.mark.parametrize("decide", [approve, reject])
@pytest.mark.parametrize("cancel_first", [True, False])
def test_the_buyer_cancels_before_anybody_has_looked_at_the_decision(shop, held, decide, cancel_first):
    """Whatever came first: a buyer who wants out is let out, while nothing has been taken."""
    moves = [lambda: cancel(held), lambda: decide(held)]
    for move in moves if cancel_first else reversed(moves):
        move()
    shop.work()

    order = shop.now(held)
    assert (order.status, order.failure_code, order.review_status) == ("CANCELLED", "cancelled_by_buyer", "")
    assert shop.money(order) == [HELD, ("VOID", 1000)]
    one = review(order)
    assert (one.status, one.why) == ("CLOSED", "The order came to another end first: cancelled_by_buyer.")
    assert found() == []


def test_the_buyer_cancels_after_the_approval_was_acted_upon(shop, held):
    approve(held)
    shop.work(queues=("orders",))  # the capture comes next
    cancel(held)
    shop.work()

    order = shop.now(held)
    assert (order.status, order.review_status) == ("CANCELLED", "APPROVED")
    assert shop.money(order) == [HELD, ("VOID", 1000)]
    assert found() == []


def test_an_approval_after_the_cancel_was_acted_upon(shop, held):
    cancel(held)
    shop.work()
    with pytest.raises(ReviewOver):
        approve(held)
    assert (shop.now(held).status, review(held).status, found()) == ("CANCELLED", "CLOSED", [])


@pytest.mark.parametrize(("moment", "ends"), [(1, "CONFIRMED"), (-1, "FAILED")])
def test_an_approval_and_the_deadline(shop, held, moment, ends):
    """By the database's clock, whenever somebody looks: what came before the deadline counts, nothing after it."""
    approve(held)
    received = SagaSignal.objects.get(saga_id=held.saga_id, name="fraud_review").received_at
    SagaInstance.objects.filter(pk=held.saga_id).update(wait_until=received + timedelta(microseconds=moment))
    shop.work()
    assert shop.now(held).status == ends
    assert review(held).status == ("APPROVED" if ends == "CONFIRMED" else "REJECTED")
    assert found() == []


def test_an_approval_after_the_deadline_is_told_so(shop, held):
    past = database_now() - timedelta(seconds=1)
    SagaInstance.objects.filter(pk=held.saga_id).update(wait_until=past)  # and nobody has looked yet
    with pytest.raises(ReviewOver):
        approve(held)
    let_the_deadline_pass(held)
    shop.work()
    assert (shop.now(held).failure_code, found()) == ("fraud_rejected", [])


def test_the_authorization_lapses_while_it_waits(shop, held):
    lapse(shop, held)
    shop.work()
    with pytest.raises(ReviewOver):
        approve(held)

    order = shop.now(held)
    assert (order.status, order.failure_code, order.review_status) == ("FAILED", "payment_declined", "")
    assert (review(order).status, shop.levels("laptop"), found()) == ("CLOSED", (1, 0), [])


def test_lapsed_and_approved_before_anybody_looks(shop, held):
    lapse(shop, held)
    approve(held)
    shop.work()
    assert (shop.now(held).failure_code, review(held).status, found()) == ("payment_declined", "CLOSED", [])


@pytest.mark.parametrize("looked", [False, True])
def test_approved_and_lapsed_before_the_money_is_taken(shop, held, looked):
    approve(held)
    if looked:
        shop.work(queues=("orders",))
    lapse(shop, held)
    shop.work()

    order = shop.now(held)
    assert (order.status, order.failure_code, order.review_status) == ("FAILED", "payment_declined", "APPROVED")
    assert (shop.levels("laptop"), found()) == ((1, 0), [])


def test_the_bank_lets_go_and_tells_nobody_until_the_capture(shop, held):
    shop.gateway.gateway().void(key="quietly", authorization_key=authorization_key(held.saga_id))
    approve(held)
    shop.work()
    assert (shop.now(held).failure_code, shop.levels("laptop"), found()) == ("payment_declined", (1, 0), [])


def test_news_that_the_bank_still_holds_the_money_changes_nothing(shop, held):
    """A signal is a hint and no more: the books are asked."""
    sagas.signal(held.saga_id, "fraud_review", signal_id="evt_1", payload={"verdict": "LAPSED"})
    shop.work()
    assert (shop.now(held).review_status, shop.saga_status(held)) == ("PENDING", "IN_PROGRESS")
    approve(held)
    shop.work()
    assert shop.now(held).status == "CONFIRMED"
