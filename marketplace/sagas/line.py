"""The line: a worker that has just answered the doorbell listens for the next ring itself, for a moment.

Redis tells whoever publishes how many have heard it, and in what order things happen: a ring that was counted as heard
arrives on the line before the end of the subscription does. So no ring falls between two stools. One that is counted
as heard by a machine that is gone is lost like any other, and found by the sweep.
"""

import time
from typing import Any

from redis import RedisError

from marketplace.kernel import redis


class Line:
    """The line of one queue and slot, as one worker hears it. Where Redis is gone it is silent."""

    def __init__(self, queue: str, slot: int) -> None:
        self._of = (queue, slot)
        self._heard: Any = None

    @staticmethod
    def channel(client: Any, queue: str, slot: int) -> str:
        """Return the channel; Redis shares channels among its databases, so the database is in the name."""
        return f"saga:line:{client.connection_pool.connection_kwargs.get('db') or 0}:{queue}:{slot}"

    def join(self) -> None:
        """Listen from now on, if that has not begun yet."""
        if self._heard is None:
            self._heard = redis.available(self._subscribed, None)

    def _subscribed(self, client: Any) -> Any:
        heard = client.pubsub()
        heard.subscribe(self.channel(client, *self._of))
        heard.get_message(timeout=redis.ANSWER_TIMEOUT_SECONDS)  # that it has begun
        return heard

    def rings(self, seconds: float) -> bool:
        """Wait for a ring, at most so long; whether there was one since the last time, or may have been."""
        until = time.monotonic() + seconds
        try:
            while self._heard is not None:
                message = self._heard.get_message(timeout=max(0.0, until - time.monotonic()))
                if message is None or self._is_ring(message):
                    return message is not None
        except RedisError:
            self._close()
            return True  # whoever looks again loses nothing
        return False

    def hang_up(self) -> bool:
        """Listen no more; whether there was a ring until then, or may have been."""
        rang = False
        try:
            if self._heard is not None:
                self._heard.unsubscribe()
                while self._is_ring(self._heard.get_message(timeout=redis.ANSWER_TIMEOUT_SECONDS)):
                    rang = True
        except RedisError:
            rang = True
        self._close()
        return rang

    @staticmethod
    def _is_ring(message: dict[str, Any] | None) -> bool:
        return message is not None and message["type"] == "message"

    def _close(self) -> None:
        if self._heard is not None:
            self._heard.close()
            self._heard = None
