"""Parts of this project that write down what events mean for them, in the database that the events come from.

    listeners.listen(intake.take_in, "ORDER_CONFIRMED", "ORDER_DELIVERED")

The relay hands over the events of a batch together, and strikes them off only after what was written is committed. So
no event is lost on the way, whatever becomes of the broker; but it may come again, and then with the same id. A
listener only writes (set-based, and a second time without effect). Whatever takes long, or can fail by itself, it
leaves to a task that finds what was written. Celery tasks that merely want to hear are `subscribers`.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError, transaction

from marketplace.outbox.catalog import TYPES, UnknownEventType
from marketplace.outbox.envelope import CloudEvent
from marketplace.outbox.errors import BusUnavailable

log = structlog.get_logger(__name__)

Listener = Callable[[Sequence[CloudEvent]], None]

_types_of: Final[dict[Listener, frozenset[str]]] = {}


def listen(listener: Listener, *types: str) -> None:
    """Have `listener` called with every event of `types`. Raises `UnknownEventType` for a type there is not."""
    unknown = set(types) - TYPES
    if unknown:
        raise UnknownEventType(f"There are no events of the types {sorted(unknown)}.")
    _types_of[listener] = frozenset(types)


class Listeners:
    """A transport whose bus is our own database."""

    def publish(self, events: Sequence[tuple[str, CloudEvent]]) -> None:
        """Hand each listener what it asked for, all of them in one transaction.

        Raises `BusUnavailable` when one of them fails: it was told then that it is to get the same events again, and
        the relay waits, so that nothing is lost while somebody mends it. The database's own outages pass through.
        """
        try:
            with transaction.atomic():
                for listener, types in _types_of.items():
                    wanted = [event for _, event in events if event["type"] in types]
                    if wanted:
                        listener(wanted)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            log.exception("outbox_listener_failed")
            raise BusUnavailable(f"A listener failed: {type(error).__name__}.") from error

    def close(self) -> None:
        """Leave the connection to Django."""
