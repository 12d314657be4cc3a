"""Rate limits: so many of a kind, by one and the same, within a window of time. Counted in Redis, for all processes.

They keep off those who guess passwords, or who ask for work without end; nothing that must be right hangs on them. So
while Redis does not answer, nobody is turned away.
"""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

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
        count, left = redis.available(partial(_count, self._key(who), self.seconds, 1), default=(0, 0))
        return max(left, 1) if count > self.count else 0

    def give_back(self, who: str) -> None:
        """Count one less by `who`: it turned out not to be of the kind."""
        redis.available(partial(_count, self._key(who), self.seconds, -1), default=(0, 0))

    def check(self, who: str) -> None:
        """Count one more by `who`; raises `TooOften`."""
        wait = self.spend(who)
        if wait:
            raise TooOften(retry_after=wait)

    def _key(self, who: str) -> str:
        return f"limit:{self.what}:{sha256(who.encode()).hexdigest()}"  # no name, and no address, is kept as it is


def _count(key: str, seconds: int, more: int, client: Any) -> tuple[int, int]:
    pipeline = client.pipeline(transaction=True)
    pipeline.set(key, 0, ex=seconds, nx=True)
    pipeline.incrby(key, more)
    pipeline.ttl(key)
    _, count, left = pipeline.execute()
    return count, left
