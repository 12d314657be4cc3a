import pytest

pytest.register_assert_rewrite("payments.tests.gateways.contract")

from payments.testing import (  # noqa: E402
    lossy_proxy,  # noqa: F401
    nobody_listens,  # noqa: F401
    quickly_lost,  # noqa: F401
    sandbox_gateway,  # noqa: F401
    sandbox_server,  # noqa: F401
    webhook_sink,  # noqa: F401
)
