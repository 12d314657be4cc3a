"""Redis, where it helps and is allowed to be gone: a shared client that never makes anybody wait for an outage.

Whatever is kept in Redis can be worked out again from PostgreSQL. So every use goes through `available`, which answers
a default while Redis does not, and says so once.
"""

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar

import structlog
from django.conf import settings
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_SECONDS: Final = 0.25
ANSWER_TIMEOUT_SECONDS: Final = 0.5
PAUSE_SECONDS: Final = 1.0  # after a failure, nobody tries again for so long
MAX_CONNECTIONS: Final = 1000

T = TypeVar("T")


class Breaker:
    """Remembers that something is down, and lets one caller per pause find out whether it is back. Thread-safe."""

    def __init__(self, pause_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._down = False
        self._closed_at = 0.0  # of the pause that runs

    @property
    def down(self) -> bool:
        """Whether the last one who tried met a failure."""
        return self._down

    def may_try(self) -> bool:
        """Whether the caller may try now; while it is down, one caller a pause is told yes."""
        if not self._down:
            return True
        with self._lock:
            now = self._clock()
            if now < self._closed_at:
                return False
            self._closed_at = now + self._pause
            return True

    def failed(self) -> bool:
        """Start a pause; return whether this is news."""
        with self._lock:
            news, self._down = not self._down, True
            self._closed_at = self._clock() + self._pause
            return news

    def worked(self) -> bool:
        """End the pause; return whether this is news."""
        if not self._down:
            return False
        with self._lock:
            news, self._down = self._down, False
            return news


@cache
def _connected(url: str) -> tuple["Redis", Breaker]:
    connection: Redis = Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=ANSWER_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),  # the breaker decides; the library would sleep and try three times more
        max_connections=MAX_CONNECTIONS,
    )
    return connection, Breaker(PAUSE_SECONDS)


def client() -> "Redis":
    """Return this process's client of `REDIS_URL` (`redis://`, `rediss://`, `unix://`); connects on first use.

    Answers text, not bytes. Raises `redis.RedisError` when the server does not answer; `available` is mostly what you
    want instead. Safe in threads and across a fork.
    """
    return _connected(settings.REDIS_URL)[0]


def available(use: Callable[[Any], T], default: T) -> T:
    """Return `use(client)`, or `default` when Redis does not answer or refuses (also while it recently did not).

    Costs at most the connect time-out once a second, per process, during an outage.
    """
    connection, breaker = _connected(settings.REDIS_URL)
    if not breaker.may_try():
        return default
    try:
        answer = use(connection)
    except RedisError as error:
        if breaker.failed():
            log.warning("redis_unavailable", error=type(error).__name__, message=str(error))
        return default
    if breaker.worked():
        log.info("redis_available_again")
    return answer


def down() -> bool:
    """Whether the last use of Redis failed in this process."""
    return _connected(settings.REDIS_URL)[1].down
