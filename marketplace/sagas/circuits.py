"""Breakers: when a place outside is down, calls to it stand by instead of spending their attempts.

    CLOSED ── SAGA_BREAKER_FAILURES in a row ──► OPEN ── a pause ──► HALF_OPEN (one call tries) ── answered ──► CLOSED
                                                  ▲                                │
                                                  └────── no answer; twice the pause, up to a ceiling

One row is one breaker, so all workers see the same one. It costs the hot path nothing but the look of `standby.look`:
while all is well no row is written, or there is none. What a call came to is reported after the transaction that
recorded it, in a transaction of its own: a breaker's row is never locked by somebody who waits for another lock. A
report that is lost with its worker costs one count; a lost probe is followed by another after `probe_until`.

Whether it answered is all that counts, not what: a declined card is an answer. After M. Nygard, "Release It!", 2007.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg.errors
import structlog
from django.conf import settings
from django.db import OperationalError, connection, transaction

from marketplace.kernel.clock import database_now
from marketplace.sagas import standby
from marketplace.sagas.errors import NoSuchCircuit
from marketplace.sagas.models import Circuit
from marketplace.sagas.timeouts import IN_VAIN, sqlstate

log = structlog.get_logger(__name__)

DEADLOCKS = 5  # how often a report is tried again after one
_TIES = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one call through the breaker `circuit`; `failure` is empty when there was an answer."""

    circuit: str
    saga_id: UUID
    fence: int
    failure: str = ""


def report(reports: Iterable[Report]) -> set[str]:
    """Count answers and failures on their breakers; return the queues in which sagas were woken, to be rung for.

    Opens, closes and reopens breakers, and wakes who stood by for one that has closed. Must not be called in a
    transaction that holds other locks; makes one for each breaker, again if the database chose it as a deadlock's
    victim: what is reported is committed, so whoever reports must not take that for its own. One that is chosen again
    and again is lost, and so is one that is refused a lock, or cancelled.
    """
    of: dict[str, list[Report]] = {}
    for one in reports:
        of.setdefault(one.circuit, []).append(one)
    queues: set[str] = set()
    for name, its in sorted(of.items()):
        queues |= _reported(name, its)
    return queues


def _reported(name: str, reports: list[Report]) -> set[str]:
    for _ in range(DEADLOCKS):
        try:
            with transaction.atomic():
                return _report(name, reports)
        except OperationalError as error:
            if sqlstate(error) in IN_VAIN:
                break
            if not isinstance(error.__cause__, _TIES):
                raise
    log.warning("circuit_report_lost", name=name)
    return set()


def _report(name: str, reports: list[Report]) -> set[str]:
    Circuit.objects.bulk_create([Circuit(name=name)], ignore_conflicts=True)
    circuit = Circuit.objects.select_for_update().get(pk=name)
    now = database_now()
    state = circuit.state
    if state == Circuit.State.CLOSED:
        _count(circuit, reports, now)
    else:
        _judge(circuit, reports, now)
    if circuit.state == state and state != Circuit.State.CLOSED:
        return set()
    circuit.changed_at = now
    circuit.save()
    if circuit.state == state:
        return set()
    log.warning("circuit", name=name, state=str(circuit.state), why=circuit.why)
    return standby.wake(standby.circuit(name)) if circuit.state == Circuit.State.CLOSED else set()


def _count(circuit: Circuit, reports: list[Report], now: datetime) -> None:
    """Count while closed. Whoever answers one call of a group is there, whatever became of the others."""
    failed = [one for one in reports if one.failure]
    if len(failed) < len(reports):
        circuit.failures, circuit.first_failed_at = 0, None
        return
    window = timedelta(seconds=settings.SAGA_BREAKER_WINDOW_SECONDS)
    if circuit.first_failed_at is None or now - circuit.first_failed_at > window:
        circuit.failures, circuit.first_failed_at = 0, now
    circuit.failures += len(failed)
    circuit.why = failed[-1].failure
    if circuit.failures >= settings.SAGA_BREAKER_FAILURES:
        circuit.opened_at, circuit.trips = now, 0
        _open(circuit, now)


def _judge(circuit: Circuit, reports: list[Report], now: datetime) -> None:
    """While open only the probe has a say: calls made before it opened tell of a time that has passed."""
    probe = (circuit.probe_saga, circuit.probe_fence)
    heard = next((one for one in reports if (one.saga_id, one.fence) == probe), None)
    if circuit.state != Circuit.State.HALF_OPEN or heard is None:
        return
    if heard.failure:
        circuit.trips += 1
        circuit.why = heard.failure
        _open(circuit, now)
        return
    circuit.state, circuit.failures, circuit.first_failed_at, circuit.trips = Circuit.State.CLOSED, 0, None, 0
    circuit.opened_at = circuit.probe_at = None
    _forget_probe(circuit)


def _open(circuit: Circuit, now: datetime) -> None:
    circuit.state = Circuit.State.OPEN
    longest = settings.SAGA_BREAKER_LONGEST_SECONDS
    pause = min(longest, settings.SAGA_BREAKER_PAUSE_SECONDS * 2 ** min(circuit.trips, 30))
    circuit.probe_at = now + timedelta(seconds=pause * random.uniform(0.9, 1.1))  # noqa: S311 - no secret
    _forget_probe(circuit)


def _forget_probe(circuit: Circuit) -> None:
    circuit.probe_saga = circuit.probe_fence = circuit.probe_until = None


# Losing the race for it is normal: whoever does stands by. SKIP LOCKED, so that nobody waits here with locks in hand.
_CLAIM_PROBE = """
    UPDATE sagas_circuit SET state = 'HALF_OPEN', probe_saga = %(saga)s, probe_fence = %(fence)s,
        probe_until = clock_timestamp() + %(lease)s, changed_at = clock_timestamp()
    WHERE name = (
        SELECT name FROM sagas_circuit WHERE name = %(name)s AND (
            (state = 'OPEN' AND probe_at <= clock_timestamp())
            OR (state = 'HALF_OPEN' AND (probe_until <= clock_timestamp() OR probe_saga = %(saga)s)))
        FOR NO KEY UPDATE SKIP LOCKED)
"""
_PUT_BACK = """
    UPDATE sagas_circuit SET state = 'OPEN', probe_saga = NULL, probe_fence = NULL, probe_until = NULL,
        changed_at = clock_timestamp()
    WHERE state = 'HALF_OPEN' AND probe_saga = ANY(%s)
"""


def claim_probe(name: str, saga_id: UUID, fence: int, *, lease: timedelta) -> bool:
    """Let the call of that saga be the one that tries, if it is time and no other does; answer whether it is.

    Needs the transaction that starts the call; holds the breaker's row until it ends, and never waits for it.
    """
    parameters: dict[str, Any] = {"name": name, "saga": saga_id, "fence": fence, "lease": lease}
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_PROBE, parameters)
        return bool(cursor.rowcount)


def put_back(saga_ids: Iterable[UUID]) -> None:
    """Let another try instead of these, whose calls turned out to need no call. Needs their transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_PUT_BACK, [list(saga_ids)])


@dataclass(frozen=True, slots=True)
class View:
    """A breaker as operations sees it: `waiting` sagas stand by for it, the first of them since `waiting_since`."""

    name: str
    state: str
    failures: int
    why: str
    opened_at: datetime | None
    probe_at: datetime | None
    waiting: int
    waiting_since: datetime | None


def views(waiting: Mapping[str, standby.Waiting] | None = None) -> list[View]:
    """Every breaker that has ever been needed, by name. `waiting`: what `standby.waiting` said, if it was asked."""
    waiting = standby.waiting() if waiting is None else waiting
    return [
        View(c.name, c.state, c.failures, c.why, c.opened_at, c.probe_at, *_waiting(waiting, standby.circuit(c.name)))
        for c in Circuit.objects.order_by("name")
    ]


def _waiting(waiting: Mapping[str, standby.Waiting], reason: str) -> tuple[Any, ...]:
    found = waiting.get(reason)
    return (found.count, found.since) if found else (0, None)


def probe_now(name: str) -> None:
    """Don't wait for the end of the pause: the next call may try at once. Raises `NoSuchCircuit`."""
    now = database_now()
    opened = Circuit.objects.filter(pk=name, state=Circuit.State.OPEN)
    if not opened.update(probe_at=now, changed_at=now) and not Circuit.objects.filter(pk=name).exists():
        raise NoSuchCircuit(f"There is no breaker {name!r}.", name=name)
