"""The same sagas through every gateway: the books are right on both sides, whatever is declined or lost on the way."""

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
from payments.selectors import payments_of
from payments.testing import answer_the_bank, signed_webhook
from payments.tests.gateways.paypal import fake as paypal
from payments.tests.gateways.stripe import fake as stripe
from tests.shop import Shop, authorization_key

pytestmark = pytest.mark.django_db(transaction=True)


class Bank:
    """One of the providers' stand-ins, or the sandbox, in words that all understand.

    `declined`: the methods that are declined, and the bank's words for why.
    """

    def __init__(self, fake, client, *, approved, declined, paths):
        self.fake, self._client, self.approved, self.declined, self._paths = fake, client, approved, declined, paths
        self.since = database_now()  # the sandbox's ledger goes back to other tests

    @property
    def url(self):
        return self.fake.url

    def buyer_agrees(self, order):
        """On the provider's page."""
        raise NotImplementedError

    def buyer_refuses(self, order):
        """On the provider's page, or there is no money where the buyer wants it taken from."""
        raise NotImplementedError

    def webhook(self, order):
        """Headers and body of what the provider then tells us."""
        raise NotImplementedError

    @property
    def line(self):
        """The piece of the way to the bank on which answers get lost."""
        return self.fake

    def lose(self, operation, times=1):
        self.line.lose_answers(times, of=self._paths[operation])

    @property
    def has_lost_it(self):
        return self.line._to_lose == 0

    def money(self, order):
        """Status, captured and refunded, as the provider has it."""
        charge = self._client().find(authorization_key=authorization_key(order.saga_id))
        return (charge.status, charge.captured_minor, charge.refunded_minor) if charge else None


class StripeBank(Bank):
    asks = stripe.SECURE

    def buyer_agrees(self, order):
        self.fake.decide(authorization_key(order.saga_id), approve=True)

    def buyer_refuses(self, order):
        self.fake.decide(authorization_key(order.saga_id), approve=False)

    def webhook(self, order):
        body = json.dumps(self.fake.event(authorization_key(order.saga_id)))
        return {"Stripe-Signature": WebhookSignature.generate_signature_header(body, "whsec_1")}, body.encode()


class PayPalBank(Bank):
    asks = paypal.PAGE

    def buyer_agrees(self, order):
        self.fake.approve(order.payment.transaction_id or next(iter(self.fake.orders)))

    def buyer_refuses(self, order):
        (order_id,) = self.fake.orders
        self.fake.approve(order_id)
        self.fake.declines.add(order_id)

    def webhook(self, order):
        (order_id,) = self.fake.orders
        return self.fake.webhook(order_id, webhook_id="WH-1", kind="CHECKOUT.ORDER.APPROVED")


class SandboxBank(Bank):
    asks = "tok_requires_action"

    def buyer_agrees(self, order):
        assert answer_the_bank(order.payment.action_url, "approve").is_redirect

    def buyer_refuses(self, order):
        assert answer_the_bank(order.payment.action_url, "decline").is_redirect

    def webhook(self, order):
        return signed_webhook(authorization_key(order.saga_id))

    @property
    def line(self):
        return self.proxy


@contextmanager
def sandbox_bank(request, settings):
    server = request.getfixturevalue("sandbox_gateway")
    proxy = request.getfixturevalue("lossy_proxy")
    settings.SANDBOX_GATEWAY_URL = proxy.url
    paths = {"authorize": "/authorizations", "capture": "/capture", "void": "/void", "refund": "/refund"}
    declined = {"tok_declined": "card_declined", "tok_insufficient_funds": "insufficient_funds"}
    bank = SandboxBank(server, server.gateway, approved="tok_visa", declined=declined, paths=paths)
    bank.proxy = proxy
    yield bank


@contextmanager
def stripe_bank(request, settings):
    with stripe.running() as fake:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = "sk_test_1", fake.url
        settings.STRIPE_WEBHOOK_SECRET = "whsec_1"
        paths = {"authorize": "/payment_intents", "capture": "/capture", "void": "/cancel", "refund": "/refunds"}
        declined = {stripe.DECLINED: "card_declined", stripe.POOR: "insufficient_funds"}
        declined |= {"ctoken_declined": "card_declined"}  # of the Payment Element
        yield StripeBank(fake, stripe_client, approved=stripe.APPROVED, declined=declined, paths=paths)


@contextmanager
def paypal_bank(request, settings):
    with paypal.running() as fake:
        settings.PAYPAL_CLIENT_ID, settings.PAYPAL_CLIENT_SECRET = "test", "secret"
        settings.PAYPAL_API_BASE, settings.PAYPAL_WEBHOOK_ID = fake.url, "WH-1"
        paths = {"authorize": "/orders", "capture": "/capture", "void": "/void", "refund": "/refund"}
        declined = {paypal.DECLINED: "instrument_declined"}
        yield PayPalBank(fake, paypal_client, approved=paypal.APPROVED, declined=declined, paths=paths)


BANKS = {"sandbox": sandbox_bank, "stripe": stripe_bank, "paypal": paypal_bank}


@pytest.fixture(params=BANKS)
def bank(request, settings):
    settings.PAYMENT_GATEWAY, settings.PAYMENT_GATEWAYS_READY = request.param, [request.param]
    settings.SAGA_RETRY_DELAY_SECONDS = 0.0
    settings.SAGA_BREAKER_FAILURES = 1000
    with BANKS[request.param](request, settings) as bank:
        yield bank


@pytest.fixture
def shop(bank, db):
    shop = Shop(bank)
    shop.stocked("laptop", 5, price_minor=129_900)
    return shop


def agree(bank):
    """Both sides' books, as far as they are of this test."""
    return reconciliation.reconcile(since=bank.since, pause=lambda seconds: None).open == 0


@pytest.mark.parametrize("lost", [None, "authorize", "capture"])
def test_an_order_is_confirmed_and_paid_once(shop, bank, lost):
    if lost:
        bank.lose(lost)
    order = shop.bought("laptop", token=bank.approved)
    assert (order.status, order.payment.status) == ("CONFIRMED", "CAPTURED")
    assert bank.money(order) == (ChargeStatus.CAPTURED, 129_900, 0)
    assert shop.levels("laptop") == (4, 0)
    assert bank.has_lost_it
    assert agree(bank)


def test_each_decline_ends_the_order_and_holds_nothing(shop, bank):
    for method, code in bank.declined.items():
        order = shop.bought("laptop", token=method)
        assert (order.status, order.failure_code, order.payment.status) == ("FAILED", "payment_declined", "FAILED")
        assert payments_of([order.id])[order.id].failure_code == code
        assert bank.money(order) is None
        assert shop.levels("laptop") == (5, 0)
    assert agree(bank)


def test_a_decline_whose_answer_is_lost_is_a_decline(shop, bank):
    bank.lose("authorize")
    order = shop.bought("laptop", token=next(iter(bank.declined)))
    assert (order.status, order.failure_code, order.payment.status) == ("FAILED", "payment_declined", "FAILED")
    assert bank.money(order) is None
    assert shop.levels("laptop") == (5, 0)
    assert bank.has_lost_it
    assert agree(bank)


@pytest.mark.parametrize("lost", [None, "authorize", "void"])
def test_what_the_fraud_check_refuses_is_let_go(shop, bank, settings, lost):
    settings.FRAUD_AMOUNT_LIMIT = 100
    if lost:
        bank.lose(lost)
    order = shop.bought("laptop", token=bank.approved)
    assert (order.status, order.failure_code, order.payment.status) == ("FAILED", "fraud_rejected", "VOIDED")
    assert bank.money(order) == (ChargeStatus.VOIDED, 0, 0)
    assert shop.levels("laptop") == (5, 0)
    assert bank.has_lost_it
    assert agree(bank)


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
    assert bank.has_lost_it
    assert agree(bank)


def test_a_buyer_who_agrees_on_the_providers_page_has_bought(shop, bank, settings):
    order = shop.bought("laptop", token=bank.asks)
    assert (order.status, order.payment.status) == ("PAYMENT_PENDING", "PENDING")
    assert order.payment.action_url.startswith(bank.url)
    bank.buyer_agrees(order)
    order = told(shop, bank, settings, order)
    assert (order.status, order.payment.status) == ("CONFIRMED", "CAPTURED")
    assert bank.money(order) == (ChargeStatus.CAPTURED, 129_900, 0)
    assert agree(bank)


def test_a_buyer_who_does_not_agree_has_bought_nothing(shop, bank, settings):
    order = shop.bought("laptop", token=bank.asks)
    bank.buyer_refuses(order)
    order = told(shop, bank, settings, order)
    assert (order.status, order.failure_code, order.payment.status) == ("FAILED", "payment_declined", "FAILED")
    assert bank.money(order) in (None, (ChargeStatus.DECLINED, 0, 0))
    assert shop.levels("laptop") == (5, 0)
    assert agree(bank)


def told(shop, bank, settings, order):
    """The provider tells us of the order, twice, as they do at times; return it as it is then."""
    headers, body = bank.webhook(order)
    for _ in range(2):
        reply = APIClient().generic(
            "POST", f"/api/payments/webhooks/{settings.PAYMENT_GATEWAY}", body, "application/json", headers=headers
        )
        assert reply.status_code == 202
    assert processing.process_due() == 1
    shop.work()
    return shop.now(order)


def test_a_bank_that_never_answers_keeps_no_money(shop, bank):
    bank.lose("authorize", times=1000)
    order = shop.bought("laptop", token=bank.approved)
    assert (order.status, order.failure_code) == ("FAILED", "payment_timeout")
    assert shop.levels("laptop") == (5, 0)
    assert bank.money(order) in (None, (ChargeStatus.VOIDED, 0, 0))
