"""What every test stands on: a PostgreSQL and a Redis of its own for each pytest-xdist worker.

`make test` brings the servers. Without it, name them: `DATABASE_URL=… REDIS_URL=… python -m pytest PATH`. Tests make
their own database on that PostgreSQL (`test_…`, and one more for each worker), and empty the numbered database that
`REDIS_URL` names (the worker number is added to it).
"""

import os
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import hypothesis
import pytest
from redis import Redis

# The crash matrix is another one each day: of one day for all processes that test, also around midnight.
os.environ["CRASH_SEED"] = os.environ.get("CRASH_SEED") or f"{datetime.now(UTC):%Y-%m-%d}"


def pytest_configure(config: pytest.Config) -> None:
    missing = [name for name in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(name)]
    if missing and not config.option.collectonly:
        raise pytest.UsageError(f"Tests need servers: run `make test`, or set {' and '.join(missing)}.")


hypothesis.settings.register_profile(
    # how long anything takes says nothing: another process may have had the machine meanwhile
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow],
)  # fmt: skip
hypothesis.settings.load_profile("patient")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Give each worker process its own Redis database, before Django's settings are read there."""
    for number, spec in enumerate(specs):
        spec.env["REDIS_URL"] = with_database_number(os.environ["REDIS_URL"], add=number)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test logged may hold half of a surrogate pair, which a worker couldn't send to us."""
    report = yield
    report.sections = [(title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections]
    return report


def with_database_number(url: str, *, add: int) -> str:
    """Return the Redis address with `add` added to its database number (`redis://host/3`, `unix:///path?db=3`)."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        number = int(parse_qs(parts.query).get("db", ["0"])[0])
        return urlunsplit(parts._replace(netloc="", path=f"//{parts.path}", query=f"db={number + add}"))
    number = int(parts.path.strip("/") or 0)
    return urlunsplit(parts._replace(path=f"/{number + add}"))


@pytest.fixture(scope="session", autouse=True)
def _emptied_by_what_was_written() -> Iterator[None]:
    """Tests that commit leave behind what Django's own emptying leaves, and sooner."""
    from django.test import TransactionTestCase  # noqa: PLC0415 - the settings are read only by now

    from tests.emptying import empty  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty)
        yield


@pytest.fixture(scope="session", autouse=True)
def _redis_is_given_time() -> Iterator[None]:
    """On a busy machine a Redis that takes half a second is not gone: a ring that is given up would never be heard."""
    from marketplace.kernel import redis  # noqa: PLC0415 - it reads the settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis, "CONNECT_TIMEOUT_SECONDS", 20.0)
        patch.setattr(redis, "ANSWER_TIMEOUT_SECONDS", 20.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _passwords_are_hashed_soon() -> Iterator[None]:
    """Passwords are hashed as in earnest, but not a million times: that is to take its time."""
    from django.contrib.auth.hashers import PBKDF2PasswordHasher  # noqa: PLC0415 - it reads the settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PBKDF2PasswordHasher, "iterations", 1000)
        yield


@pytest.fixture(scope="session", autouse=True)
def patience_with_webhooks() -> Iterator[str]:
    """A webhook may be written down as slowly as the machine is busy; the value is how long it may take in earnest."""
    from marketplace.inbox import arrival  # noqa: PLC0415 - it reads the settings

    with pytest.MonkeyPatch.context() as patch:
        in_earnest = arrival._PATIENCE
        patch.setattr(arrival, "_PATIENCE", "60s")
        yield in_earnest


@pytest.fixture
def redis() -> Iterator["Redis[bytes]"]:
    """A client of this worker's own Redis database, which is empty at the start and at the end of the test."""
    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture(autouse=True)
def _redis_forgets_with_the_database(request: pytest.FixtureRequest) -> None:
    """What a test left in Redis speaks of rows that are rolled back; the next test must not meet it."""
    if request.node.get_closest_marker("django_db") or {"db", "transactional_db", "live_server"} & set(
        request.fixturenames
    ):
        request.getfixturevalue("redis")


@pytest.fixture
def process_environment(db: None, settings: Any) -> dict[str, str]:
    """The environment for a process of ours (a worker, `manage.py …`) that shall share this test's database and Redis.

    Ask for `transactional_db` beside it: another process sees only what is committed.
    """
    database = settings.DATABASES["default"]
    host, port = str(database["HOST"]), str(database["PORT"] or 5432)
    login = quote(str(database["USER"])) + (f":{quote(str(database['PASSWORD']))}" if database["PASSWORD"] else "")
    address = f"postgresql://{login}@{quote(host, safe='')}:{port}/{quote(str(database['NAME']))}"
    return {**os.environ, "DATABASE_URL": address, "REDIS_URL": os.environ["REDIS_URL"]}


@pytest.fixture(autouse=True)
def _rules_are_read_anew() -> None:
    """What a process keeps in mind of the fraud rules is those of another test, whose rows are gone."""
    from orders.fraud import rulebook  # noqa: PLC0415 - it has models, and the settings are read only by now

    rulebook.forget()
