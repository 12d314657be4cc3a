"""What became of a call, found out by looking: as long after as you like, with nothing done at the gateway."""

import pytest
from django.db import transaction

from payments import services
from payments.errors import CallInsideTransaction
from payments.gateways.base import Outcome
from payments.testing import answer_the_bank
from payments.tests.cashier import begin, call, key_of, open_payment, record, send, status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.core]


@pytest.fixture(autouse=True)
def _bank(sandbox_gateway):
    """Every test here asks the real bank."""


@pytest.fixture
def untouched(sandbox_gateway):
    """Probe, and see to it that nothing moved at the gateway."""

    def probe(begun):
        before = sandbox_gateway.movements(begun.authorization_key)
        reply = services.probe(begun)
        assert sandbox_gateway.movements(begun.authorization_key) == before
        return reply

    return probe


def said(reply):
    return (reply.outcome, reply.code, reply.amount_minor)


def held(method="tok_visa"):
    order = open_payment(method=method)
    call("AUTHORIZE", order)
    return order


def captured():
    order = held()
    call("CAPTURE", order)
    return order


def test_the_window_is_the_gateways_own():
    assert services.key_window("sandbox").total_seconds() == 24 * 3600


def test_needs_to_be_outside_of_any_transaction():
    begun = begin("AUTHORIZE", open_payment())
    with pytest.raises(CallInsideTransaction), transaction.atomic():
        services.probe(begun)


def test_a_gateway_that_does_not_answer_leaves_it_open(settings, nobody_listens):
    begun = begin("AUTHORIZE", open_payment())
    settings.SANDBOX_GATEWAY_URL = nobody_listens
    reply = services.probe(begun)
    assert (reply.outcome, reply.code, reply.nothing_happened) == (Outcome.UNKNOWN, "gateway_unavailable", True)


class TestAuthorization:
    def test_that_happened(self, untouched):
        order = open_payment()
        begun = begin("AUTHORIZE", order)
        answer = send(begun)
        reply = untouched(begun)
        assert (said(reply), reply.reference) == ((Outcome.DONE, "", 1299), answer.reference)
        assert record(begun, reply).status == "AUTHORIZED"

    @pytest.mark.parametrize("method", ["tok_visa", "tok_declined"])
    def test_that_did_not(self, untouched, method):
        begun = begin("AUTHORIZE", open_payment(method=method))
        if method == "tok_declined":
            send(begun)
        reply = untouched(begun)
        assert said(reply) == (Outcome.REFUSED, "never_authorized", None)
        assert record(begun, reply).status == "FAILED"

    @pytest.mark.parametrize(
        ("decision", "expected"),
        [
            ("", (Outcome.PENDING, "processing", None)),
            ("approve", (Outcome.DONE, "", 1299)),
            ("decline", (Outcome.REFUSED, "authentication_failed", None)),
        ],
    )
    def test_that_was_decided_later(self, untouched, decision, expected):
        begun = begin("AUTHORIZE", open_payment(method="tok_requires_action"))
        page = send(begun).action_url
        if decision:
            answer_the_bank(page, decision)
        assert said(untouched(begun)) == expected

    def test_that_was_voided(self, untouched):
        order = held()
        begun = begin("AUTHORIZE", order, number=2)
        call("VOID", order)
        assert said(untouched(begun)) == (Outcome.REFUSED, "authorization_voided", None)


class TestCapture:
    def test_that_happened(self, untouched):
        begun = begin("CAPTURE", held())
        send(begun)
        reply = untouched(begun)
        assert said(reply) == (Outcome.DONE, "", 1299)
        assert record(begun, reply).status == "CAPTURED"

    def test_that_did_not(self, untouched):
        assert said(untouched(begin("CAPTURE", held()))) == (Outcome.REFUSED, "never_captured", None)


class TestVoid:
    def test_that_happened(self, untouched):
        begun = begin("VOID", held())
        send(begun)
        reply = untouched(begun)
        assert said(reply) == (Outcome.DONE, "", 1299)
        assert record(begun, reply).status == "VOIDED"

    def test_of_nothing(self, untouched):
        order = open_payment()
        begin("AUTHORIZE", order)
        assert said(untouched(begin("VOID", order))) == (Outcome.DONE, "nothing_to_void", 0)

    def test_that_did_not_happen_is_not_given_up(self, untouched):
        reply = untouched(begin("VOID", held()))
        assert (reply.outcome, reply.code, reply.nothing_happened) == (Outcome.UNKNOWN, "not_voided", True)

    def test_of_what_was_captured(self, untouched, sandbox_gateway):
        order = held()
        begun = begin("VOID", order)
        call("CAPTURE", order)
        assert said(untouched(begun)) == (Outcome.REFUSED, "already_captured", None)


class TestRefund:
    def test_that_happened(self, untouched):
        order = captured()
        begun = begin("REFUND", order)
        send(begun)
        reply = untouched(begun)
        assert said(reply) == (Outcome.DONE, "", 1299)
        record(begun, reply)
        assert status(order) == ("REFUNDED", 1299, 1299)

    def test_of_the_rest_that_happened(self, untouched, sandbox_gateway):
        order = captured()
        first = begin("REFUND", order, key=f"{order}:part")
        gateway = sandbox_gateway.gateway()
        part = gateway.refund(key=first.key, authorization_key=key_of(order, "AUTHORIZE"), amount_minor=299)
        record(first, part)
        rest = begin("REFUND", order)
        send(rest)
        assert said(untouched(rest)) == (Outcome.DONE, "", 1000)

    def test_of_nothing(self, untouched):
        assert said(untouched(begin("REFUND", held()))) == (Outcome.DONE, "nothing_to_refund", 0)

    def test_that_did_not_happen_is_not_given_up(self, untouched):
        reply = untouched(begin("REFUND", captured()))
        assert (reply.outcome, reply.code, reply.nothing_happened) == (Outcome.UNKNOWN, "not_refunded", True)

    def test_of_what_the_bank_took_back(self, untouched, sandbox_gateway):
        order = captured()
        begun = begin("REFUND", order)
        sandbox_gateway.reverse(key_of(order, "AUTHORIZE"))
        assert said(untouched(begun)) == (Outcome.DONE, "nothing_to_refund", 0)
