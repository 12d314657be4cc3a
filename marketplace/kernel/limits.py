"""Rate limits: so many of a kind, by one and the same, within a window of time. Counted in Redis, for all processes.

They keep off those who guess passwords, or who ask for work without end; nothing that must be right hangs on them. So
while Redis does not answer, nobody is turned away.
"""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from marketplace.kernel import redis
from marketplace.kernel.errors import MarketplaceError


class TooOften(MarketplaceError):
    """This was asked for too often. Please try again later."""

    code = "throttled"
    retryable = True


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` of `what` by one and the same, in each window of `seconds`."""

    what: str
    count: int
    seconds: int

    def spend(self, who: str) -> int:
        """Count one more by `who`; return 0, or for how many seconds that is one too many."""
        key = f"limit:{self.what}:{sha256(who.encode()).hexdigest()}"  # no name, and no address, is kept as it is
        count, left = redis.available(partial(_count, key, self.seconds), default=(0, 0))
        return max(left, 1) if count > self.count else 0

    def check(self, who: str) -> None:
        """Count one more by `who`; raises `TooOften`."""
        wait = self.spend(who)
        if wait:
            raise TooOften(retry_after=wait)


def _count(key: str, seconds: int, client: Any) -> tuple[int, int]:
    pipeline = client.pipeline(transaction=True)
    pipeline.set(key, 0, ex=seconds, nx=True)
    pipeline.incr(key)
    pipeline.ttl(key)
    _, count, left = pipeline.execute()
    return count, left


class Throttle(BaseThrottle):
    """REST framework's way to a limit, by the address that asks; a subclass says the `limit`, and may say `who`."""

    limit: ClassVar[Limit]
    _wait = 0

    def who(self, request: Request) -> str:
        """Whose requests are counted together; behind TRUSTED_PROXIES proxies the address that they tell of."""
        return str(self.get_ident(request))

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count this request."""
        self._wait = self.limit.spend(self.who(request))
        return not self._wait

    def wait(self) -> float | None:
        """Return what is told as `Retry-After`."""
        return self._wait or None
