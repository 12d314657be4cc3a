"""Fixtures of the storefront's tests: the shop of the tests that cross apps, and people who look at it."""

import pytest
from django.test import Client

from marketplace.accounts.models import User
from payments.testing import sandbox_gateway, sandbox_server  # noqa: F401
from tests.conftest import shop  # noqa: F401


@pytest.fixture
def guest() -> Client:
    """A browser that nobody has signed in with."""
    return Client()


@pytest.fixture
def person(db: None) -> User:
    """A buyer with an account."""
    return User.objects.create_user("user-1", email="one@example.org", password="correct horse")


@pytest.fixture
def buyer(person: User) -> Client:
    """That buyer's browser."""
    client = Client()
    client.force_login(person)
    return client
