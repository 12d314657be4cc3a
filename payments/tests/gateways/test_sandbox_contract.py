"""The sandbox gateway keeps the contract of all gateways, by its real HTTP."""

import pytest

from payments.tests.gateways.contract import GatewayContract


class TestSandbox(GatewayContract):
    approved = "tok_visa"
    declined = "tok_declined"

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
