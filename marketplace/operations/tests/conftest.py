import pytest

from payments.testing import nobody_listens, sandbox_gateway, sandbox_server  # noqa: F401
from tests.shop import Shop


@pytest.fixture
def shop(transactional_db, sandbox_gateway, settings):  # noqa: F811
    """A shop over a real database and a real gateway; retries don't wait."""
    settings.SAGA_RETRY_DELAY_SECONDS = 0.0
    settings.PAYMENT_TIMEOUT_SECONDS = 1.0
    shop = Shop(sandbox_gateway)
    shop.stocked("laptop-1", 10, price_minor=129900)
    return shop
