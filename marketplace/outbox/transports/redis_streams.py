"""Redis Streams: a stream for each topic, an entry for each event, read by consumer groups."""

from collections.abc import Sequence
from typing import Final

from django.conf import settings
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from marketplace.kernel.bulk import to_json
from marketplace.outbox.envelope import CloudEvent
from marketplace.outbox.errors import BusUnavailable

CONNECT_TIMEOUT_SECONDS: Final = 1.0
ANSWER_TIMEOUT_SECONDS: Final = 5.0


class RedisStreams:
    """XADD to the stream named after the topic: one field, `event`, with the CloudEvent in JSON.

    Streams keep about `EVENT_STREAM_MAXLEN` entries; what a consumer has not read by then is in the outbox still.
    """

    def __init__(self, url: str) -> None:
        self._client: Redis = Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            socket_timeout=ANSWER_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # the relay is who tries again
        )

    def publish(self, events: Sequence[tuple[str, CloudEvent]]) -> None:
        """Add all events in one round trip and all or nothing, so that a Redis out of memory can't take every other."""
        pipeline = self._client.pipeline(transaction=True)
        for topic, event in events:
            pipeline.xadd(topic, {"event": to_json(event)}, maxlen=settings.EVENT_STREAM_MAXLEN, approximate=True)
        try:
            pipeline.execute()
        except RedisError as error:
            raise BusUnavailable(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
