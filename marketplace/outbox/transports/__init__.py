"""The bus, behind a protocol of two methods; `EVENT_BUS_URL` says which one it is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from marketplace.outbox.envelope import CloudEvent
from marketplace.outbox.transports.redis_streams import RedisStreams


class Transport(Protocol):
    """A bus that can be published to by one relay process."""

    def publish(self, events: Sequence[tuple[str, CloudEvent]]) -> None:
        """Put (topic, event) pairs onto the bus, in this order; return once the bus has confirmed all of them.

        Raises `marketplace.outbox.errors.BusUnavailable` when it is not known that all of them are there: the same
        events, with the same ids, then come again.
        """

    def close(self) -> None:
        """Give connections back."""


_OF_SCHEME: Final[Mapping[str, Callable[[str], Transport]]] = {
    "redis": RedisStreams,
    "rediss": RedisStreams,
    "unix": RedisStreams,
}


def transport(url: str) -> Transport:
    """Return the transport for `url`; raises `ImproperlyConfigured` where no transport knows the scheme."""
    scheme = urlsplit(url).scheme
    if scheme not in _OF_SCHEME:
        known = ", ".join(f"{name}://" for name in _OF_SCHEME)
        raise ImproperlyConfigured(f"EVENT_BUS_URL: no transport for {scheme or 'an empty scheme'}://, only {known}.")
    return _OF_SCHEME[scheme](url)
