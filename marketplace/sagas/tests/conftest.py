from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from marketplace.sagas.tests import trip


@pytest.fixture(scope="session", autouse=True)
def _trip_tables(django_db_setup: None, django_db_blocker: Any) -> None:
    """The trip's own tables: this subject is no installed app."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(trip.TABLES)


@pytest.fixture(autouse=True)
def _fresh_world(request: pytest.FixtureRequest) -> None:
    """Nobody has booked anything, and nothing is planned."""
    trip.world.reset()
    marker = request.node.get_closest_marker("django_db")
    if marker:
        request.getfixturevalue("transactional_db" if marker.kwargs.get("transaction") else "db")
        trip.run_sql(trip.EMPTY)


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
