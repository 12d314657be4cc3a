import socket
import threading
import time

import pytest

from marketplace.kernel import redis as kernel_redis
from marketplace.kernel.redis import Breaker


@pytest.fixture(autouse=True)
def _as_hurried_as_ever(monkeypatch):
    """All other tests give Redis more time."""
    monkeypatch.setattr(kernel_redis, "CONNECT_TIMEOUT_SECONDS", 0.25)
    monkeypatch.setattr(kernel_redis, "ANSWER_TIMEOUT_SECONDS", 0.5)


@pytest.fixture
def dead_port():
    """A port that refuses: bound, so that nobody else gets it, but not listening."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@pytest.fixture
def silent_port():
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield listening.getsockname()[1]


def test_what_redis_answers_is_answered_as_text(redis):
    assert kernel_redis.available(lambda client: client.set("k", "v"), default=None) is True
    assert kernel_redis.available(lambda client: client.get("k"), default=None) == "v"
    assert not kernel_redis.down()


def test_while_redis_refuses_the_default_is_answered_and_nobody_waits(settings, dead_port):
    settings.REDIS_URL = f"redis://127.0.0.1:{dead_port}/0"

    started = time.monotonic()
    answers = [kernel_redis.available(lambda client: client.get("k"), default="default") for _ in range(1000)]

    assert set(answers) == {"default"}
    assert kernel_redis.down()
    assert time.monotonic() - started < 60  # a thousand times a quarter of a second is more


def test_while_redis_is_silent_only_one_of_many_waits(settings, silent_port):
    settings.REDIS_URL = f"redis://127.0.0.1:{silent_port}/0"
    assert kernel_redis.available(lambda client: client.get("k"), default="default") == "default"

    started = time.monotonic()
    for _ in range(1000):
        assert kernel_redis.available(lambda client: client.get("k"), default="default") == "default"

    assert time.monotonic() - started < 120 * kernel_redis.ANSWER_TIMEOUT_SECONDS


def test_a_refused_command_is_an_outage_too(redis):
    redis.set("text", "not a list")

    assert kernel_redis.available(lambda client: client.lpush("text", 1), default="default") == "default"
    assert kernel_redis.down()
    time.sleep(kernel_redis.PAUSE_SECONDS)
    assert kernel_redis.available(lambda client: client.get("text"), default=None) == "not a list"
    assert not kernel_redis.down()


def test_an_error_of_the_caller_is_not_swallowed(redis):
    def broken(client):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        kernel_redis.available(broken, default=None)


def test_a_unix_socket_and_tls_are_understood(settings):
    settings.REDIS_URL = "unix:///somewhere/valkey.sock?db=3"
    arguments = kernel_redis.client().connection_pool.connection_kwargs
    assert (arguments["path"], arguments["db"]) == ("/somewhere/valkey.sock", 3)

    settings.REDIS_URL = "rediss://:secret@redis.example:6380/1"
    assert kernel_redis.client().connection_pool.connection_class.__name__ == "SSLConnection"


def test_after_a_failure_one_caller_a_pause_finds_out():
    now = [100.0]
    breaker = Breaker(1.0, clock=lambda: now[0])
    assert breaker.may_try()

    assert breaker.failed()
    assert not breaker.failed()
    assert not breaker.may_try()
    now[0] += 1.0
    assert [breaker.may_try() for _ in range(5)] == [True, False, False, False, False]
    assert breaker.worked()
    assert not breaker.worked()
    assert [breaker.may_try() for _ in range(5)] == [True] * 5


def test_of_many_threads_one_finds_out():
    breaker = Breaker(30.0)
    breaker.failed()
    breaker._closed_at = 0.0
    told: list[bool] = []
    threads = [threading.Thread(target=lambda: told.append(breaker.may_try())) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(told) == [False] * 49 + [True]
