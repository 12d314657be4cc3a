"""Standing by: a saga that can't go on through no fault of its own waits, and spends no attempts.

It waits for a breaker to close (`circuits`) or for a pause to end (`pausing`). Its status stays what it is; its row
says what it waits for and since when, and that time does not count towards its deadline. It is due again after a while
by itself, should nobody wake it; whoever opens the way wakes those who wait, at SAGA_RESUME_RATE a second, the
longest-waiting first.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from marketplace.kernel import bulk, counting
from marketplace.sagas.models import Circuit

RECHECK_SECONDS = 60.0  # who stands by looks again after this to twice this


def circuit(name: str) -> str:
    """What a saga's `standby` says when it waits for that breaker."""
    return f"circuit:{name}"


def pause(what: str) -> str:
    """What a saga's `standby` says when it waits for that pause to end."""
    return f"pause:{what}"


def recheck() -> timedelta:
    """How long to stand by before looking again; drawn, so that not all look at once."""
    return timedelta(seconds=random.uniform(RECHECK_SECONDS, 2 * RECHECK_SECONDS))  # noqa: S311 - no secret


# --- which ways are closed --------------------------------------------------------------------------------------------

# Both tables have a handful of rows; of most of them this reads none.
_LOOK = """
    SELECT 'pause', what, '', NULL FROM sagas_pause WHERE resumed_at IS NULL
    UNION ALL
    SELECT 'circuit', name, state, probe_saga FROM sagas_circuit WHERE state <> 'CLOSED' OR failures > 0
"""


@dataclass(frozen=True, slots=True)
class Ways:
    """What was closed when a transaction looked: pauses, and breakers that are not closed or have failures on them."""

    paused: frozenset[str] = frozenset()
    circuits: dict[str, str] = field(default_factory=dict)  # name: state
    probes: dict[str, UUID] = field(default_factory=dict)  # name: the saga whose call is to find out

    @property
    def clear(self) -> bool:
        """Whether there is nothing to be said: as nearly always."""
        return not self.paused and not self.circuits

    @property
    def broken(self) -> bool:
        """Whether any breaker is not closed."""
        return any(state != Circuit.State.CLOSED for state in self.circuits.values())

    def paused_for(self, definition: str, step: str, queue: str) -> str:
        """What pauses that step of that definition in that queue, if anything does; the widest pause first."""
        if not self.paused:
            return ""
        return next((what for what in names(definition, step, queue) if what in self.paused), "")


def names(definition: str, step: str, queue: str) -> Sequence[str]:
    """The pauses that would concern a saga there, the widest first."""
    return (f"queue:{queue}", definition, f"{definition}/{step}") if step else (definition,)


class Look:
    """One look at which ways are closed, that goes along with whatever else its transaction begins with."""

    def __init__(self) -> None:
        self._cursor = bulk.binding_cursor(binary=True)

    def send(self) -> None:
        """Ask, in a transaction."""
        self._cursor.execute(_LOOK)

    def read(self) -> Ways:
        """Return what was answered."""
        rows = self._cursor.fetchall()
        self._cursor.close()
        if not rows:
            return _ALL_CLEAR
        paused = frozenset(what for kind, what, _, _ in rows if kind == "pause")
        circuits = {name: state for kind, name, state, _ in rows if kind == "circuit"}
        return Ways(paused, circuits, {name: probe for _, name, _, probe in rows if probe is not None})


def look() -> Ways:
    """Look once which ways are closed: one query."""
    one = Look()
    one.send()
    return one.read()


_ALL_CLEAR = Ways()

# --- waking -----------------------------------------------------------------------------------------------------------

_WAKE = """
    WITH waiting AS MATERIALIZED (
        SELECT id, queue, standby_since FROM sagas_sagainstance WHERE standby = %(reason)s ORDER BY id FOR UPDATE),
    numbered AS (SELECT id, queue, row_number() OVER (ORDER BY standby_since, id) - 1 AS place FROM waiting),
    woken AS (
        UPDATE sagas_sagainstance AS t SET due_at = CASE
            WHEN due_at <= statement_timestamp() THEN due_at ELSE statement_timestamp() + place * %(gap)s END
        FROM numbered WHERE t.id = numbered.id RETURNING numbered.queue)
    SELECT DISTINCT queue FROM woken
"""
# Materialized: a subquery may be run again for each row of the table, and would then pass over what this very statement
# has updated already, and find the next one.
_PROBE = """
    WITH probes AS MATERIALIZED (
        SELECT one.id FROM sagas_circuit AS c CROSS JOIN LATERAL (
            SELECT id FROM sagas_sagainstance WHERE standby = 'circuit:' || c.name
            ORDER BY standby_since, id LIMIT 1 FOR UPDATE SKIP LOCKED) AS one
        WHERE (c.state = 'OPEN' AND c.probe_at <= clock_timestamp())
           OR (c.state = 'HALF_OPEN' AND c.probe_until <= clock_timestamp()))
    UPDATE sagas_sagainstance AS t SET due_at = clock_timestamp() FROM probes
    WHERE t.id = probes.id AND t.due_at > clock_timestamp()
"""


def wake(reason: str) -> set[str]:
    """Make all due who stand by for `reason`, one after the other; return the queues to ring for, once committed.

    SAGA_RESUME_RATE of them a second: what was away so long must not be met by everybody at once. Who is due already,
    by a stop, say, is not put off. Needs a transaction.
    """
    parameters: dict[str, Any] = {"reason": reason, "gap": timedelta(seconds=1 / settings.SAGA_RESUME_RATE)}
    with connection.cursor() as cursor:
        cursor.execute(_WAKE, parameters)
        return {row[0] for row in cursor.fetchall()}


def send_probes() -> int:
    """Make one saga due for each breaker whose pause is over, so that its call may try; return how many.

    For the sweep. If none stands by, the next call that comes along is the one that tries.
    """
    with connection.cursor() as cursor:
        cursor.execute(_PROBE)
        return int(cursor.rowcount)


# --- for people -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many stand by for one thing (counted up to `counting.MOST_READ`), and the first of them since when."""

    count: int
    since: datetime


# One look into the index per reason, and so many entries of it, however many stand by.
_WAITING = """
    WITH RECURSIVE known AS (
        (SELECT standby FROM sagas_sagainstance WHERE NOT standby = '' ORDER BY standby LIMIT 1)
        UNION ALL
        SELECT (SELECT standby FROM sagas_sagainstance
                WHERE NOT standby = '' AND standby > known.standby ORDER BY standby LIMIT 1)
        FROM known WHERE known.standby IS NOT NULL)
    SELECT known.standby, n.count, n.since FROM known CROSS JOIN LATERAL (
        SELECT count(*) AS count, min(standby_since) AS since FROM (
            SELECT standby_since FROM sagas_sagainstance
            WHERE NOT standby = '' AND standby = known.standby ORDER BY standby_since LIMIT %s) AS read) AS n
    WHERE n.count > 0
"""


def waiting() -> dict[str, Waiting]:
    """Who stands by, by reason. By the partial index of those who do."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [counting.MOST_READ])
        return {reason: Waiting(count, since) for reason, count, since in cursor.fetchall()}


def in_words(reason: str) -> str:
    """`standby` of a saga, as people say it."""
    kind, _, what = reason.partition(":")
    if kind == "circuit":
        return f"The breaker {what!r} is open: nobody answers there."
    return f"Paused by a person: {what_in_words(what)}."


def what_in_words(what: str) -> str:
    """The name of a pause, as people say it."""
    if what.startswith("queue:"):
        return f"the queue {what.removeprefix('queue:')}"
    definition, _, step = what.partition("/")
    return f"the step {step} of {definition}" if step else f"every {definition}"
