"""The same sagas through Stripe and through PayPal: the books are right on both sides, whatever is lost on the way."""

import json
from contextlib import contextmanager

import pytest
from rest_framework.test import APIClient
from stripe import WebhookSignature

from marketplace.kernel.clock import database_now
from orders import services
from payments import reconciliation
from payments.gateways.base import ChargeStatus
from payments.gateways.paypal.client import from_settings as paypal_client
from payments.gateways.stripe.client import from_settings as stripe_client
from payments.inbox import processing
from payments.tests.gateways.paypal import fake as paypal
from payments.tests.gateways.stripe import fake as stripe
from tests.shop import Shop, authorization_key

pytestmark = pytest.mark.django_db(transaction=True)


class Bank:
    """One of the providers' stand-ins, in words that both understand."""

    def __init__(self, fake, client, *, approved, declined, paths):
        self.fake, self._client, self.approved, self.declined, self._paths = fake, client, approved, declined, paths

    def buyer_agrees(self, order):
        """On the provider's page."""
        raise NotImplementedError

    def webhook(self, order):
        """Headers and body of what the provider then tells us."""
        raise NotImplementedError

    def lose(self, operation, times=1):
        self.fake.lose_answers(times, of=self._paths[operation])

    def money(self, order):
        """Status, captured and refunded, as the provider has it."""
        charge = self._client().find(authorization_key=authorization_key(order.saga_id))
        return (charge.status, charge.captured_minor, charge.refunded_minor) if charge else None


class StripeBank(Bank):
    asks = stripe.SECURE

    def buyer_agrees(self, order):
        self.fake.decide(authorization_key(order.saga_id), approve=True)

    def webhook(self, order):
        body = json.dumps(self.fake.event(authorization_key(order.saga_id)))
        return {"Stripe-Signature": WebhookSignature.generate_signature_header(body, "whsec_1")}, body.encode()


class PayPalBank(Bank):
    asks = paypal.PAGE

    def buyer_agrees(self, order):
        self.fake.approve(order.payment.transaction_id or next(iter(self.fake.orders)))

    def webhook(self, order):
        (order_id,) = self.fake.orders
        return self.fake.webhook(order_id, webhook_id="WH-1", kind="CHECKOUT.ORDER.APPROVED")


@contextmanager
def stripe_bank(settings):
    with stripe.running() as fake:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = "sk_test_1", fake.url
        settings.STRIPE_WEBHOOK_SECRET = "whsec_1"
        paths = {"authorize": "/payment_intents", "capture": "/capture", "void": "/cancel", "refund": "/refunds"}
        yield StripeBank(fake, stripe_client, approved=stripe.APPROVED, declined=stripe.DECLINED, paths=paths)


@contextmanager
def paypal_bank(settings):
    with paypal.running() as fake:
        settings.PAYPAL_CLIENT_ID, settings.PAYPAL_CLIENT_SECRET = "test", "secret"
        settings.PAYPAL_API_BASE, settings.PAYPAL_WEBHOOK_ID = fake.url, "WH-1"
        paths = {"authorize": "/orders", "capture": "/capture", "void": "/void", "refund": "/refund"}
        yield PayPalBank(fake, paypal_client, approved=paypal.APPROVED, declined=paypal.DECLINED, paths=paths)


BANKS = {"stripe": stripe_bank, "paypal": paypal_bank}


@pytest.fixture(params=BANKS)
def bank(request, settings):
    settings.PAYMENT_GATEWAY, settings.PAYMENT_GATEWAYS_READY = request.param, [request.param]
    settings.PAYMENT_TIMEOUT_SECONDS = 2.0
    settings.SAGA_RETRY_DELAY_SECONDS = 0.0
    settings.SAGA_BREAKER_FAILURES = 1000
    with BANKS[request.param](settings) as bank:
        yield bank


@pytest.fixture
def shop(bank, db):
    shop = Shop(bank)
    shop.stocked("laptop", 5, price_minor=129_900)
    return shop


def agree():
    return reconciliation.reconcile(pause=lambda seconds: None).open == 0


@pytest.mark.parametrize("lost", [None, "authorize", "capture"])
def test_an_order_is_confirmed_and_paid_once(shop, bank, lost):
    if lost:
        bank.lose(lost)
    order = shop.bought("laptop", token=bank.approved)
    assert (order.status, order.payment.status) == ("CONFIRMED", "CAPTURED")
    assert bank.money(order) == (ChargeStatus.CAPTURED, 129_900, 0)
    assert shop.levels("laptop") == (4, 0)
    assert agree()


def test_a_declined_card_ends_the_order_and_holds_nothing(shop, bank):
    order = shop.bought("laptop", token=bank.declined)
    assert (order.status, order.failure_code, order.payment.status) == ("FAILED", "payment_declined", "FAILED")
    assert bank.money(order) is None
    assert shop.levels("laptop") == (5, 0)
    assert agree()


@pytest.mark.parametrize("lost", [None, "authorize", "void"])
def test_what_the_fraud_check_refuses_is_let_go(shop, bank, settings, lost):
    settings.FRAUD_AMOUNT_LIMIT = 100
    if lost:
        bank.lose(lost)
    order = shop.bought("laptop", token=bank.approved)
    assert (order.status, order.failure_code, order.payment.status) == ("FAILED", "fraud_rejected", "VOIDED")
    assert bank.money(order) == (ChargeStatus.VOIDED, 0, 0)
    assert shop.levels("laptop") == (5, 0)
    assert agree()


@pytest.mark.parametrize("lost", [None, "refund"])
def test_a_cancelled_order_is_refunded_once(shop, bank, lost):
    order = shop.bought("laptop", token=bank.approved)
    if lost:
        bank.lose(lost)
    services.cancel(order.id, actor="user-1", now=database_now())
    shop.work()
    order = shop.now(order)
    assert (order.status, order.payment.status, order.refund_status) == ("CANCELLED", "REFUNDED", "REFUNDED")
    assert bank.money(order) == (ChargeStatus.REFUNDED, 129_900, 129_900)
    assert shop.levels("laptop") == (5, 0)
    assert agree()


def test_a_buyer_who_agrees_on_the_providers_page_has_bought(shop, bank, settings):
    order = shop.bought("laptop", token=bank.asks)
    assert (order.status, order.payment.status) == ("PAYMENT_PENDING", "PENDING")
    assert order.payment.action_url.startswith(bank.fake.url)
    bank.buyer_agrees(order)
    headers, body = bank.webhook(order)
    for _ in range(2):  # providers send twice at times
        reply = APIClient().generic(
            "POST", f"/api/payments/webhooks/{settings.PAYMENT_GATEWAY}", body, "application/json", headers=headers
        )
        assert reply.status_code == 202
    assert processing.process_due() == 1
    shop.work()
    order = shop.now(order)
    assert (order.status, order.payment.status) == ("CONFIRMED", "CAPTURED")
    assert agree()


def test_a_bank_that_never_answers_keeps_no_money(shop, bank):
    bank.lose("authorize", times=1000)
    order = shop.bought("laptop", token=bank.approved)
    assert (order.status, order.failure_code) == ("FAILED", "payment_timeout")
    assert shop.levels("laptop") == (5, 0)
    assert bank.money(order) in (None, (ChargeStatus.VOIDED, 0, 0))
