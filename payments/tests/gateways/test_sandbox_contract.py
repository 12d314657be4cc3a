"""The sandbox gateway keeps the contract of all gateways, by its real HTTP."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from payments.testing import answer_the_bank
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
        at = datetime.now(UTC) - age
        body = json.dumps(
            {
                "id": "evt_1",
                "type": "authorization.authorized",
                "created_at": datetime.now(UTC).isoformat(),
                "data": {"key": buyer.key, "reference": buyer.reference},
            }
        )
        headers = {
            "webhook-id": "evt_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self.server.webhook_secret).sign("evt_1", at, body),
        }
        return headers, body.encode()
