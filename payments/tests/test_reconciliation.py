"""Comparing the books with the real sandbox bank's, and settling what differs."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from marketplace.kernel.clock import database_now
from payments import observations, reconciliation, services
from payments.errors import CaseClosed, NeedsAPerson, NoSuchCase
from payments.gateways.base import ChargeStatus, GatewayUnavailable, Outcome
from payments.models import Payment, ReconciliationCase
from payments.reconciliation import Reconciliation
from payments.tests import cashier
from payments.tests.cashier import begin, call, key_of, open_payment, send, status
from payments.tests.gateways.paypal import fake as paypal

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nobody_listens_to_news(monkeypatch):
    monkeypatch.setattr(observations, "_listeners", [])


@pytest.fixture
def bank(sandbox_gateway):
    return sandbox_gateway


@pytest.fixture
def reconcile(bank):
    """Compare since the test began: the bank's ledger is older than that."""
    since = database_now()
    return lambda pause=lambda seconds: None: reconciliation.reconcile(since=since, pause=pause)


def recent(order):
    """Make the payment one of today's, as far as the comparison looks back."""
    Payment.objects.filter(reference_id=order).update(created_at=database_now())
    return order


def paid(method="tok_visa"):
    order = open_payment(method=method)
    call("AUTHORIZE", order)
    call("CAPTURE", order)
    return recent(order)


def refund_at_the_desk(bank, order, amount_minor=None):
    key = key_of(order, "AUTHORIZE")
    reply = bank.gateway().refund(key=f"{key}:desk", authorization_key=key, amount_minor=amount_minor)
    assert reply.outcome is Outcome.DONE


def a_webhook_comes(order):
    sighting = observations.sight(Payment.objects.get(reference_id=order).id)
    now = database_now()
    with transaction.atomic():
        services.observe(sighting, event_id="webhook", occurred_at=now, now=now)


def cases():
    return [(case.kind, case.status) for case in ReconciliationCase.objects.order_by("id")]


def the_case():
    return ReconciliationCase.objects.get(status="OPEN")


def test_books_that_agree_open_no_case(reconcile, bank):
    paid()
    held = open_payment()
    call("AUTHORIZE", held)
    recent(held)
    found = reconcile()
    assert (found.opened, found.gone, found.open) == (0, 0, 0)
    assert cases() == []


class TestAChargeOfNobody:
    @pytest.fixture
    def key(self, bank):
        key = f"{uuid4()}:authorize"
        asked = {"key": key, "amount_minor": 700, "currency": "EUR", "method": "tok_visa", "metadata": {}}
        bank.gateway().authorize(**asked)
        return key

    def test_opens_one_case_however_often_it_is_seen(self, reconcile, key):
        first, second = reconcile(), reconcile()
        assert (first.opened, second.opened, second.open) == (1, 0, 1)
        case = the_case()
        assert (case.kind, case.key, case.payment_id, case.ours) == ("orphan_charge", key, None, "")
        assert "AUTHORIZED 7.00 EUR" in case.theirs

    def test_held_money_is_let_go_by_the_button(self, reconcile, bank, key):
        reconcile()
        reconciliation.settle(the_case().id, actor="ada", reason="nobody ordered that")
        assert bank.charge(key).status is ChargeStatus.VOIDED
        case = ReconciliationCase.objects.get()
        assert (case.status, case.actor, case.reason) == ("SETTLED", "ada", "nobody ordered that")
        assert case.outcome == "The authorization was voided."
        assert reconcile().open == 0

    def test_taken_money_is_given_back_once_however_often_it_is_pressed(self, reconcile, bank, key):
        bank.gateway().capture(key=f"{key}:capture", authorization_key=key, reference="", amount_minor=700)
        reconcile()
        case_id = the_case().id
        assert reconciliation.settle(case_id, actor="ada", reason="x") == "7.00 EUR refunded."
        with pytest.raises(CaseClosed):
            reconciliation.settle(case_id, actor="ada", reason="x")
        assert bank.movements(key) == [("AUTHORIZE", 700), ("CAPTURE", 700), ("REFUND", 700)]


class TestWhatTheBankHasDoneOtherwise:
    def test_a_refund_made_at_the_banks_own_desk_is_taken_in(self, reconcile, bank):
        order = paid()
        refund_at_the_desk(bank, order, 300)
        assert reconcile().opened == 1
        assert the_case().kind == "wrong_status"
        done = reconciliation.settle(the_case().id, actor="ada", reason="refunded at the desk")
        assert done == "Our books now say what the gateway does: PARTIALLY_REFUNDED."
        assert status(order) == ("PARTIALLY_REFUNDED", 1299, 300)
        assert (reconcile().opened, reconcile().open) == (0, 0)

    def test_a_difference_that_is_gone_closes_its_case(self, reconcile, bank):
        order = paid()
        refund_at_the_desk(bank, order)
        reconcile()
        a_webhook_comes(order)
        found = reconcile()
        assert (found.opened, found.gone, found.open) == (0, 1, 0)
        assert cases() == [("wrong_status", "GONE")]

    def test_a_difference_that_only_one_look_saw_is_none(self, reconcile, bank, monkeypatch):
        order = paid()
        refund_at_the_desk(bank, order)

        seen = []

        def meanwhile(seconds):
            a_webhook_comes(order)
            seen.append(status(order))

        assert reconcile(meanwhile).opened == 0
        assert seen == [("REFUNDED", 1299, 1299)]


@pytest.fixture
def late_reports(settings):
    """PayPal, whose reports don't know yet what happened today."""
    with paypal.running() as fake:
        settings.PAYMENT_GATEWAY, settings.PAYPAL_API_BASE = "paypal", fake.url
        settings.PAYPAL_CLIENT_ID, settings.PAYPAL_CLIENT_SECRET = fake.login
        fake.report_lag = timedelta(hours=3)
        yield fake


def test_what_a_gateway_only_lists_later_is_not_missing(late_reports):
    paid(paypal.APPROVED)
    found = reconciliation.reconcile(since=database_now() - timedelta(days=1), pause=lambda seconds: None)
    assert cases() == []
    assert found.charges == 1


class TestARefundThatTheBankHasNotMade:
    """Our books are ahead of the bank's, for example because a refund failed days after it was accepted."""

    def test_is_not_settled_by_asking_again(self, reconcile, bank):
        order = paid()
        cashier.hear("REFUND", order, cashier.GIVEN_BACK)
        assert reconcile().opened == 1
        assert the_case().kind == "wrong_status"
        with pytest.raises(NeedsAPerson):
            reconciliation.settle(the_case().id, actor="ada", reason="should be all right")
        assert the_case().actor == ""
        assert status(order) == ("REFUNDED", 1299, 1299)


class TestMoneyThatTheBankDoesNotKnow:
    @pytest.fixture
    def order(self, bank):
        order = open_payment()
        cashier.hear("AUTHORIZE", order, cashier.HELD)
        return recent(order)

    def test_is_a_case_that_no_button_settles(self, reconcile, order):
        reconcile()
        assert the_case().kind == "missing_charge"
        with pytest.raises(NeedsAPerson):
            reconciliation.settle(the_case().id, actor="ada", reason="x")
        assert the_case().status == "OPEN"

    def test_is_closed_by_hand_with_a_reason_and_comes_back_if_nothing_was_done(self, reconcile, order):
        reconcile()
        case = the_case()
        with pytest.raises(ValueError, match="why"):
            reconciliation.close_by_hand(case.id, actor="ada", reason=" ")
        reconciliation.close_by_hand(case.id, actor="ada", reason="the bank lost it; called them")
        with pytest.raises(CaseClosed):
            reconciliation.close_by_hand(case.id, actor="ada", reason="again")
        assert reconcile().opened == 1


class TestACallThatNobodyAnswered:
    def test_a_charge_that_happened_is_taken_in(self, reconcile, bank):
        order = open_payment()
        send(begin("AUTHORIZE", order))  # and the worker died before it wrote the answer down
        recent(order)
        assert reconcile().opened == 1
        assert the_case().kind == "unknown_outcome"
        reconciliation.settle(the_case().id, actor="ada", reason="worker died")
        assert status(order) == ("AUTHORIZED", 0, 0)
        assert bank.charge(key_of(order, "AUTHORIZE")).status is ChargeStatus.AUTHORIZED
        assert reconcile().open == 0

    def test_one_that_never_arrived_is_voided_so_that_it_never_does(self, reconcile, bank):
        order = open_payment()
        late = begin("AUTHORIZE", order)
        recent(order)
        reconcile()
        reconciliation.settle(the_case().id, actor="ada", reason="worker died")
        assert status(order) == ("VOIDED", 0, 0)
        assert send(late).code == "voided_before_authorization"
        assert bank.charges() == []
        assert reconcile().open == 0

    def test_a_young_one_is_left_to_the_saga(self, reconcile, bank):
        order = open_payment()
        begin("AUTHORIZE", order)
        recent(order)
        order_attempts = Payment.objects.get(reference_id=order).attempts
        order_attempts.update(started_at=database_now() - reconciliation.UNKNOWN_AFTER + timedelta(seconds=30))
        assert reconcile().opened == 0


def test_a_gateway_that_is_down_changes_nothing(reconcile, bank):
    paid()
    bank.stop()
    with pytest.raises(GatewayUnavailable):
        reconcile()
    assert cases() == []


def test_there_is_no_such_case(bank):
    with pytest.raises(NoSuchCase):
        reconciliation.settle(4711, actor="ada", reason="x")


class TestTheCommand:
    def run(self, capsys, *arguments):
        try:
            call_command("reconcile", *arguments)
        except SystemExit as leaving:
            return leaving.code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    @pytest.fixture
    def key(self, reconcile, bank):
        key = f"{uuid4()}:authorize"
        asked = {"key": key, "amount_minor": 700, "currency": "EUR", "method": "tok_visa", "metadata": {}}
        bank.gateway().authorize(**asked)
        return key

    def test_lists_the_open_cases_and_leaves_with_one(self, key, capsys):
        code, told = self.run(capsys, "--days", "1", "--json")
        assert code == 1
        assert key in [case["key"] for case in json.loads(told)["cases"]]
        code, told = self.run(capsys, "--days", "1")
        assert f"charge without a payment: {key}" in told

    def test_settles_a_case_with_a_reason_only(self, key, capsys, bank):
        self.run(capsys, "--days", "1")
        case = str(ReconciliationCase.objects.get(key=key).id)
        with pytest.raises(CommandError, match="go on record"):
            call_command("reconcile", "--settle", case, "--actor", "ada")
        assert self.run(capsys, "--settle", case, "--actor", "ada", "--reason", "x")[0] == 0
        assert bank.charge(key).status is ChargeStatus.VOIDED

    def test_says_no_in_one_line(self):
        with pytest.raises(CommandError, match="There is no such case"):
            call_command("reconcile", "--close", "4711", "--actor", "ada", "--reason", "x")


def test_says_what_it_looked_at(reconcile, bank):
    paid()
    found = reconcile()
    assert isinstance(found, Reconciliation)
    assert (found.gateway, found.charges) == ("sandbox", 1)
