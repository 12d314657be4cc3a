"""Refunds by staff: all of an order's money or a part of it, each once, whoever else is at it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection, transaction

from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.operations.auditor import audit
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas import attention
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.testing import let_pass
from orders import refunding, services, wording
from orders.errors import BeingTakenBack, NotPlacedYet
from orders.models import Order
from payments import services as payments
from payments.errors import NothingToRefund, PaymentDisputed, RefundDiffers, RefundTooLarge
from payments.gateways.base import Dispute, Outcome, Reply
from payments.models import Attempt, Refund
from payments.selectors import ledger_discrepancies, refunds_of
from tests.shop import authorization_key

pytestmark = pytest.mark.django_db(transaction=True)

SOLD = [("AUTHORIZE", 1000), ("CAPTURE", 1000)]


@pytest.fixture
def sold(shop):
    """A confirmed order of the one unit that there was: 10.00 EUR."""
    shop.stocked("laptop", 1)
    order = shop.bought("laptop")
    assert order.status == "CONFIRMED"
    return order


def refund(order, amount_minor=None, *, key="click-1", actor="ada", reason="It came late."):
    return services.refund(order.id, amount_minor=amount_minor, reason=reason, actor=actor, key=key, now=database_now())


def cancel(order):
    return services.cancel(order.id, actor="user-1", now=database_now())


def saga(asked):
    return SagaInstance.objects.get(subject_id=asked.id, name="refund_payment")


def objects(order):
    """Every refund of an order for which there was something to give back: from where, its status and its amount."""
    every = refunds_of([order.id]).get(order.id, [])
    return [(one.source, one.status, one.amount_minor) for one in every if one.amount_minor]


def told(order):
    """The amount and origin in every event PAYMENT_REFUNDED of an order."""
    events = OutboxEvent.objects.filter(subject_id=order.id, type="PAYMENT_REFUNDED").order_by("position")
    return [(event.data["amount"], event.data["source"]) for event in events]


@pytest.fixture
def found(shop):
    """What the auditor has to say of our books, and where the bank's differ from them."""

    def look():
        said = [str(finding) for finding in audit(ask_gateway=False).findings]
        return said + [str(difference) for difference in ledger_discrepancies(shop.gateway.charges())]

    return look


def at_the_dashboard(shop, order, amount_minor=None, *, key="dashboard"):
    """Somebody gives money back at the provider's dashboard, and nobody tells us."""
    key, of = f"{key}:{order.id}", authorization_key(order.saga_id)
    reply = shop.gateway.gateway().refund(key=key, authorization_key=of, amount_minor=amount_minor)
    assert reply.outcome is Outcome.DONE
    return reply


def both_at_once(*moves):
    """Do all of it in the same moment; return what each came to."""
    barrier = Barrier(len(moves))

    def run(move):
        barrier.wait(60)
        try:
            return move()
        except MarketplaceError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(moves)) as pool:
        return list(pool.map(run, moves))


class TestByStaff:
    @pytest.mark.core
    def test_a_part_goes_back_and_the_order_stands(self, shop, sold, found):
        asked = refund(sold, 300)
        assert (asked.status, asked.amount_minor, asked.actor, asked.reason) == ("PENDING", 300, "ada", "It came late.")
        assert shop.now(sold).refund_status == "PENDING"

        shop.work()

        order = shop.now(sold)
        assert (order.status, order.refund_status, order.payment.status) == (
            "CONFIRMED", "PARTIALLY_REFUNDED", "PARTIALLY_REFUNDED",
        )  # fmt: skip
        assert shop.money(sold) == [*SOLD, ("REFUND", 300)]
        row = Refund.objects.get()
        assert (row.status, row.source, row.gateway_reference[:3]) == ("DONE", "STAFF", "re_")
        assert row.created_at < row.settled_at <= row.told_at
        assert saga(asked).status == "COMPLETED"
        assert shop.notes(sold) == [
            "ada: 3.00 EUR is to go back to the buyer: It came late.",
            "saga: 3.00 EUR sent back to the buyer.",
        ]
        assert (told(sold), found()) == ([("3.00", "staff")], [])

    def test_in_parts_until_nothing_is_left(self, shop, sold, found):
        for number, amount in enumerate((300, 500)):
            refund(sold, amount, key=f"click-{number}")
            shop.work()
        asked = refund(sold, key="click-rest")
        assert asked.amount_minor == 200
        shop.work()

        assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CONFIRMED", "REFUNDED")
        assert shop.money(sold) == [*SOLD, ("REFUND", 300), ("REFUND", 500), ("REFUND", 200)]
        assert told(sold) == [("3.00", "staff"), ("5.00", "staff"), ("2.00", "staff")]
        assert found() == []
        with pytest.raises(NothingToRefund):
            refund(sold, 1, key="click-more")

    @pytest.mark.parametrize("amount", [0, -1, 1001])
    def test_no_more_than_there_is(self, shop, sold, amount):
        with pytest.raises(RefundTooLarge) as refused:
            refund(sold, amount)
        assert refused.value.data == {"left": 1000}
        assert (objects(sold), shop.now(sold).refund_status, shop.notes(sold)) == ([], "", [])

    def test_what_is_under_way_counts_as_given(self, shop, sold):
        refund(sold, 700)
        with pytest.raises(RefundTooLarge) as refused:
            refund(sold, 301, key="click-2")
        assert refused.value.data == {"left": 300}
        assert refund(sold, key="click-2").amount_minor == 300

    def test_who_clicks_twice_pays_once(self, shop, sold):
        first = refund(sold, 300)
        assert refund(sold, 300).id == first.id
        shop.work()
        again = refund(sold, 300)
        assert (again.id, again.status) == (first.id, "DONE")
        shop.work()
        assert shop.money(sold) == [*SOLD, ("REFUND", 300)]
        with pytest.raises(RefundDiffers):
            refund(sold, 301)

    @pytest.mark.parametrize("missing", ["actor", "reason", "key"])
    def test_nobody_and_no_reason_are_none(self, shop, sold, missing):
        with pytest.raises(ValueError, match="who they are and why"):
            refund(sold, 300, **{missing: " " if missing != "key" else ""})
        assert objects(sold) == []

    def test_an_order_that_is_being_placed_is_cancelled_instead(self, shop):
        shop.stocked("laptop", 1)
        order = shop.order("laptop")
        for queue in ("inventory", "orders", "payments", "orders", "payments"):
            shop.work(queues=(queue,))
        assert shop.now(order).payment.status == "CAPTURED"
        with pytest.raises(NotPlacedYet):
            refund(order, 300)
        shop.work()
        assert (shop.now(order).status, objects(order)) == ("CONFIRMED", [])

    def test_one_that_was_never_paid_has_nothing(self, shop):
        shop.stocked("laptop", 1)
        with pytest.raises(NothingToRefund):
            refund(shop.bought("laptop", token="tok_declined"))

    def test_the_bank_decides_about_disputed_money(self, shop, sold):
        shop.bank_says(sold, dispute=Dispute.OPEN)
        with pytest.raises(PaymentDisputed):
            refund(sold, 300)

    def test_the_words_on_an_ended_order_stay_in_its_buyer_s_language(self, shop, sold):
        cancel(sold)
        shop.work()
        before = Order.objects.get(pk=sold.id)
        Order.objects.filter(pk=sold.id).update(language="de", refund_status="PENDING")
        with transaction.atomic():
            refunding.set_status([sold.id], now=database_now())
        after = Order.objects.get(pk=sold.id)
        german = wording.failure(before.failure_code, before.failure_detail, refund="REFUNDED", language="de")
        assert (after.refund_status, after.failure_message) == ("REFUNDED", german)
        assert german != before.failure_message


class TestWithOthersAtIt:
    def test_two_of_the_staff_at_once_give_no_more_than_was_taken(self, shop, sold):
        came = both_at_once(
            lambda: refund(sold, 600, key="of-ada", actor="ada"), lambda: refund(sold, 600, key="of-bob", actor="bob")
        )
        assert sorted(type(one).__name__ for one in came) == ["RefundTooLarge", "RefundView"]
        shop.work()
        assert shop.money(sold) == [*SOLD, ("REFUND", 600)]

    def test_the_same_click_in_two_places_at_once(self, shop, sold):
        first, second = both_at_once(lambda: refund(sold, 600), lambda: refund(sold, 600))
        assert first.id == second.id
        shop.work()
        assert (shop.money(sold), len(told(sold))) == ([*SOLD, ("REFUND", 600)], 1)

    def test_a_part_and_then_a_cancel_gives_back_the_rest(self, shop, sold, found):
        refund(sold, 300)
        shop.work()
        cancel(sold)
        shop.work()
        assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CANCELLED", "REFUNDED")
        assert shop.money(sold) == [*SOLD, ("REFUND", 300), ("REFUND", 700)]
        assert objects(sold) == [("STAFF", "DONE", 300), ("SAGA", "DONE", 700)]
        assert (told(sold), found()) == ([("3.00", "staff"), ("7.00", "saga")], [])

    def test_a_part_that_is_under_way_when_the_order_is_cancelled(self, shop, sold, found):
        """The cancel asks for all that is left, and the bank decides in which order: all of it goes back, once."""
        asked = refund(sold, 300)
        cancel(sold)
        shop.work()
        assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CANCELLED", "REFUNDED")
        assert sum(amount for kind, amount in shop.money(sold) if kind == "REFUND") == 1000
        assert sum(amount for _, status, amount in objects(sold) if status == "DONE") == 1000
        if Refund.objects.get(pk=asked.id).status == "FAILED":  # it came second, and nothing was left
            attention.resolve(saga(asked).id, actor="ada", reason="It went back.", now=database_now())
            shop.work()
        assert saga(asked).status == "COMPLETED"
        assert found() == []

    def test_a_part_whose_answer_is_lost_does_not_let_the_cancel_end_too_soon(self, shop, sold, monkeypatch, found):
        really = payments.send
        with monkeypatch.context() as patch:
            patch.setattr(payments, "send", lambda call: really(call) and Reply(Outcome.UNKNOWN, message="Lost."))
            asked = refund(sold, 300)
            shop.work()
        cancel(sold)
        shop.work()
        order = shop.now(sold)
        assert (order.status, order.refund_status) == ("CONFIRMED", "PENDING")  # 3.00 may be with the buyer, or not

        for one in SagaInstance.objects.exclude(due_at=None):
            SagaInstance.objects.filter(pk=one.pk).update(due_at=database_now())
        shop.work()
        for one in SagaInstance.objects.exclude(due_at=None):
            SagaInstance.objects.filter(pk=one.pk).update(due_at=database_now())
        shop.work()

        assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CANCELLED", "REFUNDED")
        assert (shop.money(sold), saga(asked).status) == ([*SOLD, ("REFUND", 300), ("REFUND", 700)], "COMPLETED")
        assert (sorted(told(sold)), found()) == ([("3.00", "staff"), ("7.00", "saga")], [])

    def test_one_that_is_being_cancelled_gives_all_of_it_back_anyway(self, shop, sold):
        cancel(sold)
        with pytest.raises(BeingTakenBack):
            refund(sold, 300)
        shop.work()
        assert shop.money(sold) == [*SOLD, ("REFUND", 1000)]
        assert objects(sold) == [("SAGA", "DONE", 1000)]

    def test_a_refund_and_a_cancel_in_the_same_moment(self, shop, sold):
        both_at_once(lambda: refund(sold, 300), lambda: cancel(sold))
        shop.work()
        assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CANCELLED", "REFUNDED")
        assert sum(amount for kind, amount in shop.money(sold) if kind == "REFUND") == 1000

    def test_the_bank_is_faster_and_takes_it_all_back(self, shop, sold, found):
        """The refund comes to nothing, and says so; the money is not given twice."""
        asked = refund(sold, 300)
        shop.gateway.reverse(authorization_key(sold.saga_id))
        shop.bank_says(sold)
        shop.work()
        assert shop.money(sold) == [*SOLD, ("REVERSE", 1000)]
        assert (shop.now(sold).status, shop.now(sold).refund_status) == ("FAILED", "REVERSED")
        assert objects(sold) == [("STAFF", "FAILED", 300)]
        assert saga(asked).status == "NEEDS_ATTENTION"
        attention.resolve(saga(asked).id, actor="ada", reason="The bank did it.", now=database_now())
        shop.work()
        assert (saga(asked).status, told(sold), found()) == ("COMPLETED", [], [])

    def test_the_bank_takes_back_the_rest(self, shop, sold, found):
        refund(sold, 300)
        shop.work()
        shop.gateway.reverse(authorization_key(sold.saga_id))
        shop.bank_says(sold)
        shop.work()
        assert shop.money(sold) == [*SOLD, ("REFUND", 300), ("REVERSE", 700)]
        assert (shop.now(sold).status, shop.now(sold).refund_status) == ("FAILED", "REVERSED")
        assert found() == []


class TestAtTheDashboard:
    def test_it_is_imported_part_by_part(self, shop, sold, found):
        first = at_the_dashboard(shop, sold, 200, key="one")
        second = at_the_dashboard(shop, sold, 300, key="two")
        shop.bank_says(sold)
        rows = Refund.objects.order_by("created_at")
        assert [(row.source, row.status, row.amount_minor, row.gateway_reference) for row in rows] == [
            ("GATEWAY", "DONE", 200, first.reference), ("GATEWAY", "DONE", 300, second.reference),
        ]  # fmt: skip
        order = shop.now(sold)
        assert (order.status, order.refund_status, order.payment.status) == (
            "CONFIRMED", "PARTIALLY_REFUNDED", "PARTIALLY_REFUNDED",
        )  # fmt: skip
        assert told(sold) == [("2.00", "gateway"), ("3.00", "gateway")]
        assert shop.notes(sold) == [
            "bank: 2.00 EUR given back at the payment provider's own dashboard.",
            "bank: 3.00 EUR given back at the payment provider's own dashboard.",
        ]
        shop.bank_says(sold)  # told twice, counted once
        assert (Refund.objects.count(), len(told(sold)), found()) == (2, 2, [])

    def test_all_of_it_leaves_an_order_that_stands_to_a_person(self, shop, sold, found):
        at_the_dashboard(shop, sold)
        shop.bank_says(sold)
        shop.work()
        assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CONFIRMED", "REFUNDED")
        case = SagaInstance.objects.get(name="payment_case")
        assert case.status == "NEEDS_ATTENTION"
        attention.resolve(case.id, actor="ada", reason="A present.", now=database_now())
        shop.work()
        assert found() == []

    @pytest.mark.parametrize("webhook_first", [True, False])
    def test_our_own_is_recognised_whichever_comes_first(self, shop, sold, monkeypatch, webhook_first, found):
        """The webhook about our refund, before its answer is written down and after: one refund, one event."""
        really = payments.send

        def send(call):
            reply = really(call)
            if webhook_first:
                shop.bank_says(sold)
            return reply

        monkeypatch.setattr(payments, "send", send)
        asked = refund(sold, 300)
        shop.work()
        shop.bank_says(sold)
        assert (objects(sold), told(sold)) == ([("STAFF", "DONE", 300)], [("3.00", "staff")])
        assert (shop.now(sold).refund_status, saga(asked).status, found()) == ("PARTIALLY_REFUNDED", "COMPLETED", [])

    def test_our_own_is_seen_done_though_its_answer_is_lost(self, shop, sold, monkeypatch, found):
        """And the worker, when it asks again, finds nothing left to do."""
        really = payments.send
        with monkeypatch.context() as patch:
            patch.setattr(payments, "send", lambda call: really(call) and Reply(Outcome.UNKNOWN, message="Lost."))
            asked = refund(sold, 300)
            shop.work()
        assert objects(sold) == [("STAFF", "PENDING", 300)]
        shop.bank_says(sold)
        assert (objects(sold), shop.now(sold).refund_status) == ([("STAFF", "DONE", 300)], "PARTIALLY_REFUNDED")
        calls = Attempt.objects.filter(operation="REFUND").count()
        SagaInstance.objects.filter(pk=saga(asked).pk).update(due_at=database_now())
        shop.work()
        assert (saga(asked).status, Attempt.objects.filter(operation="REFUND").count()) == ("COMPLETED", calls)
        assert (told(sold), found()) == ([("3.00", "staff")], [])

    @pytest.mark.parametrize("seen_first", [True, False])
    def test_one_of_theirs_and_one_of_ours_beyond_what_is_there(self, shop, sold, seen_first):
        """Seen before ours is answered, and after: ours is refused, and nothing is counted twice."""
        asked = refund(sold, 600)
        at_the_dashboard(shop, sold, 600)
        if seen_first:
            shop.bank_says(sold)
        shop.work()
        shop.bank_says(sold)
        assert shop.money(sold) == [*SOLD, ("REFUND", 600)]
        assert sorted(objects(sold)) == [("GATEWAY", "DONE", 600), ("STAFF", "FAILED", 600)]
        assert (shop.now(sold).refund_status, told(sold)) == ("PARTIALLY_REFUNDED", [("6.00", "gateway")])
        assert saga(asked).status == "NEEDS_ATTENTION"

    @pytest.mark.parametrize("seen_first", [True, False])
    def test_one_of_theirs_and_a_cancel_that_gives_back_the_rest(self, shop, sold, seen_first, found):
        cancel(sold)
        at_the_dashboard(shop, sold, 600)
        if seen_first:
            shop.bank_says(sold)
        shop.work()
        shop.bank_says(sold)
        SagaInstance.objects.filter(name="reverse_order").exclude(due_at=None).update(due_at=database_now())
        shop.work()
        assert shop.money(sold) == [*SOLD, ("REFUND", 600), ("REFUND", 400)]
        assert sorted(objects(sold)) == [("GATEWAY", "DONE", 600), ("SAGA", "DONE", 400)]
        assert (shop.now(sold).status, shop.now(sold).refund_status) == ("CANCELLED", "REFUNDED")
        assert (sorted(told(sold)), found()) == ([("4.00", "saga"), ("6.00", "gateway")], [])


class TestThatFail:
    """What is tried again for a day, with one key; and what a person has to decide at once."""

    @pytest.fixture
    def dead(self, monkeypatch):
        """Whatever is sent is lost on its way; answer the keys that were sent, and how to mend it."""
        really, keys = payments.send, []

        def send(call):
            if call.operation != "REFUND":
                return really(call)
            keys.append(call.key)
            return Reply(Outcome.UNKNOWN, code="gateway_timeout", message="No answer.")

        monkeypatch.setattr(payments, "send", send)
        return keys, lambda: monkeypatch.setattr(payments, "send", really)

    @pytest.mark.parametrize("by_cancel", [True, False])
    def test_for_a_day_by_the_same_key_and_then_a_person(self, shop, sold, dead, by_cancel):
        keys, _ = dead
        if by_cancel:
            cancel(sold)
        else:
            refund(sold, 300)
        shop.work()
        row = SagaInstance.objects.get(name="reverse_order" if by_cancel else "refund_payment")
        assert (row.status, len(keys)) == ("IN_PROGRESS", 8)
        assert timedelta(minutes=26) < row.due_at - database_now() < timedelta(minutes=34)
        assert shop.now(sold).refund_status == "PENDING"

        for hours in (1, 22):
            let_pass(row.pk, timedelta(hours=hours))
            shop.work()
            row.refresh_from_db()
            assert row.status == "IN_PROGRESS"
        let_pass(row.pk, timedelta(minutes=61))
        shop.work()
        row.refresh_from_db()
        assert (row.status, row.due_at) == ("NEEDS_ATTENTION", None)
        assert (len(keys), len(set(keys))) == (10, 1)
        assert (shop.money(sold), shop.now(sold).refund_status) == (SOLD, "PENDING")

    def test_one_that_works_in_the_end(self, shop, sold, dead):
        keys, mended = dead
        asked = refund(sold, 300)
        shop.work()
        mended()
        let_pass(saga(asked).id, timedelta(hours=23))
        shop.work()
        assert (saga(asked).status, shop.money(sold)) == ("COMPLETED", [*SOLD, ("REFUND", 300)])
        assert Refund.objects.get().idempotency_key == keys[0]

    def test_the_undo_of_a_capture_too(self, shop, dead):
        shop.stocked("laptop", 1)
        order = shop.order("laptop")
        for queue in ("inventory", "orders", "payments", "orders", "payments"):
            shop.work(queues=(queue,))
        cancel(order)
        shop.work()
        row = SagaInstance.objects.get()
        assert row.status == "COMPENSATING"
        let_pass(row.pk, timedelta(hours=23, minutes=59))
        shop.work()
        row.refresh_from_db()
        assert row.status == "NEEDS_ATTENTION"
        keys, mended = dead
        mended()
        attention.retry(row.pk, actor="ada", reason="They answer again.", now=database_now())
        shop.work()
        assert (shop.now(order).status, shop.money(order)) == ("CANCELLED", [*SOLD, ("REFUND", 1000)])
        assert set(Refund.objects.values_list("idempotency_key", flat=True)) == set(keys)

    def test_a_gateway_that_is_down_for_a_day(self, shop, sold, sandbox_server, settings):
        """Standing by counts too: somebody has to know in the end."""
        sandbox_server.stop()
        asked = refund(sold, 300)
        shop.work()
        assert saga(asked).status == "IN_PROGRESS"
        let_pass(saga(asked).id, timedelta(hours=24, minutes=1))
        shop.work()
        assert saga(asked).status == "NEEDS_ATTENTION"
        sandbox_server.start()

    def test_a_refusal_is_left_to_a_person_and_asked_for_anew(self, shop, sold, monkeypatch):
        with monkeypatch.context() as patch:
            no = Reply(Outcome.REFUSED, code="insufficient_balance", message="The account is empty.")
            patch.setattr(payments, "send", lambda call: no)
            asked = refund(sold, 300)
            shop.work()
        assert (saga(asked).status, objects(sold)) == ("NEEDS_ATTENTION", [("STAFF", "FAILED", 300)])
        row = Refund.objects.get()
        assert (row.failure_code, row.failure_message) == ("insufficient_balance", "The account is empty.")
        assert shop.now(sold).refund_status == ""
        assert shop.notes(sold)[-1] == "saga: The payment provider refuses to send 3.00 EUR back: The account is empty."

        attention.retry(saga(asked).id, actor="ada", reason="Topped up.", now=database_now())
        shop.work()
        assert (saga(asked).status, objects(sold)) == ("COMPLETED", [("STAFF", "DONE", 300)])
        first, second = (
            Attempt.objects.filter(operation="REFUND").order_by("id").values_list("idempotency_key", flat=True)
        )
        assert (second, Refund.objects.get().idempotency_key) == (f"{first}:2", f"{first}:2")

    def test_one_that_nobody_knows_of_is_not_settled_by_saying_so(self, shop, sold, dead):
        asked = refund(sold, 300)
        shop.work()
        let_pass(saga(asked).id, timedelta(hours=25))
        shop.work()
        attention.resolve(saga(asked).id, actor="ada", reason="Paid in cash.", now=database_now())
        shop.work()
        assert (saga(asked).status, saga(asked).current_step) == ("NEEDS_ATTENTION", "close_refund")
        assert "nobody knows" in saga(asked).attention
