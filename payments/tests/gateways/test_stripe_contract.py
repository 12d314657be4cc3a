"""Our Stripe gateway keeps the contract of all gateways, against a strict stand-in for Stripe over HTTP."""

import json
import time
from datetime import timedelta

import pytest
from stripe import WebhookSignature

from payments.gateways.stripe.client import StripeGateway
from payments.tests.gateways.contract import ActsByItself, DecidesLater, GatewayContract, SendsWebhooks
from payments.tests.gateways.stripe import fake

SECRET = "whsec_test"


@pytest.fixture
def stripe():
    with fake.running() as server:
        yield server


def client(url):
    return StripeGateway(api_key="sk_test_123", api_base=url, timeout_seconds=30, webhook_secret=SECRET)


class TestStripe(DecidesLater, ActsByItself, SendsWebhooks, GatewayContract):
    approved = fake.APPROVED
    declined = fake.DECLINED
    asks_the_buyer = fake.SECURE

    @pytest.fixture(autouse=True)
    def _server(self, stripe):
        self.server = stripe

    @pytest.fixture
    def gateway(self, stripe):
        return client(stripe.url)

    @pytest.fixture
    def lossy(self, stripe):
        return client(stripe.url), stripe

    @pytest.fixture
    def unreachable(self, stripe, nobody_listens):
        return client(nobody_listens)

    def confirm(self, reply, *, approved):
        self.server.decide(self.server.intents[reply.reference]["metadata"]["marketplace_key"], approve=approved)

    def reverse(self, authorization_key):
        self.server.dispute(authorization_key, status="lost")

    def webhook(self, buyer, *, age=timedelta()):
        body = json.dumps(self.server.event(buyer.key))
        at = int(time.time() - age.total_seconds())
        return {"Stripe-Signature": WebhookSignature.generate_signature_header(body, SECRET, at)}, body.encode()
