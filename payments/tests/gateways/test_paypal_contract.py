"""Our PayPal gateway keeps the contract of all gateways, against a strict stand-in for PayPal over HTTP."""

from datetime import timedelta

import pytest

from payments.gateways.paypal.client import PayPalGateway
from payments.tests.gateways.contract import GatewayContract, SendsWebhooks
from payments.tests.gateways.paypal import fake

WEBHOOK = "WH-1"


@pytest.fixture
def paypal():
    with fake.running() as server:
        yield server


def client(url):
    return PayPalGateway(base=url, client_id="test", secret="secret", timeout_seconds=30, webhook_id=WEBHOOK)


class TestPayPal(SendsWebhooks, GatewayContract):
    """What a buyer decides on PayPal's page is in `paypal/test_client.py`: it takes the order's id to find it."""

    approved = fake.APPROVED
    declined = fake.DECLINED
    declined_code = "instrument_declined"

    @pytest.fixture(autouse=True)
    def _server(self, paypal):
        self.server = paypal

    @pytest.fixture
    def gateway(self, paypal):
        return client(paypal.url)

    @pytest.fixture
    def lossy(self, paypal):
        return client(paypal.url), paypal

    @pytest.fixture
    def unreachable(self, paypal, nobody_listens):
        return client(nobody_listens)

    def webhook(self, buyer, *, age=timedelta()):
        return self.server.webhook(buyer.reference, webhook_id=WEBHOOK, age=age)
