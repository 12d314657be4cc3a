"""What the database itself refuses, whoever writes."""

from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from payments.models import Attempt, Payment, Refund
from payments.tests import cashier
from payments.tests.cashier import NOW, begin, hear, open_payment

pytestmark = [pytest.mark.django_db, pytest.mark.core]


@pytest.fixture
def captured():
    order = open_payment()
    hear("AUTHORIZE", order, cashier.HELD)
    hear("CAPTURE", order, cashier.TAKEN)
    return order


@transaction.atomic
def commit(write):
    write()
    connection.check_constraints()  # what is deferred to the commit, now


def refuses(name, write):
    with pytest.raises(IntegrityError, match=name):
        commit(write)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"refunded_minor": -1}, "payment_refunded_within_captured_within_amount"),
        ({"refunded_minor": 1300, "captured_minor": 1299}, "payment_refunded_within_captured_within_amount"),
        ({"captured_minor": 1300}, "payment_refunded_within_captured_within_amount"),
        ({"captured_minor": 0}, "payment_status_says_what_the_amounts_say"),
        ({"status": "REFUNDED"}, "payment_status_says_what_the_amounts_say"),
        ({"status": "PARTIALLY_REFUNDED"}, "payment_status_says_what_the_amounts_say"),
        ({"status": "VOIDED"}, "payment_status_says_what_the_amounts_say"),
        ({"status": "PAID"}, "payment_status_says_what_the_amounts_say"),
        ({"status": "FAILED", "captured_minor": 0}, "payment_failed_says_why"),
        ({"authorization_key": ""}, "payment_was_asked_for_before_it_moved"),
        ({"amount_minor": 0, "captured_minor": 0, "status": "AUTHORIZED"}, "payment_amount_positive"),
        ({"currency": "eur"}, "payment_currency_is_iso_4217"),
        ({"sequence": 0}, "payment_sequence_starts_at_one"),
    ],
)
def test_a_payment_that_contradicts_itself(captured, values, name):
    refuses(name, lambda: Payment.objects.update(**values))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"outcome": ""}, "attempt_finished_with_its_outcome"),
        ({"finished_at": None}, "attempt_finished_with_its_outcome"),
        ({"outcome": "MAYBE"}, "attempt_outcome_is_known"),
        ({"operation": "GUESS"}, "attempt_operation_is_known"),
        ({"number": 0}, "attempt_number_starts_at_one"),
        ({"idempotency_key": ""}, "attempt_has_a_key"),
        ({"idempotency_key": "the same"}, "attempt_once_per_key_and_number"),
    ],
)
def test_an_attempt_that_contradicts_itself(captured, values, name):
    refuses(name, lambda: Attempt.objects.update(**values))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"amount_minor": -1}, "refund_amount_not_negative"),
        ({"status": "MAYBE"}, "refund_status_is_known"),
        ({"idempotency_key": ""}, "refund_has_a_key"),
    ],
)
def test_a_refund_that_contradicts_itself(captured, values, name):
    begin("REFUND", captured)
    refuses(name, lambda: Refund.objects.update(**values))


def test_two_payments_of_one_order_and_sequence(captured):
    other = open_payment()
    refuses(
        "payment_once_per_reference",
        lambda: Payment.objects.filter(reference_id=other).update(reference_id=captured),
    )


def test_one_authorization_or_transaction_for_two_payments(captured):
    other = open_payment()
    mine = Payment.objects.get(reference_id=captured)
    theirs = Payment.objects.filter(reference_id=other)
    refuses("payment_by_authorization_key", lambda: theirs.update(authorization_key=mine.authorization_key))
    refuses("payment_by_gateway_reference", lambda: theirs.update(gateway_reference=mine.gateway_reference))


def test_payments_that_were_never_asked_for_have_no_key_in_common():
    open_payment()
    open_payment()
    assert Payment.objects.filter(authorization_key="", gateway_reference="").count() == 2


class TestRefundsAddUp:
    def refund(self, order, amount_minor, status="DONE"):
        payment = Payment.objects.get(reference_id=order)
        Refund.objects.create(
            payment=payment,
            amount_minor=amount_minor,
            status=status,
            idempotency_key=str(uuid4()),
            created_at=NOW,
            updated_at=NOW,
        )

    def say(self, order, amount_minor):
        status = "REFUNDED" if amount_minor == 1299 else "PARTIALLY_REFUNDED"
        Payment.objects.filter(reference_id=order).update(refunded_minor=amount_minor, status=status)

    def both(self, order, given_back, said):
        self.refund(order, given_back)
        self.say(order, said)

    def test_money_given_back_that_the_payment_does_not_know_of(self, captured):
        refuses("refunds_add_up", lambda: self.refund(captured, 1))
        refuses("says 1 was refunded, but its refunds add up to 2", lambda: self.both(captured, 2, 1))

    def test_a_payment_that_claims_a_refund_that_is_not_there(self, captured):
        refuses("refunds_add_up", lambda: self.say(captured, 1299))

    def test_more_given_back_than_was_taken(self, captured):
        refuses("within_captured", lambda: self.both(captured, 1300, 1300))

    def test_a_refund_that_was_done_and_disappears(self, captured):
        self.both(captured, 1299, 1299)
        connection.check_constraints()
        refuses("refunds_add_up", lambda: Refund.objects.all().delete())

    def test_one_that_is_only_asked_for_does_not_count(self, captured):
        self.refund(captured, 999, status="PENDING")
        self.refund(captured, 1299, status="FAILED")
        self.both(captured, 300, 300)
        connection.check_constraints()


class TestRefundsFit(TestRefundsAddUp):
    """What is asked for is within what is left, whoever asks; what a gateway says that it did is a fact."""

    def test_more_asked_for_than_the_others_have_left(self, captured):
        self.both(captured, 300, 300)
        self.refund(captured, 500, status="PENDING")
        self.refund(captured, 499, status="PENDING")
        connection.check_constraints()
        refuses("refund_fits", lambda: self.refund(captured, 1, status="PENDING"))

    def test_one_that_failed_and_is_asked_for_again(self, captured):
        self.refund(captured, 1000, status="FAILED")
        self.refund(captured, 300, status="PENDING")
        connection.check_constraints()
        again = Refund.objects.filter(status="FAILED")
        refuses("refund_fits", lambda: again.update(status="PENDING"))

    def test_a_fact_is_taken_in_however_much_is_under_way(self, captured):
        self.refund(captured, 1299, status="PENDING")
        connection.check_constraints()
        self.both(captured, 1299, 1299)
        connection.check_constraints()

    def test_money_that_the_bank_took_back_is_not_left(self, captured):
        Payment.objects.filter(reference_id=captured).update(reversed_minor=1000)
        refuses("refund_fits", lambda: self.refund(captured, 300, status="PENDING"))


def test_a_refund_by_staff_says_who_and_why(captured):
    payment = Payment.objects.get(reference_id=captured)
    told = {
        "amount_minor": 1,
        "asked_minor": 1,
        "source": "STAFF",
        "actor": "ada",
        "reason": "late",
        "request_key": "r",
    }
    for missing in ("actor", "reason", "request_key"):
        row = Refund(payment=payment, idempotency_key="k", created_at=NOW, updated_at=NOW, **{**told, missing: ""})
        refuses("refund_by_staff_says_who_why_and_how_much", row.save)


def test_a_refund_is_told_only_once_it_is_done(captured):
    begin("REFUND", captured)
    refuses("refund_is_told_once_it_is_done", lambda: Refund.objects.update(told_at=NOW))


def test_a_payment_with_a_history_is_not_deleted(captured):
    with pytest.raises(IntegrityError):
        Payment.objects.all().delete()


def test_rows_say_what_they_are(captured):
    begin("REFUND", captured)
    assert "(CAPTURED)" in str(Payment.objects.get())
    assert str(Attempt.objects.first()) == f"AUTHORIZE {captured}:authorize #1: Done"
    assert str(Attempt.objects.last()) == f"REFUND {captured}:capture:undo #1: in flight"
    assert "(PENDING)" in str(Refund.objects.get())
