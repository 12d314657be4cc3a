"""Waking the relays when there is something to publish.

The bell is a Redis channel and not PostgreSQL's NOTIFY: a transaction that notifies holds a database-wide lock while it
commits, so all of them would commit, and wait for the disk, one after the other. Nothing depends on the bell: the
relays look by themselves every few seconds. Every relay hears it, since any of them may hold the shard.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from django.db import connection, transaction
from redis import RedisError

from marketplace.kernel import redis

_SLICE_SECONDS: Final = 0.2  # how long a wait may take to notice that it shall stop


def channel(client: Any) -> str:
    """Return the bell's channel; Redis shares channels among its databases, so the database is in the name."""
    return f"marketplace:outbox:bell:{client.connection_pool.connection_kwargs.get('db') or 0}"


def ring_on_commit() -> None:
    """Ring once when the running transaction commits, however often it is asked to."""
    if not any(registered[1] is _ring for registered in connection.run_on_commit):
        transaction.on_commit(_ring)


def _ring() -> None:
    redis.available(lambda client: client.publish(channel(client), ""), default=0)


class Listener:
    """One relay's ear. Where Redis is gone it hears nothing, and waits for as long as it was told to."""

    def __init__(self) -> None:
        self._channel: Any = None

    def wait(self, seconds: float, *, stop: Callable[[], bool]) -> bool:
        """Return True when the bell has rung since the last wait, False after `seconds` or once `stop()` is true."""
        deadline = time.monotonic() + seconds
        while not stop():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            if self._heard(min(remaining, _SLICE_SECONDS)):
                return True
        return False

    def close(self) -> None:
        """Give the connection back."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _heard(self, seconds: float) -> bool:
        if self._channel is None:
            self._channel = redis.available(_listen, default=None)
            if self._channel is None:
                time.sleep(seconds)
                return False
            return True  # who has just begun to listen may have missed it
        try:
            rang = self._channel.get_message(timeout=seconds) is not None
            while rang and self._channel.get_message() is not None:
                pass  # a busy shop rings often while the relay is at work; once is enough
        except RedisError:
            self.close()
            return False
        return rang


def _listen(client: Any) -> Any:
    listening = client.pubsub(ignore_subscribe_messages=True)
    listening.subscribe(channel(client))
    return listening
