"""Our client of Stripe before a foreign Stripe: the happy path, a decline, 3-D Secure, and webhooks that it signs."""

import json
from uuid import uuid4

import pytest

from marketplace.sandbox.testing import wait_until
from payments.gateways.base import ChargeStatus, NotGenuine, Outcome
from payments.gateways.stripe.client import StripeGateway
from payments.tests.gateways import localstripe

pytest.importorskip("localstripe", reason="localstripe is not installed")
SECRET = "whsec_of_the_foreign_one"
BACK = "https://shop.example/orders/1"


@pytest.fixture(scope="module")
def stripe():
    with localstripe.running() as running:
        yield running


@pytest.fixture
def gateway(stripe):
    return StripeGateway(api_key="sk_test_1", api_base=stripe.url, timeout_seconds=30, webhook_secret=SECRET)


def authorize(gateway, method):
    key = f"key-{uuid4()}"
    amount = {"amount_minor": 1299, "currency": "EUR"}
    return key, gateway.authorize(key=key, method=method, metadata={"reference_id": "1"}, return_url=BACK, **amount)


def seen(gateway, key, reply):
    charge = gateway.find(authorization_key=key, reference=reply.reference)
    assert charge is None or (charge.key, charge.amount_minor, charge.currency) == (key, 1299, "EUR")
    return (charge.status, charge.captured_minor, charge.refunded_minor) if charge else None


def test_money_is_held_taken_and_given_back(stripe, gateway):
    key, held = authorize(gateway, stripe.card(localstripe.YES))
    assert (held.outcome, held.amount_minor) == (Outcome.DONE, 1299)
    assert seen(gateway, key, held) == (ChargeStatus.AUTHORIZED, 0, 0)
    of = {"authorization_key": key, "reference": held.reference}
    taken = gateway.capture(key=f"{key}:capture", amount_minor=1299, **of)
    assert (taken.outcome, taken.amount_minor) == (Outcome.DONE, 1299)
    assert seen(gateway, key, held) == (ChargeStatus.CAPTURED, 1299, 0)
    back = gateway.refund(key=f"{key}:refund", amount_minor=300, **of)
    assert (back.outcome, back.amount_minor) == (Outcome.DONE, 300)
    assert seen(gateway, key, held) == (ChargeStatus.PARTIALLY_REFUNDED, 1299, 300)
    assert gateway.refund(key=f"{key}:refund", amount_minor=300, **of).reference == back.reference


def test_what_is_held_is_let_go(stripe, gateway):
    key, held = authorize(gateway, stripe.card(localstripe.YES))
    assert gateway.void(key=f"{key}:void", authorization_key=key, reference=held.reference).outcome is Outcome.DONE
    assert stripe.intent(held.reference)["status"] == "canceled"
    assert seen(gateway, key, held) == (ChargeStatus.VOIDED, 0, 0)


def test_a_decline_is_a_final_no(stripe, gateway):
    _, reply = authorize(gateway, stripe.card(localstripe.NO))
    assert (reply.outcome, reply.code) == (Outcome.REFUSED, "card_declined")
    assert reply.message == "Your card was declined."


@pytest.mark.parametrize(("approve", "ends"), [(True, ChargeStatus.AUTHORIZED), (False, ChargeStatus.DECLINED)])
def test_a_buyer_who_is_asked_decides(stripe, gateway, approve, ends):
    key, reply = authorize(gateway, stripe.card(localstripe.ASKS))
    assert (reply.outcome, reply.code, reply.action_url) == (Outcome.PENDING, "requires_action", BACK)
    assert seen(gateway, key, reply) == (ChargeStatus.PENDING, 0, 0)
    secret = gateway.confirmation(reference=reply.reference)["clientSecret"]
    stripe.decide(reply.reference, secret, approve=approve)
    assert seen(gateway, key, reply) == (ends, 0, 0)
    assert gateway.confirmation(reference=reply.reference) == {}


def about(reference, sink):
    """The webhook about this intent, among those that tell of earlier tests: it sends them a second later."""
    return next((taken for taken in sink.taken if reference.encode() in taken[1]), None)


def test_its_webhooks_are_genuine_and_forged_ones_are_not(stripe, gateway, webhook_sink):
    stripe.tell(webhook_sink.url, SECRET)
    key, held = authorize(gateway, stripe.card(localstripe.YES))
    gateway.capture(key=f"{key}:capture", authorization_key=key, reference=held.reference, amount_minor=1299)
    wait_until(lambda: about(held.reference, webhook_sink))
    headers, body = about(held.reference, webhook_sink)
    notice = gateway.verify(body=body, headers=headers)
    assert (notice.kind, notice.event_id) == ("payment_intent.succeeded", json.loads(body)["id"])
    assert (notice.authorization_key, notice.reference) == (key, held.reference)
    with pytest.raises(NotGenuine):
        gateway.verify(body=body.replace(b"1299", b"1298"), headers=headers)
    other = StripeGateway(api_key="sk", api_base=stripe.url, timeout_seconds=1, webhook_secret="whsec_another")
    with pytest.raises(NotGenuine):
        other.verify(body=body, headers=headers)
