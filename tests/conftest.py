"""Fixtures of the tests that cross apps."""

import pytest

from fulfillment.testing import carrier_server, sandbox_carrier  # noqa: F401
from payments.testing import lose_quickly, lossy_proxy, sandbox_gateway, sandbox_server  # noqa: F401
from tests.shop import Shop


@pytest.fixture
def shop(db, sandbox_gateway, settings, monkeypatch):  # noqa: F811
    """A shop over a real database and a real gateway; retries don't wait.

    Tests whose point is what is committed, or that use several connections, are marked `django_db(transaction=True)`.
    """
    settings.SAGA_RETRY_DELAY_SECONDS = 0.0
    settings.SAGA_BREAKER_FAILURES = 1000  # a test whose bank answers nobody is about something else, mostly
    lose_quickly(monkeypatch)
    return Shop(sandbox_gateway)
