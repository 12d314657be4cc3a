"""The words in which the engine's tests are told: begin a saga, drive the engine, look what became of it."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID

import pytest
from django.db import transaction

from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.sagas import rows, services
from marketplace.sagas.definition import Saga
from marketplace.sagas.models import SagaHistory, SagaInstance, SagaSignal
from marketplace.sagas.runner import Worker
from marketplace.sagas.stepping import Pass
from marketplace.sagas.tests.trip import BookTrip, run_sql

# Tests that commit are emptied table by table; the other apps' tables are empty as it is, and many.
committing = pytest.mark.django_db(transaction=True, available_apps=["marketplace.sagas"])

QUEUES = ("orders", "inventory", "payments", "fulfillment")


def begin(definition: type[Saga] = BookTrip, *, times: int = 1, **context: Any) -> list[UUID]:
    """Start `times` sagas of `definition` and commit; return their ids."""
    starts = [services.Start(new_id(), dict(context)) for _ in range(times)]
    with transaction.atomic():
        services.start(definition, starts, now=database_now())
    return [one.id for one in starts]


def begin_one(definition: type[Saga] = BookTrip, **context: Any) -> UUID:
    """Start one saga of `definition` and commit; return its id."""
    return begin(definition, **context)[0]


def worker(queues: Sequence[str] = QUEUES, **callbacks: Callable[..., None]) -> Worker:
    """A worker whose bells nobody hears, unless `callbacks` says who does."""
    return Worker(queues, **{"on_full": lambda: None, "on_bell": lambda queue: None, **callbacks})


def drive(queues: Sequence[str] = QUEUES, *, seconds: float = 60) -> int:
    """Move everything that is due; return how many moves that took."""
    one = worker(queues)
    assert one.drive(until=time.monotonic() + seconds), "the worker did not come to an end in time"
    return one.moved


class Shift:
    """An end of a drive (`until`) that comes when the test says so, and not when the machine has been slow."""

    def __init__(self) -> None:
        self._ends = math.inf

    def end(self) -> None:
        """The time is up now."""
        self._ends = time.monotonic()

    def __gt__(self, now: float) -> bool:
        return self._ends > now

    def __add__(self, seconds: float) -> float:
        return self._ends + seconds


class OneRound(Shift):
    """An end that comes once the drive has looked whether it is there."""

    def __gt__(self, now: float) -> bool:
        answer = super().__gt__(now)
        self._ends = -math.inf
        return answer


def one_round(one: Worker) -> None:
    """Have a worker claim once, and wait for what is in the air then."""
    one.drive(until=cast(float, OneRound()))


def take_off(queues: Sequence[str] = QUEUES, limit: int = 100) -> Pass:
    """The first transaction of a worker: claim and move. The calls that come out of it are not made yet."""
    with transaction.atomic():
        runs, now = rows.claim(queues, limit)
        assert now is not None, "nothing was due"
        step = Pass(now=now, queues=frozenset(queues))
        step.claimed(runs)
        step.write()
    return step


def land(flown: Pass, queues: Sequence[str] = QUEUES) -> Pass:
    """Make the calls of `flown` here and now, then run the second transaction of a worker: record and move on."""
    replies = {flight.run.ticket.id: flight.send() for flight in flown.flights}
    with transaction.atomic():
        runs, now = rows.hold(list(replies), [flight.run.fence for flight in flown.flights])
        assert now is not None, "nothing was in flight"
        step = Pass(now=now, queues=frozenset(queues))
        step.answered(runs, replies)
        step.write()
    return step


def carry_on(flown: Pass) -> None:
    """Make the calls of `flown`, and those that follow from their answers, until none is in flight; then drive."""
    while flown.flights:
        flown = land(flown)
    drive()


def saga(saga_id: UUID) -> SagaInstance:
    """The saga's row as it is now."""
    return SagaInstance.objects.get(pk=saga_id)


def change(saga_id: UUID, **values: Any) -> None:
    """Put a saga's row into a state that would take long to come about by itself."""
    assert SagaInstance.objects.filter(pk=saga_id).update(**values) == 1


def make_due(*saga_ids: UUID) -> None:
    """Let the time pass that these sagas are waiting for."""
    SagaInstance.objects.filter(pk__in=saga_ids).update(due_at=database_now())


def lose_worker(saga_id: UUID) -> None:
    """Leave the saga as a worker leaves it that dies during a call: in flight, until its lease has ended."""
    with transaction.atomic():
        change(saga_id, in_flight=True, fence=saga(saga_id).fence + 1, due_at=database_now())


def history(saga_id: UUID) -> list[str]:
    """The saga's history as lines: `seat DONE`, `undo seat DONE`."""
    return [
        f"{'undo ' if entry.direction == 'compensating' else ''}{entry.step} {entry.status}"
        for entry in SagaHistory.objects.filter(saga_id=saga_id).order_by("id")
    ]


def effects(saga_id: UUID) -> list[str]:
    """What the saga's steps have committed in our own database, in order."""
    return [row[0] for row in run_sql("SELECT effect FROM trips_effect WHERE saga_id = %s ORDER BY id", [saga_id])]


def events(saga_id: UUID) -> list[str]:
    """The statuses that were published of the saga, in order."""
    return [row[0] for row in run_sql("SELECT status FROM trips_event WHERE saga_id = %s ORDER BY id", [saga_id])]


def dispositions(saga_id: UUID) -> list[tuple[str, str]]:
    """Each signal's name and what became of it, in order of arrival."""
    return list(SagaSignal.objects.filter(saga_id=saga_id).order_by("id").values_list("name", "disposition"))


def until_true(condition: Callable[[], Any], *, seconds: float = 60) -> None:
    """Return as soon as `condition` holds; fail the test if it never does."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            pytest.fail("what the test waits for did not come about")
        time.sleep(0.01)


def waiting_for_locks() -> int:
    """How many connections of this database wait for a lock at this moment."""
    run_sql("SELECT pg_stat_clear_snapshot()")  # inside a transaction, one would see the same moment for ever
    return int(
        run_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND backend_type = 'client backend'"
        )[0][0]
    )


def claimed_ids(queues: Sequence[str] = QUEUES, limit: int = 100) -> list[UUID]:
    """The ids that a claim hands out, oldest due first. Needs a transaction."""
    return [run.ticket.id for run in rows.claim(queues, limit)[0]]
