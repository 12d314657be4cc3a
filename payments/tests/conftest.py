import pytest

pytest.register_assert_rewrite("payments.tests.gateways.contract")

from payments.testing import lossy_proxy, nobody_listens, sandbox_gateway, sandbox_server, webhook_sink  # noqa: E402, F401
