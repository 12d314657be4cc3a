"""The engine as it is run: real Celery workers, in processes of their own, that are stopped and killed."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from redis import Redis

from marketplace.sagas import services, tasks
from marketplace.sagas.models import SagaInstance, Status
from marketplace.sagas.tests.driving import (
    QUEUES,
    begin,
    begin_one,
    committing,
    effects,
    events,
    history,
    run_sql,
    saga,
    until_true,
)
from marketplace.sagas.tests.trip import SplitTrip

pytestmark = [committing, pytest.mark.timeout(400)]

Hire = Callable[..., "subprocess.Popen[bytes]"]
HIRED = f"hired by {os.getpid()}"  # in the database's list of who is connected


@pytest.fixture
def hire(process_environment: dict[str, str], redis: "Redis[bytes]") -> Iterator[Hire]:
    """Start a Celery worker on this test's database and Redis: `hire(queues="orders", TRIP_LATENCY_SECONDS="0.1")`."""
    hired: list[subprocess.Popen[bytes]] = []

    def begin_work(*, queues: str = ",".join(QUEUES), processes: int = 2, **environment: str) -> Any:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "marketplace", "worker", "-Q", queues),
                *("-c", str(processes), "-I", "marketplace.sagas.tests.trip_worker", "-n", f"{len(hired)}@{queues}"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"),
            ],
            env=process_environment | {"PGAPPNAME": HIRED} | environment,
            cwd=django_settings.BASE_DIR,
            start_new_session=True,
        )
        hired.append(worker)
        return worker

    yield begin_work
    for worker in hired:
        kill(worker)
    # What they had asked the database for may still be under way there: not when the next test has begun.
    until_true(lambda: not run_sql("SELECT 1 FROM pg_stat_activity WHERE application_name = %s", [HIRED]))


def kill(worker: "subprocess.Popen[bytes]") -> None:
    """`kill -9` a worker with all its processes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def all_ended() -> bool:
    return not SagaInstance.objects.filter(completed_at__isnull=True).exists()


def swept_until(condition: Callable[[], bool], *, seconds: float = 150) -> None:
    """Take the place of Celery beat until `condition` holds."""

    def look() -> bool:
        tasks.sweep()
        return condition()

    until_true(look, seconds=seconds)


@pytest.mark.core
def test_a_real_worker_hears_the_bell_and_books_the_trip(hire: Hire) -> None:
    hire()
    trip = begin_one(needs_approval=True)
    until_true(lambda: saga(trip).current_step == "approval", seconds=100)
    services.signal(trip, "approval", signal_id="1", payload={"by": "the boss"})
    until_true(lambda: saga(trip).status == Status.COMPLETED, seconds=100)
    assert history(trip) == ["seat DONE", "approval DONE", "hotel DONE", "card DONE", "ticket DONE"]
    assert effects(trip) == ["seat", "ticket"]
    assert events(trip) == ["COMPLETED"]
    assert sorted(run_sql("SELECT key, state, requests FROM trips_outside")) == [
        (f"{trip}:card", "booked", 1),
        (f"{trip}:hotel", "booked", 1),
    ]
    refused = begin_one(card="refuses")
    until_true(lambda: saga(refused).status == Status.COMPENSATED)
    assert effects(refused) == ["seat", "seat given back", "closed as card_refused"]


def test_each_house_has_its_own_workers(hire: Hire) -> None:
    for queue in ("inventory", "payments", "orders"):
        hire(queues=queue, processes=1, TRIP_WORKER=queue)
    trips = begin(SplitTrip, times=20)
    until_true(all_ended, seconds=100)
    assert {saga(trip).status for trip in trips} == {Status.COMPLETED}
    served = run_sql("SELECT DISTINCT what, worker FROM trips_log WHERE what IN ('seat', 'card', 'ticket')")
    assert sorted(served) == [("card", "payments"), ("seat", "inventory"), ("ticket", "orders")]
    assert run_sql("SELECT count(*) FROM trips_log WHERE what = 'card'") == [(20,)]


@pytest.mark.chaos
def test_killed_workers_lose_nothing_and_book_nothing_twice(hire: Hire) -> None:
    run_sql("INSERT INTO trips_flight VALUES ('XY1', 50)")
    trips = begin(times=60, flight="XY1")
    environment = {"TRIP_LATENCY_SECONDS": "0.06", "SAGA_LEASE_SECONDS": "2", "SAGA_CALL_CONCURRENCY": "4"}
    for done in (5, 25):
        worker = hire(**environment, TRIP_CARDS=str(done + 8))  # so it has work in hand, however late it is killed
        swept_until(lambda done=done: SagaInstance.objects.filter(status=Status.COMPLETED).count() >= done)
        kill(worker)
        assert SagaInstance.objects.filter(in_flight=True).exists()
    hire(**environment)
    swept_until(all_ended)

    flying = [trip for trip in trips if saga(trip).status == Status.COMPLETED]
    assert len(flying) == 50
    assert {saga(trip).cause["code"] for trip in trips if trip not in flying} == {"flight_full"}
    assert run_sql("SELECT free FROM trips_flight") == [(0,)]
    for trip in flying:
        assert effects(trip) == ["seat", "ticket"]
        assert events(trip) == ["COMPLETED"]
        assert [line for line in history(trip) if line.endswith("DONE")] == [
            "seat DONE",
            "hotel DONE",
            "card DONE",
            "ticket DONE",
        ]
    assert sorted(run_sql("SELECT key FROM trips_outside WHERE state = 'booked'")) == sorted(
        (f"{trip}:{what}",) for trip in flying for what in ("hotel", "card")
    )


@pytest.mark.chaos
def test_a_worker_that_is_told_to_stop_finishes_its_calls(hire: Hire) -> None:
    trips = begin(times=30)
    worker = hire(processes=1, TRIP_LATENCY_SECONDS="0.3", SAGA_CALL_CONCURRENCY="4")
    until_true(lambda: SagaInstance.objects.filter(status=Status.COMPLETED).exists(), seconds=100)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=100) == 0
    assert not SagaInstance.objects.filter(in_flight=True).exists()
    assert not run_sql("SELECT 1 FROM sagas_sagahistory WHERE status = 'UNKNOWN'")
    hire()
    swept_until(all_ended)
    assert {saga(trip).status for trip in trips} == {Status.COMPLETED}
    assert run_sql("SELECT count(*), sum(requests) FROM trips_outside") == [(60, 60)]


def test_redis_flushed_in_the_middle_loses_nothing(hire: Hire, redis: "Redis[bytes]") -> None:
    trips = begin(times=40)
    hire(TRIP_LATENCY_SECONDS="0.05", SAGA_CALL_CONCURRENCY="4")
    until_true(lambda: SagaInstance.objects.filter(status=Status.COMPLETED).count() >= 5, seconds=100)
    redis.flushdb()
    more = begin(times=10)
    redis.flushdb()
    swept_until(all_ended)
    assert {saga(trip).status for trip in trips + more} == {Status.COMPLETED}
    assert run_sql("SELECT count(*), sum(requests) FROM trips_outside") == [(100, 100)]


def test_a_worker_keeps_its_connection_from_task_to_task_and_replaces_a_dead_one(hire: Hire) -> None:
    def booked() -> int:
        """Have a trip booked; the process id of the server that wrote it down."""
        trip = begin_one()
        until_true(lambda: saga(trip).status == Status.COMPLETED, seconds=100)
        ((server,),) = run_sql("SELECT DISTINCT server FROM trips_effect WHERE saga_id = %s", [trip])
        return int(server)

    hire(processes=1)
    first = booked()
    assert booked() == first
    run_sql("SELECT pg_terminate_backend(%s)", [first])
    until_true(lambda: not run_sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [first]))
    assert booked() != first
