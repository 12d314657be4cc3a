import pytest

from marketplace.accounts.models import User
from payments.testing import nobody_listens, sandbox_gateway, sandbox_server  # noqa: F401
from tests.shop import Shop


@pytest.fixture
def shop(transactional_db, sandbox_gateway, settings):  # noqa: F811
    """A shop over a real database and a real gateway; retries don't wait."""
    settings.SAGA_RETRY_DELAY_SECONDS = 0.0
    settings.SAGA_BREAKER_FAILURES = 1000  # as in tests/conftest.py
    settings.PAYMENT_TIMEOUT_SECONDS = 10.0
    shop = Shop(sandbox_gateway)
    shop.stocked("laptop-1", 10, price_minor=129900)
    return shop


@pytest.fixture
def shelf(db):
    """A shop in which nobody pays: cheaper, because everything is rolled back."""
    shop = Shop(None)
    shop.stocked("laptop-1", 10, price_minor=129900)
    return shop


@pytest.fixture
def staff(client, db):
    """A browser in which a superuser is signed in: whoever may do everything that can be done."""
    client.force_login(User.objects.create(username="staff", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def clerk(client, db):
    """A browser in which a member of staff without any permission is signed in."""
    client.force_login(User.objects.create(username="clerk", is_staff=True))
    return client
