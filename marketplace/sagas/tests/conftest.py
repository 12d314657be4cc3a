from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from marketplace.sagas.tests import trip
from marketplace.sagas.tests.driving import until_true


@pytest.fixture(scope="session", autouse=True)
def _trip_tables(django_db_setup: None, django_db_blocker: Any) -> None:
    """The trip's own tables: this subject is no installed app."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(trip.TABLES)


@pytest.fixture(autouse=True)
def _leases_outlast_the_test(settings: Any) -> None:
    """No lease ends, or is renewed, because the machine stood still for a while; a test that wants that does it."""
    settings.SAGA_LEASE_SECONDS = 600.0


@pytest.fixture(autouse=True)
def _fresh_world(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nobody has booked anything, and nothing is planned; and whoever is still out there comes home first."""
    trip.world.reset()
    marker = request.node.get_closest_marker("django_db")
    if marker:
        request.getfixturevalue("transactional_db" if marker.kwargs.get("transaction") else "db")
        trip.run_sql(trip.EMPTY)
    yield
    until_true(lambda: trip.world.visitors == 0)  # a call that was given up goes on: not in the next test


@pytest.fixture
def beside() -> Iterator[Callable[..., "Future[Any]"]]:
    """Run a function in a thread with a database connection of its own: `beside(drive, ["orders"])`."""
    pool = ThreadPoolExecutor(8)

    def alone(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            connection.close()

    def begin(function: Callable[..., Any], *args: Any, **kwargs: Any) -> "Future[Any]":
        return pool.submit(alone, function, *args, **kwargs)

    yield begin
    pool.shutdown(wait=True)
