"""Our PayPal gateway keeps the contract of all gateways, against a strict stand-in for PayPal over HTTP."""

import pytest

from payments.gateways.paypal.client import PayPalGateway
from payments.tests.gateways.contract import GatewayContract
from payments.tests.gateways.paypal import fake


@pytest.fixture
def paypal():
    with fake.running() as server:
        yield server


def client(url):
    return PayPalGateway(base=url, client_id="test", secret="secret", timeout_seconds=5)


class TestPayPal(GatewayContract):
    approved = fake.APPROVED
    declined = fake.DECLINED
    declined_code = "instrument_declined"

    @pytest.fixture
    def gateway(self, paypal):
        return client(paypal.url)

    @pytest.fixture
    def lossy(self, paypal):
        return client(paypal.url), paypal

    @pytest.fixture
    def unreachable(self, paypal, nobody_listens):
        return client(nobody_listens)
