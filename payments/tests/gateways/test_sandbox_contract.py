"""The sandbox gateway keeps the contract of all gateways, by its real HTTP."""

from datetime import timedelta

import pytest

from payments.testing import answer_the_bank, signed_webhook
from payments.tests.gateways.contract import ActsByItself, DecidesLater, GatewayContract, SendsWebhooks


class TestSandbox(DecidesLater, ActsByItself, SendsWebhooks, GatewayContract):
    approved = "tok_visa"
    declined = "tok_declined"
    asks_the_buyer = "tok_requires_action"

    @pytest.fixture(autouse=True)
    def _server(self, sandbox_gateway):
        self.server = sandbox_gateway

    @pytest.fixture
    def gateway(self, sandbox_gateway):
        gateway = sandbox_gateway.gateway()
        yield gateway
        gateway.close()

    @pytest.fixture
    def lossy(self, sandbox_gateway, lossy_proxy):
        gateway = sandbox_gateway.gateway(url=lossy_proxy.url)
        yield gateway, lossy_proxy
        gateway.close()

    @pytest.fixture
    def unreachable(self, sandbox_gateway, nobody_listens):
        return sandbox_gateway.gateway(url=nobody_listens)

    def confirm(self, reply, *, approved):
        answer_the_bank(reply.action_url, "approve" if approved else "decline")

    def reverse(self, authorization_key):
        self.server.reverse(authorization_key)

    def webhook(self, buyer, *, age=timedelta()):
        """As the sandbox makes them; that it does make them so is tested in `sandbox/test_webhooks.py`."""
        return signed_webhook(buyer.key, buyer.reference, age=age)
