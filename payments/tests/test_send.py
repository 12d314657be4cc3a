"""A payment from end to end, with the real sandbox gateway: both books must agree at every turn."""

import pytest
from django.db import transaction

from payments import selectors, services
from payments.errors import CallInsideTransaction
from payments.gateways.base import Outcome
from payments.tests.cashier import attempts, begin, call, key_of, open_payment, record, refunds, send, status

pytestmark = [pytest.mark.django_db, pytest.mark.core]


@pytest.fixture
def books_agree(sandbox_gateway):
    """Both books say the same when the test is over."""
    yield
    assert selectors.ledger_discrepancies(sandbox_gateway.charges()) == []


@pytest.fixture
def lossy(sandbox_gateway, lossy_proxy, settings):
    """The way to the gateway leads through a network that loses answers when it is told to."""
    settings.SANDBOX_GATEWAY_URL = lossy_proxy.url
    return lossy_proxy


def test_needs_to_be_outside_of_any_transaction(sandbox_gateway):
    begun = begin("AUTHORIZE", open_payment())
    with pytest.raises(CallInsideTransaction), transaction.atomic():
        services.send(begun)
    assert sandbox_gateway.charges() == []


def test_authorize_and_capture(sandbox_gateway, books_agree):
    order = open_payment()
    reply = call("AUTHORIZE", order)
    assert status(order) == ("AUTHORIZED", 0, 0)
    call("CAPTURE", order)
    assert status(order) == ("CAPTURED", 1299, 0)
    (charge,) = sandbox_gateway.charges()
    assert (charge.key, charge.reference, charge.captured_minor) == (key_of(order, "AUTHORIZE"), reply.reference, 1299)
    assert selectors.payments_of([order])[order].gateway_reference == charge.reference
    assert sandbox_gateway.movements(charge.key) == [("AUTHORIZE", 1299), ("CAPTURE", 1299)]


def test_the_gateway_is_told_what_is_paid_for(sandbox_gateway):
    order = open_payment()
    call("AUTHORIZE", order)
    view = selectors.payments_of([order])[order]
    response = sandbox_gateway.gateway()._client().get(f"/v1/authorizations/{view.authorization_key}")
    metadata = response.json()["authorization"]["metadata"]
    assert metadata == {"reference_id": str(order), "payment_id": str(view.id)}


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("tok_declined", "card_declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_of_nobody", "invalid_payment_method"),
    ],
)
def test_declined(sandbox_gateway, books_agree, token, code):
    order = open_payment(method=token)
    call("AUTHORIZE", order)
    assert status(order) == ("FAILED", 0, 0)
    assert attempts(order) == [("AUTHORIZE", 1, "REFUSED", code)]
    assert begin("VOID", order) is None
    assert sandbox_gateway.charges() == []


def test_flaky(sandbox_gateway, books_agree):
    order = open_payment(method="tok_flaky")
    replies = [call("AUTHORIZE", order, number=number) for number in (1, 2, 3)]
    assert [(reply.outcome, reply.nothing_happened) for reply in replies] == [
        (Outcome.UNKNOWN, True),
        (Outcome.UNKNOWN, True),
        (Outcome.DONE, False),
    ]
    assert status(order) == ("AUTHORIZED", 0, 0)
    assert sandbox_gateway.movements(key_of(order, "AUTHORIZE")) == [("AUTHORIZE", 1299)]


def test_timeout(sandbox_gateway, books_agree, quickly_lost):
    order = open_payment(method="tok_timeout")
    first = call("AUTHORIZE", order)
    assert (first.outcome, first.nothing_happened, status(order)) == (Outcome.UNKNOWN, False, ("PENDING", 0, 0))
    (difference,) = selectors.ledger_discrepancies(sandbox_gateway.charges())
    assert (difference.kind, difference.unsettled) == ("wrong_status", True)
    assert call("AUTHORIZE", order, number=2).outcome is Outcome.DONE
    assert status(order) == ("AUTHORIZED", 0, 0)
    assert sandbox_gateway.movements(key_of(order, "AUTHORIZE")) == [("AUTHORIZE", 1299)]


def test_timeout_and_then_undone_by_key(sandbox_gateway, books_agree, quickly_lost):
    order = open_payment(method="tok_timeout")
    assert call("AUTHORIZE", order).outcome is Outcome.UNKNOWN
    assert call("VOID", order).outcome is Outcome.DONE
    assert status(order) == ("VOIDED", 0, 0)
    assert sandbox_gateway.movements(key_of(order, "AUTHORIZE")) == [("AUTHORIZE", 1299), ("VOID", 1299)]


def test_an_authorization_that_arrives_after_its_void(sandbox_gateway, books_agree):
    order = open_payment()
    late = begin("AUTHORIZE", order)
    assert call("VOID", order).code == "nothing_to_void"
    reply = send(late)
    assert (reply.outcome, reply.code) == (Outcome.REFUSED, "voided_before_authorization")
    assert record(late, reply).status == "VOIDED"
    assert sandbox_gateway.charges() == []


def test_undone_after_the_capture(sandbox_gateway, books_agree):
    order = open_payment()
    call("AUTHORIZE", order)
    call("CAPTURE", order)
    call("REFUND", order)
    assert begin("VOID", order) is None  # nothing is left of it
    assert (status(order), refunds(order)) == (("REFUNDED", 1299, 1299), [("DONE", 1299)])


@pytest.mark.parametrize("operation", ["AUTHORIZE", "CAPTURE", "VOID", "REFUND"])
def test_a_lost_answer_is_asked_for_again(sandbox_gateway, books_agree, lossy, operation):
    order = open_payment()
    for before in {"AUTHORIZE": [], "REFUND": ["AUTHORIZE", "CAPTURE"]}.get(operation, ["AUTHORIZE"]):
        call(before, order)
    before = status(order)
    lossy.lose_answers(1)
    assert call(operation, order).outcome is Outcome.UNKNOWN
    assert status(order) == before
    assert call(operation, order, number=2).outcome is Outcome.DONE
    expected = {
        "AUTHORIZE": ("AUTHORIZED", 0, 0),
        "CAPTURE": ("CAPTURED", 1299, 0),
        "VOID": ("VOIDED", 0, 0),
        "REFUND": ("REFUNDED", 1299, 1299),
    }
    assert status(order) == expected[operation]
    kinds = [kind for kind, _ in sandbox_gateway.movements(key_of(order, "AUTHORIZE"))]
    assert len(kinds) == len(set(kinds))


def test_a_capture_whose_answer_was_lost_is_refunded_by_key(sandbox_gateway, books_agree, lossy):
    order = open_payment()
    call("AUTHORIZE", order)
    lossy.lose_answers(1)
    call("CAPTURE", order)
    assert status(order) == ("AUTHORIZED", 0, 0)
    assert call("REFUND", order).amount_minor == 1299
    assert status(order) == ("REFUNDED", 1299, 1299)


def test_a_capture_that_never_arrived_is_undone_by_a_void(sandbox_gateway, books_agree):
    order = open_payment()
    call("AUTHORIZE", order)
    begin("CAPTURE", order)
    assert call("REFUND", order).code == "nothing_to_refund"
    assert call("VOID", order).outcome is Outcome.DONE
    assert (status(order), refunds(order)) == (("VOIDED", 0, 0), [("DONE", 0)])


def test_a_gateway_that_is_down(sandbox_gateway, books_agree):
    order = open_payment()
    sandbox_gateway.kill()
    reply = call("AUTHORIZE", order)
    assert (reply.outcome, reply.code, reply.nothing_happened) == (Outcome.UNKNOWN, "gateway_unreachable", True)
    assert status(order) == ("PENDING", 0, 0)
    sandbox_gateway.start()
    assert call("AUTHORIZE", order, number=2).outcome is Outcome.DONE
    assert len(sandbox_gateway.charges()) == 1


def test_a_failure_rate_of_one_takes_no_money(sandbox_gateway, books_agree):
    sandbox_gateway.restart(PAYMENT_FAILURE_RATE="1")
    order = open_payment()
    for number in (1, 2, 3):
        assert call("AUTHORIZE", order, number=number).nothing_happened
    assert call("VOID", order).code == "nothing_to_void"
    assert status(order) == ("VOIDED", 0, 0)
    assert sandbox_gateway.charges() == []


def test_a_payment_keeps_its_gateway_when_the_settings_change(sandbox_gateway, settings):
    order = open_payment()
    settings.PAYMENT_GATEWAY = "another"
    assert call("AUTHORIZE", order).outcome is Outcome.DONE
    assert selectors.payments_of([order])[order].gateway == "sandbox"
