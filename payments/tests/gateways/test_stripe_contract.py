"""Our Stripe gateway keeps the contract of all gateways, against a strict stand-in for Stripe over HTTP."""

import pytest

from payments.gateways.stripe.client import StripeGateway
from payments.tests.gateways.contract import GatewayContract
from payments.tests.gateways.stripe import fake


@pytest.fixture
def stripe():
    with fake.running() as server:
        yield server


def client(url):
    return StripeGateway(api_key="sk_test_123", api_base=url, timeout_seconds=5)


class TestStripe(GatewayContract):
    approved = fake.APPROVED
    declined = fake.DECLINED

    @pytest.fixture
    def gateway(self, stripe):
        return client(stripe.url)

    @pytest.fixture
    def lossy(self, stripe):
        return client(stripe.url), stripe

    @pytest.fixture
    def unreachable(self, stripe, nobody_listens):
        return client(nobody_listens)
