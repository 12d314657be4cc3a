"""From the outbox to the bus: read what is unpublished, publish it, strike it off. In this order, always.

Killed in between, the same events are published again, with the same ids. A relay that stalls past the end of its lease
may still send what it had read; its successor starts with the same events, so the first time each event of a saga
appears on the bus is in order even then.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from marketplace.kernel.ids import new_id
from marketplace.outbox import leases
from marketplace.outbox.bell import Listener
from marketplace.outbox.envelope import StoredEvent, cloud_event
from marketplace.outbox.errors import BusUnavailable
from marketplace.outbox.transports import Transport

log = structlog.get_logger(__name__)

BATCH: Final = 1000  # events per round trip, over all shards that are held
LOOK_EVERY_SECONDS: Final = 2.0  # with the renewal of leases: less than one query a second when nothing happens
GATHER_SECONDS: Final = 0.02  # after the bell: what commits within this time travels along
LONGEST_PAUSE_SECONDS: Final = 15.0
_LEASE_LEFT_SECONDS: Final = 6.0  # a batch is read only if the time-out of publishing it fits into the lease

_READ: Final = """
SELECT s.number, e.position, e.event_id, e.topic, e.type, e.saga_id, e.sequence, e.subject_id, e.data, e.occurred_at
FROM unnest(%s::smallint[], %s::bigint[]) AS held(shard, fence)
JOIN outbox_shard AS s ON s.number = held.shard AND s.fence = held.fence
    AND s.leased_until > clock_timestamp() + make_interval(secs => %s)
CROSS JOIN LATERAL (
    SELECT u.position FROM outbox_unpublished AS u WHERE u.shard = s.number ORDER BY u.position LIMIT %s
) AS next
JOIN outbox_event AS e ON e.position = next.position
ORDER BY e.position
"""

_STRIKE: Final = """
DELETE FROM outbox_unpublished AS u USING unnest(%s::smallint[], %s::bigint[]) AS d(shard, position)
WHERE u.shard = d.shard AND u.position = d.position
"""

Batch = Sequence[tuple[int, StoredEvent]]  # with the shard of each


class Relay:
    """Publishes to each of `sinks` (bus, subscribers, listeners) until `stop()` is true; then gives its leases back."""

    def __init__(self, sinks: Sequence[Transport], *, stop: Callable[[], bool]) -> None:
        self.id = new_id()
        self._sinks = [(sink, set[int]()) for sink in sinks]  # with the positions it took of a batch not struck yet
        self._stop = stop
        self._listener = Listener()
        self._held: Mapping[int, int] = {}
        self._balance_at = 0.0
        self._prepared = False
        self._trouble = ""
        self._failures = 0

    def run(self) -> None:
        """Work until told to stop; the batch in hand is finished first. Outages are waited out, and told once each."""
        try:
            while not self._stop():
                try:
                    more = self.turn()
                except (OperationalError, InterfaceError) as error:
                    connection.close()
                    self._wait_out("database", error)
                except BusUnavailable as error:
                    self._wait_out("bus", error)
                else:
                    self._all_is_well()
                    if not more and self._listener.wait(LOOK_EVERY_SECONDS, stop=self._stop):
                        time.sleep(GATHER_SECONDS)
        finally:
            self.close()

    def turn(self) -> bool:
        """Publish one batch of what is unpublished in the shards held; return whether there is more of it.

        Raises `BusUnavailable`, or the database's errors; nothing is lost by them.
        """
        if not self._prepared:
            leases.make_shards()
            self._prepared = True
        if time.monotonic() >= self._balance_at:
            self._held = leases.balance(self.id)
            self._balance_at = time.monotonic() + leases.RENEW_EVERY_SECONDS
        if not self._held:
            return False
        per_shard = BATCH // len(self._held)
        batch = read(self._held, per_shard=per_shard)
        if batch:
            self._deliver(batch)
            strike(batch)
            for _, taken in self._sinks:
                taken.clear()
        return any(count >= per_shard for count in Counter(shard for shard, _ in batch).values())

    def close(self) -> None:
        """Give leases and connections back."""
        self._listener.close()
        for sink, _ in self._sinks:
            sink.close()
        try:
            leases.leave(self.id)
        except (OperationalError, InterfaceError):
            log.warning("outbox_leases_left_to_lapse")  # the database is gone; its clock ends them

    def _deliver(self, batch: Batch) -> None:
        """Give the batch to every sink; one that is down does not make the others take the same events again."""
        for sink, taken in self._sinks:
            due = [event for _, event in batch if event.position not in taken]
            sink.publish([(event.topic, cloud_event(event)) for event in due])
            taken.update(event.position for event in due)

    def _wait_out(self, trouble: str, error: Exception) -> None:
        if self._trouble != trouble:
            log.warning("outbox_relay_waits", waits_for=trouble, error=type(error).__name__, message=str(error))
        self._trouble = trouble
        longest = min(LONGEST_PAUSE_SECONDS, 0.5 * 2 ** min(self._failures, 10))
        self._failures += 1
        end = time.monotonic() + random.uniform(longest / 2, longest)  # noqa: S311 - so that relays don't come at once
        while not self._stop() and time.monotonic() < end:
            time.sleep(0.1)

    def _all_is_well(self) -> None:
        if self._trouble:
            log.info("outbox_relay_goes_on", waited_for=self._trouble)
        self._trouble, self._failures = "", 0


def read(held: Mapping[int, int], *, per_shard: int) -> Batch:
    """Return up to `per_shard` unpublished events of each shard held, in order; `held` has the fencing tokens.

    A shard whose lease ends soon, or that has changed hands, answers nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute(_READ, [list(held), list(held.values()), _LEASE_LEFT_SECONDS, per_shard])
        rows = cursor.fetchall()
    return [
        (
            shard,
            StoredEvent(position, event_id, topic, kind, saga_id, sequence, subject_id, json.loads(data), occurred_at),
        )
        for shard, position, event_id, topic, kind, saga_id, sequence, subject_id, data, occurred_at in rows
    ]  # Django's cursors answer jsonb as text


def strike(batch: Batch) -> None:
    """Mark the events as published: their notes are struck. Owns its transaction.

    Asks for no lease: that the bus has them is true whoever says so. It doesn't wait for the disk either: a mark that
    is lost in a crash of the database means an event published twice, which is allowed.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(_STRIKE, [[shard for shard, _ in batch], [event.position for _, event in batch]])
