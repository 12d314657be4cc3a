"""Taking in what was seen at the gateway, and passing it on."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import transaction

from payments import news, observations, selectors, services
from payments.errors import RefundUnderWay, SightingOutdated
from payments.gateways.base import Charge, ChargeStatus, Dispute, Outcome, Reply
from payments.models import Attempt, Observation, Payment
from payments.observations import Sighting
from payments.tests import cashier
from payments.tests.cashier import LATER, NOW, attempts, begin, hear, key_of, open_payment, refunds, status

pytestmark = [pytest.mark.django_db, pytest.mark.core]


@pytest.fixture
def heard(monkeypatch):
    """What was told, by a listener that takes nothing in hand."""
    told = []
    listener = told.append
    monkeypatch.setattr(observations, "_listeners", [])
    observations.listen(listener)
    return told


def charge_of(order, kind, **changes):
    return replace(Charge(key_of(order, "AUTHORIZE"), "ch_1", ChargeStatus(kind), 1299, "EUR", 0, 0, NOW), **changes)


def sighting(order, charge):
    view = selectors.payments_of([order])[order]
    return Sighting(view, Payment.objects.values_list("updated_at", flat=True).get(pk=view.id), charge)


def observe(seen, event="evt_1"):
    with transaction.atomic():
        return services.observe(seen, event_id=event, occurred_at=NOW, now=LATER)


def see(order, kind, *, event="evt_1", **changes):
    return observe(sighting(order, charge_of(order, kind, **changes)), event)


def asked(**reply):
    order = open_payment()
    hear("AUTHORIZE", order, Reply(**reply))
    return order


PENDING = {"outcome": Outcome.PENDING, "code": "processing", "reference": "ch_1"}
HELD = {"outcome": Outcome.DONE, "reference": "ch_1"}


class TestPending:
    def test_a_call_that_is_decided_later_leaves_the_payment_pending_and_says_where_to_go(self):
        order = open_payment()
        reply = Reply(Outcome.PENDING, code="requires_action", reference="ch_1", action_url="https://bank/confirm")
        view = hear("AUTHORIZE", order, reply)
        assert (view.status, view.gateway_reference, view.action_url) == ("PENDING", "ch_1", "https://bank/confirm")
        assert selectors.payments_of([order])[order] == view
        assert attempts(order) == [("AUTHORIZE", 1, "PENDING", "requires_action")]

    def test_the_outcome_may_come_by_the_same_call_after_all(self):
        order = open_payment()
        call = begin("AUTHORIZE", order)
        cashier.record(call, Reply(**PENDING))
        cashier.record(call, cashier.NOBODY_KNOWS)
        assert attempts(order) == [("AUTHORIZE", 1, "PENDING", "processing")]
        assert cashier.record(call, cashier.HELD).status == "AUTHORIZED"
        assert attempts(order) == [("AUTHORIZE", 1, "DONE", "")]

    def test_a_sight_before_the_reply_wins_and_the_reply_takes_nothing_back(self, heard):
        order = open_payment()
        call = begin("AUTHORIZE", order)
        assert see(order, "AUTHORIZED").kind == "authorized"
        view = cashier.record(call, Reply(**PENDING))
        assert (view.status, view.gateway_reference) == ("AUTHORIZED", "ch_1")


class TestTakingIn:
    def test_moves_the_payment_and_tells_once(self, heard):
        order = asked(**PENDING)
        observed = see(order, "AUTHORIZED")
        assert (observed.kind, observed.reference_id, observed.event_id) == ("authorized", order, "evt_1")
        assert (observed.payment.status, observed.detail["before"], observed.detail["late"]) == (
            "AUTHORIZED",
            "PENDING",
            False,
        )
        assert see(order, "AUTHORIZED") is None
        assert see(order, "AUTHORIZED", event="evt_2") is None
        assert news.pass_on(now=LATER) == 1
        assert news.pass_on(now=LATER) == 0
        assert heard == [observed]

    def test_what_an_answer_has_told_already_is_no_news(self):
        order = asked(**HELD)
        assert see(order, "AUTHORIZED") is None
        assert not Observation.objects.exists()

    def test_a_decline_says_why(self):
        order = asked(**PENDING)
        observed = see(order, "DECLINED", failure_code="card_declined", failure_message="No.")
        assert (observed.kind, observed.detail["code"], observed.detail["message"]) == (
            "declined",
            "card_declined",
            "No.",
        )
        assert status(order) == ("FAILED", 0, 0)

    def test_the_bank_takes_captured_money_back(self):
        order = asked(**HELD)
        hear("CAPTURE", order, cashier.TAKEN)
        observed = see(order, "REVERSED", captured_minor=1299, reversed_minor=1299)
        assert (observed.kind, observed.detail["amount_minor"], observed.detail["by_bank"]) == ("reversed", 1299, True)
        assert (observed.payment.status, observed.payment.failure_code) == ("FAILED", "payment_reversed")
        assert begin("REFUND", order) is None  # there is nothing left to give back

    def test_the_bank_lets_go_of_what_was_held(self):
        order = asked(**HELD)
        observed = see(order, "VOIDED")
        assert (observed.kind, observed.detail["by_bank"], observed.payment.status) == ("voided", True, "VOIDED")

    def test_a_void_of_ours_whose_answer_was_lost_is_not_the_banks_doing(self):
        order = asked(**HELD)
        hear("VOID", order, cashier.NOBODY_KNOWS)
        assert see(order, "VOIDED").detail["by_bank"] is False

    def test_a_dispute_takes_nothing_until_it_is_lost(self):
        order = asked(**HELD)
        hear("CAPTURE", order, cashier.TAKEN)
        opened = see(order, "CAPTURED", captured_minor=1299, dispute=Dispute.OPEN)
        assert (opened.kind, opened.payment.status, opened.payment.dispute) == ("disputed", "CAPTURED", "OPEN")
        lost = see(order, "REVERSED", event="evt_2", captured_minor=1299, reversed_minor=1299, dispute=Dispute.LOST)
        assert (lost.kind, lost.payment.status, lost.detail["dispute"]) == ("reversed", "FAILED", "LOST")

    def test_a_refund_made_at_the_gateway_is_imported(self):
        order = asked(**HELD)
        hear("CAPTURE", order, cashier.TAKEN)
        observed = see(order, "PARTIALLY_REFUNDED", captured_minor=1299, refunded_minor=299)
        assert (observed.kind, observed.detail["amount_minor"], observed.detail["by_bank"]) == ("refunded", 299, True)
        assert (status(order), refunds(order)) == (("PARTIALLY_REFUNDED", 1299, 299), [("DONE", 299)])

    def test_a_refund_of_ours_without_an_answer_is_not_counted_twice(self):
        order = asked(**HELD)
        hear("CAPTURE", order, cashier.TAKEN)
        call = begin("REFUND", order)
        with pytest.raises(RefundUnderWay):
            see(order, "REFUNDED", captured_minor=1299, refunded_minor=1299)
        cashier.record(call, cashier.GIVEN_BACK)
        assert see(order, "REFUNDED", captured_minor=1299, refunded_minor=1299) is None
        assert refunds(order) == [("DONE", 1299)]

    @pytest.mark.parametrize("meanwhile", ["VOID", "CAPTURE"])
    def test_what_was_seen_before_an_answer_came_in_is_outdated(self, meanwhile):
        order = asked(**HELD)
        old = sighting(order, charge_of(order, "AUTHORIZED"))
        hear(meanwhile, order, Reply(Outcome.DONE, reference="x", amount_minor=1299))
        with pytest.raises(SightingOutdated):
            observe(old)
        assert not Observation.objects.exists()

    def test_an_outdated_sight_is_known_even_when_all_looks_as_before(self):
        """Late money was found, given back, and the payment is VOIDED again: what was seen before that is over."""
        order = asked(**PENDING)
        hear("VOID", order, cashier.LET_GO)
        old = sighting(order, charge_of(order, "AUTHORIZED"))
        see(order, "AUTHORIZED", event="evt_0")
        with transaction.atomic():
            call = services.begin_for("VOID", old.payment.id, key="again", number=1, now=LATER)
            services.record([(call, cashier.LET_GO)], now=LATER + timedelta(seconds=1))
        assert selectors.payments_of([order])[order] == old.payment
        with pytest.raises(SightingOutdated):
            observe(old)

    def test_no_charge_at_the_gateway_moves_nothing(self):
        order = asked(**HELD)
        assert observe(sighting(order, None)) is None
        assert status(order) == ("AUTHORIZED", 0, 0)


class TestLateMoney:
    @pytest.fixture
    def over(self):
        order = asked(outcome=Outcome.UNKNOWN, code="gateway_timeout")
        hear("VOID", order, Reply(Outcome.DONE, code="nothing_to_void"))
        return order

    def test_is_on_our_books_again_and_the_books_agree(self, over, heard):
        charge = charge_of(over, "AUTHORIZED")
        assert [d.kind for d in selectors.ledger_discrepancies([charge])] == ["wrong_status"]
        observed = see(over, "AUTHORIZED")
        assert (observed.kind, observed.detail["late"], observed.detail["before"]) == ("authorized", True, "VOIDED")
        assert status(over) == ("AUTHORIZED", 0, 0)
        assert selectors.ledger_discrepancies([charge]) == []

    def test_is_left_to_who_takes_it_in_hand(self, over, heard):
        observations.listen(lambda observed: observed.kind == "authorized")
        see(over, "AUTHORIZED")
        assert news.pass_on(now=LATER) == 1
        assert Observation.objects.get().status == "TOLD"
        assert status(over) == ("AUTHORIZED", 0, 0)

    def test_may_be_captured_by_who_wants_it(self, over):
        see(over, "AUTHORIZED")
        assert hear("CAPTURE", over, cashier.TAKEN).status == "CAPTURED"


class TestPassingOn:
    def test_a_listener_that_fails_is_asked_again_later_and_nothing_of_it_has_happened(self, heard):
        order = asked(**PENDING)

        def fails_once(observed):
            Payment.objects.filter(pk=observed.payment_id).update(method="changed")
            if Observation.objects.get().tries == 0:
                raise RuntimeError("not now")

        observations.listen(fails_once)
        see(order, "AUTHORIZED")
        assert news.pass_on(now=LATER) == 0
        row = Observation.objects.get()
        assert (row.status, row.tries, row.last_error) == ("NEW", 1, "RuntimeError: not now")
        assert selectors.payments_of([order])[order].method == "tok_visa"
        assert news.pass_on(now=LATER) == 0  # not due yet
        assert news.pass_on(now=row.due_at) == 1
        assert selectors.payments_of([order])[order].method == "changed"
        assert (Observation.objects.get().status, len(heard)) == ("TOLD", 2)

    def test_what_fails_for_a_day_is_parked(self, heard):
        order = asked(**PENDING)

        def fails(observed):
            raise RuntimeError("never")

        observations.listen(fails)
        see(order, "AUTHORIZED")
        news.pass_on(now=LATER)
        assert Observation.objects.get().status == "NEW"
        news.pass_on(now=LATER + timedelta(hours=25))
        row = Observation.objects.get()
        assert (row.status, row.due_at) == ("PARKED", None)
        assert news.pass_on(now=LATER + timedelta(days=30)) == 0

    def test_news_of_one_payment_are_told_in_their_order(self, heard):
        order = asked(**PENDING)
        observations.listen(lambda observed: 1 / 0 if observed.event_id == "evt_1" and len(heard) < 2 else None)
        see(order, "AUTHORIZED")
        see(order, "CAPTURED", event="evt_2", captured_minor=1299)
        news.pass_on(now=LATER)
        assert [one.event_id for one in heard] == ["evt_1"]  # which failed: the second waits for it
        news.pass_on(now=LATER + timedelta(minutes=1))
        assert [one.event_id for one in heard] == ["evt_1", "evt_1", "evt_2"]

    def test_news_that_wait_for_an_earlier_one_are_in_nobodys_way(self, heard):
        stuck, other = asked(**PENDING), asked(**{**PENDING, "reference": "ch_2"})
        observations.listen(lambda observed: 1 / 0 if observed.reference_id == stuck else None)
        see(stuck, "AUTHORIZED")
        assert news.pass_on(now=LATER) == 0  # it fails, and is due again in some seconds
        see(stuck, "CAPTURED", event="evt_2", captured_minor=1299)
        see(other, "AUTHORIZED", reference="ch_2")
        assert news.pass_on(now=LATER, limit=1) == 1
        assert heard[-1].reference_id == other

    def test_a_listener_is_registered_once(self, heard):
        observations.listen(heard.append)
        see(asked(**PENDING), "AUTHORIZED")
        news.pass_on(now=LATER)
        assert len(heard) == 1


def test_no_attempt_was_made_by_looking():
    order = asked(**PENDING)
    see(order, "AUTHORIZED")
    assert Attempt.objects.count() == 1
