"""Open, begin, record: what is written, what moves, and what must not. No gateway is needed for these."""

from dataclasses import replace
from uuid import uuid4

import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError

from payments import selectors, services
from payments.errors import KeyTaken, PaymentDiffers
from payments.gateways.base import Outcome, Reply
from payments.models import Attempt, Payment, Refund
from payments.services import NewPayment
from payments.tests.cashier import (
    DECLINED,
    GIVEN_BACK,
    HELD,
    LATER,
    LET_GO,
    NOBODY_KNOWS,
    NOW,
    TAKEN,
    attempts,
    begin,
    hear,
    key_of,
    open_payment,
    record,
    refunds,
    status,
)

pytestmark = [pytest.mark.django_db, pytest.mark.core]

NOTHING_TO_REFUND = Reply(Outcome.DONE, code="nothing_to_refund", amount_minor=0)
NOTHING_TO_VOID = Reply(Outcome.DONE, code="nothing_to_void", amount_minor=0)


@pytest.fixture
def order():
    return open_payment()


class TestOpen:
    def test_makes_pending_payments_in_the_order_asked_for(self, settings):
        requests = [NewPayment(uuid4(), "tok_visa", amount, "EUR") for amount in (3, 1, 2)]
        views = services.open(requests, now=NOW)
        assert [v.reference_id for v in views] == [r.reference_id for r in requests]
        assert [(v.amount_minor, v.currency, v.status, v.gateway) for v in views] == [
            (amount, "EUR", "PENDING", settings.PAYMENT_GATEWAY) for amount in (3, 1, 2)
        ]
        assert Payment.objects.filter(created_at=NOW, updated_at=NOW).count() == 3

    def test_opening_again_answers_what_is_there(self, order):
        hear("AUTHORIZE", order, HELD)
        (view,) = services.open([NewPayment(order, "tok_visa", 1299, "EUR")], now=LATER)
        assert (view.status, view.gateway_reference) == ("AUTHORIZED", "ch_1")
        assert Payment.objects.count() == 1

    def test_the_same_one_twice_in_a_group_is_one(self):
        request = NewPayment(uuid4(), "tok_visa", 1299, "EUR")
        first, second = services.open([request, request], now=NOW)
        assert first == second
        assert Payment.objects.count() == 1

    @pytest.mark.parametrize("change", [{"method": "tok_fraud"}, {"amount_minor": 1}, {"currency": "USD"}])
    def test_another_payment_under_the_same_reference_is_refused(self, order, change):
        request = replace(NewPayment(order, "tok_visa", 1299, "EUR"), **change)
        with pytest.raises(PaymentDiffers):
            services.open([request], now=NOW)
        assert Payment.objects.count() == 1

    def test_a_second_try_is_a_payment_of_its_own(self, order):
        hear("AUTHORIZE", order, DECLINED)
        services.give_up([order], now=LATER)
        (second,) = services.open([NewPayment(order, "tok_fraud", 1299, "EUR", sequence=2)], now=LATER)
        assert (second.status, second.sequence) == ("PENDING", 2)
        assert selectors.payments_of([order])[order].id == second.id
        call = begin("AUTHORIZE", order, key="another key")
        assert (call.payment_id, call.method, call.number) == (second.id, "tok_fraud", 1)

    def test_nothing_is_nothing(self):
        assert services.open([], now=NOW) == []


def begin_first(*orders, keys=(), method="tok_visa", sequence=1):
    """Open payments and begin their authorizations, without a savepoint."""
    requests = [NewPayment(order, method, 1299, "EUR", sequence) for order in orders]
    keys = keys or [key_of(order, "AUTHORIZE") for order in orders]
    return services.begin_first(requests, keys=keys, numbers=[1] * len(orders), now=NOW)


class TestBeginFirst:
    """The same as `open` and then `begin` of an authorization, for orders without a payment."""

    def test_a_payment_and_its_first_attempt_are_one_statement(self, order, django_assert_num_queries):
        orders = [uuid4() for _ in range(3)]
        with django_assert_num_queries(1):
            calls = begin_first(*orders)
        apart, expected = Payment.objects.get(reference_id=order), begin("AUTHORIZE", order)
        for one, call in zip(orders, calls, strict=True):
            payment, key = Payment.objects.get(reference_id=one), key_of(one, "AUTHORIZE")
            own = {"payment_id": payment.id, "reference_id": one, "attempt_id": call.attempt_id}
            assert call == expected._replace(**own, key=key, authorization_key=key)
            assert attempts(one) == [("AUTHORIZE", 1, "", "")]
            assert payment.authorization_key == key
            for field in Payment._meta.concrete_fields:
                if field.name not in {"id", "reference_id", "authorization_key"}:
                    assert getattr(payment, field.name) == getattr(apart, field.name), field.name

    def test_nothing_is_written_where_the_order_has_a_payment(self, order):
        asked, voided, declined, fresh = uuid4(), open_payment(), open_payment(), uuid4()
        begin_first(asked)
        begin("VOID", voided)
        hear("AUTHORIZE", declined, DECLINED)
        before = (list(Payment.objects.order_by("id").values()), list(Attempt.objects.order_by("id").values()))
        calls = begin_first(order, asked, fresh, voided, method="tok_fraud")
        assert [call and call.reference_id for call in calls] == [None, None, fresh, None]
        assert begin_first(declined, keys=["another"], sequence=2) == [None]
        Attempt.objects.filter(payment__reference_id=fresh).delete()
        Payment.objects.filter(reference_id=fresh).delete()
        assert before == (list(Payment.objects.order_by("id").values()), list(Attempt.objects.order_by("id").values()))

    def test_a_key_that_was_used_opens_nothing(self, order):
        begin("AUTHORIZE", order, key="k")
        assert begin_first(uuid4(), keys=["k"]) == [None]
        with pytest.raises(KeyTaken):
            begin_first(uuid4(), uuid4(), keys=["same", "same"])
        assert (Payment.objects.count(), Attempt.objects.count()) == (1, 1)

    def test_the_same_order_twice_in_a_group_is_asked_for_once(self):
        order = uuid4()
        first, second = begin_first(order, order, keys=["a", "b"])
        assert (first.key, second) == ("a", None)
        assert attempts(order) == [("AUTHORIZE", 1, "", "")]

    def test_nothing_is_nothing(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert begin_first() == []


class TestBegin:
    def test_writes_the_attempt_before_the_call(self, order):
        call = begin("AUTHORIZE", order)
        payment = Payment.objects.get()
        assert (call.payment_id, call.reference_id, call.operation) == (payment.id, order, "AUTHORIZE")
        assert (call.key, call.authorization_key, call.number) == (key_of(order, "AUTHORIZE"),) * 2 + (1,)
        assert (call.gateway, call.method, call.amount_minor, call.currency) == ("sandbox", "tok_visa", 1299, "EUR")
        assert payment.authorization_key == call.key
        attempt = Attempt.objects.get(id=call.attempt_id)
        assert (attempt.outcome, attempt.started_at, attempt.finished_at) == ("", NOW, None)

    def test_what_was_recorded_in_the_same_transaction_is_not_read_again(self, order, django_assert_num_queries):
        asked = begin("AUTHORIZE", order)
        key = key_of(order, "CAPTURE")
        with transaction.atomic():
            (view,) = services.record([(asked, HELD)], now=NOW)
            with django_assert_num_queries(1):
                (call,) = services.begin("CAPTURE", [order], keys=[key], numbers=[1], now=NOW, known={order: view})
        assert (call.key, call.gateway_reference, call.amount_minor) == (key, "ch_1", 1299)
        assert attempts(order) == [("AUTHORIZE", 1, "DONE", ""), ("CAPTURE", 1, "", "")]

    def test_later_calls_know_the_authorization(self, order):
        hear("AUTHORIZE", order, HELD)
        for operation in ("CAPTURE", "VOID", "REFUND"):
            call = begin(operation, order)
            assert (call.key, call.authorization_key) == (key_of(order, operation), key_of(order, "AUTHORIZE"))
            assert call.gateway_reference == "ch_1"
            assert call.amount_minor == (None if operation == "REFUND" else 1299)

    def test_answers_a_group_in_its_order_with_gaps(self, order):
        second, unknown = open_payment(amount_minor=5), uuid4()
        orders = [second, unknown, order]
        calls = services.begin("AUTHORIZE", orders, keys=["k2", "k0", "k1"], numbers=[1, 1, 1], now=NOW)
        assert [call and (call.reference_id, call.key, call.amount_minor) for call in calls] == [
            (second, "k2", 5),
            None,
            (order, "k1", 1299),
        ]
        assert Attempt.objects.count() == 2

    @pytest.mark.parametrize("operation", ["CAPTURE", "VOID", "REFUND"])
    def test_does_nothing_where_nothing_was_ever_asked_for(self, order, operation):
        assert begin(operation, order) is None
        assert begin(operation, uuid4()) is None
        assert (Attempt.objects.count(), Refund.objects.count()) == (0, 0)

    def test_a_void_before_the_authorization_stops_it_for_good(self, order):
        assert begin("VOID", order) is None
        assert status(order) == ("VOIDED", 0, 0)
        assert begin("AUTHORIZE", order) is None
        assert Attempt.objects.count() == 0
        assert Payment.objects.get().authorization_key == ""

    @pytest.mark.parametrize(
        ("story", "pointless"),
        [
            ([("AUTHORIZE", DECLINED)], {"CAPTURE", "VOID", "REFUND"}),
            ([("AUTHORIZE", HELD), ("VOID", LET_GO)], {"AUTHORIZE", "CAPTURE", "VOID", "REFUND"}),
            ([("AUTHORIZE", HELD), ("CAPTURE", TAKEN), ("REFUND", GIVEN_BACK)], {"VOID", "REFUND"}),
            ([("AUTHORIZE", HELD), ("CAPTURE", TAKEN)], set()),
            ([("AUTHORIZE", HELD)], set()),
            ([("AUTHORIZE", NOBODY_KNOWS)], set()),
        ],
    )
    def test_does_nothing_where_the_money_is_gone_or_never_was(self, order, story, pointless):
        for operation, reply in story:
            hear(operation, order, reply)
        begun = {operation for operation in ("AUTHORIZE", "CAPTURE", "VOID", "REFUND") if begin(operation, order)}
        assert begun == {"AUTHORIZE", "CAPTURE", "VOID", "REFUND"} - pointless

    def test_a_retry_has_the_same_key_and_the_next_number(self, order):
        hear("AUTHORIZE", order, NOBODY_KNOWS)
        call = begin("AUTHORIZE", order, number=2)
        assert (call.key, call.number) == (key_of(order, "AUTHORIZE"), 2)
        assert attempts(order) == [("AUTHORIZE", 1, "UNKNOWN", "gateway_timeout"), ("AUTHORIZE", 2, "", "")]

    def test_a_call_that_nobody_came_back_from_is_the_same_attempt(self, order):
        first, again = begin("AUTHORIZE", order), begin("AUTHORIZE", order)
        assert again == first
        assert attempts(order) == [("AUTHORIZE", 1, "", "")]

    def test_a_number_that_was_answered_is_not_used_again(self, order):
        for number in (1, 2):
            hear("AUTHORIZE", order, NOBODY_KNOWS, number=number)
        call = begin("AUTHORIZE", order, number=1)  # a saga that a person has started again counts from one
        assert call.number == 3
        record(call, HELD)
        assert status(order) == ("AUTHORIZED", 0, 0)
        assert [outcome for _, _, outcome, _ in attempts(order)] == ["UNKNOWN", "UNKNOWN", "DONE"]

    def test_a_second_authorization_key_is_refused(self, order):
        begin("AUTHORIZE", order)
        with pytest.raises(KeyTaken):
            begin("AUTHORIZE", order, key="another")
        assert attempts(order) == [("AUTHORIZE", 1, "", "")]

    def test_a_key_of_another_payment_or_another_operation_is_refused(self, order):
        hear("AUTHORIZE", order, HELD)
        other = open_payment()
        with pytest.raises(KeyTaken):
            begin("AUTHORIZE", other, key=key_of(order, "AUTHORIZE"))
        with pytest.raises(KeyTaken):
            begin("VOID", order, key=key_of(order, "AUTHORIZE"))
        with pytest.raises(KeyTaken):
            begin("AUTHORIZE", other, key=key_of(order, "AUTHORIZE"), number=2)
        assert Attempt.objects.count() == 1

    def test_one_key_for_two_orders_of_a_group_is_refused(self, order):
        with pytest.raises(KeyTaken), transaction.atomic():
            services.begin("AUTHORIZE", [order, open_payment()], keys=["k", "k"], numbers=[1, 1], now=NOW)
        assert Attempt.objects.count() == 0

    def test_lists_of_different_lengths_are_an_error(self, order):
        with pytest.raises(ValueError, match="shorter"), transaction.atomic():
            services.begin("AUTHORIZE", [order], keys=["k"], numbers=[], now=NOW)

    def test_a_refund_is_an_object_from_the_moment_it_is_asked_for(self, order):
        hear("AUTHORIZE", order, HELD)
        hear("CAPTURE", order, TAKEN)
        begin("REFUND", order)
        begin("REFUND", order, number=2)
        assert refunds(order) == [("PENDING", 1299)]
        assert status(order) == ("CAPTURED", 1299, 0)


class TestRecord:
    def test_authorized(self, order):
        view = hear("AUTHORIZE", order, HELD)
        assert (view.status, view.gateway_reference) == ("AUTHORIZED", "ch_1")
        assert view == selectors.payments_of([order])[order]
        attempt = Attempt.objects.get()
        assert (attempt.outcome, attempt.gateway_reference, attempt.finished_at) == ("DONE", "ch_1", LATER)
        assert Payment.objects.get().updated_at == LATER

    def test_declined(self, order):
        view = hear("AUTHORIZE", order, DECLINED)
        assert (view.status, view.failure_code, view.failure_message) == ("FAILED", "card_declined", DECLINED.message)
        assert view == selectors.payments_of([order])[order]
        assert attempts(order) == [("AUTHORIZE", 1, "REFUSED", "card_declined")]

    @pytest.mark.parametrize("operation", ["AUTHORIZE", "CAPTURE", "VOID", "REFUND"])
    def test_an_unknown_moves_nothing(self, order, operation):
        if operation != "AUTHORIZE":
            hear("AUTHORIZE", order, HELD)
        if operation == "REFUND":
            hear("CAPTURE", order, TAKEN)
        before = status(order)
        hear(operation, order, NOBODY_KNOWS)
        assert status(order) == before
        assert attempts(order)[-1] == (operation, 1, "UNKNOWN", "gateway_timeout")
        assert refunds(order) == ([("PENDING", 1299)] if operation == "REFUND" else [])

    def test_captured(self, order):
        hear("AUTHORIZE", order, HELD)
        view = hear("CAPTURE", order, TAKEN)
        assert (view.status, view.captured_minor, view.gateway_reference) == ("CAPTURED", 1299, "ch_1")

    def test_a_refused_capture_leaves_the_money_held(self, order):
        hear("AUTHORIZE", order, HELD)
        view = hear("CAPTURE", order, Reply(Outcome.REFUSED, code="amount_too_large"))
        assert (view.status, view.failure_code) == ("AUTHORIZED", "")
        assert attempts(order)[-1] == ("CAPTURE", 1, "REFUSED", "amount_too_large")

    def test_voided(self, order):
        hear("AUTHORIZE", order, HELD)
        assert hear("VOID", order, LET_GO).status == "VOIDED"

    def test_voided_although_nobody_knows_of_the_authorization(self, order):
        hear("AUTHORIZE", order, NOBODY_KNOWS)
        assert hear("VOID", order, NOTHING_TO_VOID).status == "VOIDED"

    def test_a_refused_void_leaves_it_as_it_was(self, order):
        hear("AUTHORIZE", order, HELD)
        hear("CAPTURE", order, TAKEN)
        assert hear("VOID", order, Reply(Outcome.REFUSED, code="already_captured")).status == "CAPTURED"

    def test_refunded(self, order):
        hear("AUTHORIZE", order, HELD)
        hear("CAPTURE", order, TAKEN)
        view = hear("REFUND", order, GIVEN_BACK)
        assert (view.status, view.captured_minor, view.refunded_minor) == ("REFUNDED", 1299, 1299)
        assert refunds(order) == [("DONE", 1299)]
        assert Refund.objects.get().gateway_reference == "re_1"

    def test_refunded_although_nobody_knows_of_the_capture(self, order):
        hear("AUTHORIZE", order, HELD)
        hear("CAPTURE", order, NOBODY_KNOWS)
        hear("REFUND", order, GIVEN_BACK)
        assert status(order) == ("REFUNDED", 1299, 1299)

    def test_a_part_refunded_is_counted_by_what_the_gateway_says(self, order):
        hear("AUTHORIZE", order, HELD)
        hear("CAPTURE", order, TAKEN)
        record(begin("REFUND", order, key="a"), replace(GIVEN_BACK, amount_minor=300))
        assert (status(order), refunds(order)) == (("PARTIALLY_REFUNDED", 1299, 300), [("DONE", 300)])
        record(begin("REFUND", order, key="b"), replace(GIVEN_BACK, amount_minor=999, reference="re_2"))
        assert (status(order), refunds(order)) == (("REFUNDED", 1299, 1299), [("DONE", 300), ("DONE", 999)])

    def test_a_refund_without_an_amount_is_all_that_was_expected(self, order):
        hear("AUTHORIZE", order, HELD)
        hear("CAPTURE", order, TAKEN)
        assert hear("REFUND", order, Reply(Outcome.DONE, reference="re_1")).refunded_minor == 1299

    def test_nothing_to_refund_moves_nothing(self, order):
        hear("AUTHORIZE", order, HELD)
        assert hear("REFUND", order, NOTHING_TO_REFUND).status == "AUTHORIZED"
        assert refunds(order) == [("DONE", 0)]
        assert hear("VOID", order, LET_GO).status == "VOIDED"

    def test_a_capture_that_overtook_its_refund_is_refunded_by_the_same_key(self, order):
        hear("AUTHORIZE", order, HELD)
        capture = begin("CAPTURE", order)
        hear("REFUND", order, NOTHING_TO_REFUND)
        record(capture, TAKEN)
        hear("REFUND", order, GIVEN_BACK, number=2)
        assert status(order) == ("REFUNDED", 1299, 1299)
        assert refunds(order) == [("DONE", 1299)]

    def test_a_refused_refund_may_be_asked_for_again(self, order):
        hear("AUTHORIZE", order, HELD)
        hear("CAPTURE", order, TAKEN)
        hear("REFUND", order, Reply(Outcome.REFUSED, code="bank_closed"))
        assert (status(order), refunds(order)) == (("CAPTURED", 1299, 0), [("FAILED", 1299)])
        call = begin("REFUND", order, number=2)
        assert refunds(order) == [("PENDING", 1299)]
        record(call, GIVEN_BACK)
        assert (status(order), refunds(order)) == (("REFUNDED", 1299, 1299), [("DONE", 1299)])

    def test_the_same_answer_twice_is_recorded_once(self, order):
        for operation, reply in (("AUTHORIZE", HELD), ("CAPTURE", TAKEN), ("REFUND", GIVEN_BACK)):
            call = begin(operation, order)
            first = record(call, reply)
            assert record(call, reply) == first
        assert refunds(order) == [("DONE", 1299)]
        assert len(attempts(order)) == 3

    def test_the_same_answer_twice_in_one_group_is_recorded_once(self, order):
        call = begin("AUTHORIZE", order)
        first, second = services.record([(call, NOBODY_KNOWS), (call, HELD)], now=LATER)
        assert first == second == selectors.payments_of([order])[order]
        assert attempts(order) == [("AUTHORIZE", 1, "DONE", "")]

    def test_a_final_answer_is_final(self, order):
        call = begin("AUTHORIZE", order)
        record(call, DECLINED)
        assert record(call, HELD).status == "FAILED"
        assert record(call, NOBODY_KNOWS).status == "FAILED"
        assert attempts(order) == [("AUTHORIZE", 1, "REFUSED", "card_declined")]

    def test_an_unknown_may_be_answered_later(self, order):
        call = begin("AUTHORIZE", order)
        record(call, NOBODY_KNOWS)
        assert record(call, HELD).status == "AUTHORIZED"
        assert attempts(order) == [("AUTHORIZE", 1, "DONE", "")]

    def test_an_authorization_that_comes_after_the_void_is_kept_on_its_attempt_only(self, order):
        late = begin("AUTHORIZE", order)
        hear("VOID", order, LET_GO)
        view = record(late, HELD)
        assert (view.status, view.gateway_reference) == ("VOIDED", "")
        assert attempts(order) == [("AUTHORIZE", 1, "DONE", ""), ("VOID", 1, "DONE", "")]
        assert Attempt.objects.first().gateway_reference == "ch_1"

    def test_a_capture_that_comes_after_its_refund_does_not_count_twice(self, order):
        hear("AUTHORIZE", order, HELD)
        late = begin("CAPTURE", order)
        hear("REFUND", order, GIVEN_BACK)
        assert record(late, TAKEN).status == "REFUNDED"
        assert status(order) == ("REFUNDED", 1299, 1299)

    def test_a_gateway_that_takes_more_than_was_agreed_is_not_believed_in_silence(self, order):
        hear("AUTHORIZE", order, HELD)
        call = begin("CAPTURE", order)
        with pytest.raises(Exception, match="payment_refunded_within_captured_within_amount"), transaction.atomic():
            services.record([(call, replace(TAKEN, amount_minor=1300))], now=LATER)
        assert status(order) == ("AUTHORIZED", 0, 0)
        assert attempts(order)[-1] == ("CAPTURE", 1, "", "")

    def test_a_group_is_answered_in_its_order_each_with_its_own(self):
        orders = [open_payment(amount_minor=n) for n in (1, 2, 3)]
        keys = [key_of(o, "AUTHORIZE") for o in orders]
        calls = services.begin("AUTHORIZE", orders, keys=keys, numbers=[1] * 3, now=NOW)
        replies = [HELD, DECLINED, NOBODY_KNOWS]
        views = services.record(reversed(list(zip(calls, replies, strict=True))), now=LATER)
        assert [(v.reference_id, v.status) for v in views] == [
            (orders[2], "PENDING"),
            (orders[1], "FAILED"),
            (orders[0], "AUTHORIZED"),
        ]

    def test_nothing_is_nothing(self):
        assert services.record([], now=NOW) == []


class TestGroups:
    """The number of statements does not depend on the number of orders."""

    def statements(self, count, django_assert_max_num_queries):
        orders = [uuid4() for _ in range(count)]
        numbers = [1] * count
        with django_assert_max_num_queries(2):
            services.open([NewPayment(order, "tok_visa", 1299, "EUR") for order in orders], now=NOW)

        def move(operation, reply, begins, records):
            keys = [key_of(order, operation) for order in orders]
            with django_assert_max_num_queries(begins):
                calls = services.begin(operation, orders, keys=keys, numbers=numbers, now=NOW)
            answers = [(call, replace(reply, reference=f"{reply.reference}{call.key}")) for call in calls]
            with django_assert_max_num_queries(records):
                services.record(answers, now=LATER)

        move("AUTHORIZE", HELD, 3, 3)
        move("CAPTURE", TAKEN, 2, 3)
        move("REFUND", GIVEN_BACK, 4, 5)
        assert {status(order) for order in orders} == {("REFUNDED", 1299, 1299)}

    @pytest.mark.parametrize("reply", [TAKEN, NOBODY_KNOWS])
    def test_a_refund_in_the_group_changes_nothing_for_the_others(self, reply):
        alone, together, given_back = (open_payment() for _ in range(3))
        for order in (alone, together, given_back):
            hear("AUTHORIZE", order, replace(HELD, reference=f"ch_{order}"))
        hear("CAPTURE", given_back, TAKEN)
        record(begin("CAPTURE", alone), reply)
        calls = [begin("REFUND", given_back), begin("CAPTURE", together)]
        views = services.record(zip(calls, [GIVEN_BACK, reply], strict=True), now=LATER)
        assert [(view.reference_id, view.status) for view in views] == [
            (given_back, "REFUNDED"),
            (together, status(alone)[0]),
        ]
        assert (status(together), attempts(together)) == (status(alone), attempts(alone))
        assert status(given_back) == ("REFUNDED", 1299, 1299)

    @pytest.mark.parametrize("count", [1, 60])
    def test_a_constant_number_of_statements(self, count, django_assert_max_num_queries):
        self.statements(count, django_assert_max_num_queries)


@pytest.mark.django_db(transaction=True)
def test_begin_and_record_need_a_transaction():
    order = open_payment()
    call = begin("AUTHORIZE", order)
    with pytest.raises(TransactionManagementError):
        services.begin("AUTHORIZE", [order], keys=["k"], numbers=[1], now=NOW)
    with pytest.raises(TransactionManagementError):
        services.record([(call, HELD)], now=NOW)
    assert attempts(order) == [("AUTHORIZE", 1, "", "")]
