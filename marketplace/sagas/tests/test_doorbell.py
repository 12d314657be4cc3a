"""No wake-up is ever lost: whatever is committed is seen by a claim, or a message about it is on its way.

Every message in these tests lies in the real broker; the test takes the place of Celery and answers it.
"""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection
from redis import Redis

from marketplace.kernel.clock import database_now
from marketplace.sagas import doorbell, tasks
from marketplace.sagas.line import Line
from marketplace.sagas.models import SagaInstance, Status
from marketplace.sagas.runner import Worker
from marketplace.sagas.tests.driving import (
    QUEUES,
    begin,
    begin_one,
    change,
    committing,
    history,
    run_sql,
    saga,
    until_true,
)
from marketplace.sagas.tests.trip import SplitTrip, world

pytestmark = committing

Beside = Callable[..., "Future[Any]"]
Bell = Redis


def messages(redis: Bell, queue: str = "orders") -> list[tuple[str, int]]:
    """The doorbell messages that lie in a queue, oldest first, as (queue, slot)."""
    return [_arguments(raw) for raw in reversed(redis.lrange(queue, 0, -1))]


def _arguments(raw: bytes) -> tuple[str, int]:
    queue, slot = json.loads(base64.b64decode(json.loads(raw)["body"]))[0]
    return queue, slot


def flag(redis: Bell, queue: str = "orders", slot: int = 0) -> bool:
    return bool(redis.exists(f"saga:bell:{queue}:{slot}"))


class Staged(Worker):
    """A worker to whose drives something happens right after them: `Staged.after[n]` after the n-th."""

    after: dict[int, Callable[[], Any]] = {}
    drives = 0

    def drive(self, *, until: float) -> bool:
        answer = super().drive(until=until)
        type(self).drives += 1
        self.after.pop(self.drives, lambda: None)()
        return answer


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """No shift ends, and no flag goes away or stale, because the machine stood still for a while."""
    monkeypatch.setattr(doorbell, "SHIFT_SECONDS", 60.0)
    monkeypatch.setattr(doorbell, "FLAG_SECONDS", 600)
    monkeypatch.setattr(doorbell, "FRESH_SECONDS", 300.0)


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> type[Staged]:
    monkeypatch.setattr(doorbell, "Worker", Staged)
    monkeypatch.setattr(Staged, "after", {})
    monkeypatch.setattr(Staged, "drives", 0)
    return Staged


# --- ringing ----------------------------------------------------------------------------------------------------------


def test_however_many_ring_one_message_is_under_way(redis: Bell) -> None:
    for _ in range(50):
        doorbell.ring("orders")
    assert messages(redis) == [("orders", 0)]
    doorbell.ring("payments")
    doorbell.ring("orders", 1)
    assert messages(redis) == [("orders", 0), ("orders", 1)]
    assert messages(redis, "payments") == [("payments", 0)]


def test_a_flag_that_nobody_looks_after_goes_away(redis: Bell) -> None:
    doorbell.ring("orders")
    assert 0 < redis.ttl("saga:bell:orders:0") <= doorbell.FLAG_SECONDS


def test_without_redis_ringing_does_nothing_and_raises_nothing(redis: Bell, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    doorbell.ring("orders")
    doorbell.ring_anyway("orders")
    assert messages(redis) == []
    trip = begin_one()  # accepted, and waiting
    assert saga(trip).status == Status.STARTED


def test_without_redis_another_broker_is_rung_without_a_flag(redis: Bell, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.CELERY_BROKER_URL = "amqp://elsewhere"  # what is asked is only whether that is Redis
    doorbell.ring("orders")
    assert messages(redis) == [("orders", 0)]


@pytest.mark.parametrize("broker", ["redis://127.0.0.1:1/0", "carrier-pigeon://"])
def test_a_broker_that_is_gone_costs_no_order(redis: Bell, process_environment: dict[str, str], broker: str) -> None:
    code = "import django; django.setup()\nfrom marketplace.sagas.tests.driving import begin_one\nprint(begin_one())"
    away = {"CELERY_BROKER_URL": broker, "DJANGO_SETTINGS_MODULE": "marketplace.settings"}
    shop = subprocess.run(
        [sys.executable, "-c", code], env=process_environment | away, capture_output=True, text=True, check=False
    )
    assert shop.returncode == 0, shop.stderr
    assert "doorbell_unreachable" in shop.stderr
    assert SagaInstance.objects.filter(status=Status.STARTED).count() == 1


# --- answering --------------------------------------------------------------------------------------------------------


def test_answering_moves_everything_and_takes_the_flag_down(redis: Bell) -> None:
    trips = begin(times=3)
    begin(SplitTrip)
    redis.delete("orders", "inventory")
    assert doorbell.answer("orders", 0, QUEUES) > 0
    assert not SagaInstance.objects.exclude(status=Status.COMPLETED).exists()
    assert history(trips[0]) == ["seat DONE", "hotel DONE", "card DONE", "ticket DONE"]
    assert not flag(redis)
    assert messages(redis) == []
    assert flag(redis, "inventory")  # its own message is on its way still; it will find nothing


def test_answering_when_there_is_nothing_is_cheap(redis: Bell, django_assert_num_queries: Any) -> None:
    doorbell.ring("orders")
    with django_assert_num_queries(8):  # two empty claims
        assert doorbell.answer("orders", 0, QUEUES) == 0
    assert not flag(redis)


@pytest.mark.core
def test_what_is_committed_before_the_flag_is_taken_down_is_seen(redis: Bell, staged: type[Staged]) -> None:
    """After the last claim and before the flag is dropped: nobody rings for it, so the next claim has to see it."""
    trips: list[Any] = []

    def come_in() -> None:
        redis.delete("orders")
        trips.append(begin_one())
        assert messages(redis) == []  # the flag was up

    doorbell.ring("orders")
    staged.after[1] = come_in
    doorbell.answer("orders", 0, QUEUES)
    assert saga(trips[0]).status == Status.COMPLETED


@pytest.mark.core
def test_what_is_committed_after_the_last_claim_is_heard_on_the_line(redis: Bell, staged: type[Staged]) -> None:
    trips: list[Any] = []
    doorbell.ring("orders")
    redis.delete("orders")
    staged.after[2] = lambda: trips.append(begin_one())
    assert doorbell.answer("orders", 0, QUEUES) > 0
    assert saga(trips[0]).status == Status.COMPLETED
    assert messages(redis) == []
    assert not flag(redis)


@pytest.mark.core
def test_what_is_committed_while_the_line_is_hung_up_is_seen(
    redis: Bell, staged: type[Staged], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last moment: nobody has rung for a while, and the line is still open to whoever rings now."""
    monkeypatch.setattr(doorbell, "LINGER_SECONDS", 0.05)
    trips: list[Any] = []
    rings = Line.rings

    def waited(line: Line, seconds: float) -> bool:
        rang = rings(line, seconds)
        if not trips:
            trips.append(begin_one())
        return rang

    monkeypatch.setattr(Line, "rings", waited)
    doorbell.answer("orders", 0, QUEUES)
    assert saga(trips[0]).status == Status.COMPLETED
    assert messages(redis) == []
    assert not flag(redis)


def test_what_is_committed_once_nobody_listens_rings_anew(redis: Bell) -> None:
    doorbell.ring("orders")
    redis.delete("orders")
    assert doorbell.answer("orders", 0, QUEUES) == 0
    trip = begin_one()
    assert messages(redis) == [("orders", 0)]
    assert flag(redis)
    doorbell.answer("orders", 0, QUEUES)
    assert saga(trip).status == Status.COMPLETED


@pytest.mark.core
def test_the_end_of_the_shift_does_not_swallow_what_came_in_under_the_flag(
    redis: Bell, staged: type[Staged], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue was empty, the time is up, and somebody committed in between without a ring of their own."""
    monkeypatch.setattr(doorbell, "SHIFT_SECONDS", 0.3)
    trips: list[Any] = []

    def come_in_at_the_last_moment() -> None:
        redis.delete("orders")
        trips.append(begin_one())
        assert messages(redis) == []
        time.sleep(0.3)  # the shift is over

    doorbell.ring("orders")
    staged.after[1] = come_in_at_the_last_moment
    doorbell.answer("orders", 0, QUEUES)
    assert saga(trips[0]).status == Status.STARTED
    assert messages(redis) == [("orders", 0)]
    assert flag(redis)


def test_who_finds_more_after_the_flag_goes_on_until_there_is_nothing(redis: Bell, staged: type[Staged]) -> None:
    doorbell.ring("orders")
    redis.delete("orders")
    trips: list[Any] = []
    staged.after[1] = lambda: trips.append(begin_one())
    staged.after[2] = lambda: trips.append(begin_one())
    doorbell.answer("orders", 0, QUEUES)
    assert [saga(trip).status for trip in trips] == [Status.COMPLETED] * 2
    assert messages(redis) == []
    assert not flag(redis)


def test_at_the_end_of_a_shift_a_message_hands_over(redis: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    trip = begin_one()
    redis.flushdb()
    monkeypatch.setattr(doorbell, "SHIFT_SECONDS", 0.0)
    assert doorbell.answer("orders", 1, QUEUES) == 0
    assert saga(trip).status == Status.STARTED
    assert messages(redis) == [("orders", 1)]
    assert redis.ttl("saga:bell:orders:1") > doorbell.FLAG_SECONDS - 60  # nobody else needs to ring meanwhile
    monkeypatch.setattr(doorbell, "SHIFT_SECONDS", 60.0)
    doorbell.answer("orders", 1, QUEUES)
    assert saga(trip).status == Status.COMPLETED


def test_a_worker_in_trouble_takes_its_flag_down(redis: Bell) -> None:
    """Nobody answers any more, so the next one who rings must be heard."""
    trip = begin_one()
    redis.delete("orders")
    world.plan["seat"] = lambda ticket: run_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(OperationalError):
        doorbell.answer("orders", 0, QUEUES)
    connection.close()
    assert not flag(redis)
    begin_one()
    assert messages(redis) == [("orders", 0)]
    assert saga(trip).status == Status.STARTED


def test_a_full_batch_calls_in_as_many_workers_as_there_are_slots(redis: Bell, settings: Any) -> None:
    settings.SAGA_BATCH_SIZE = 1
    settings.SAGA_WORKER_SLOTS = 2
    begin(times=4)
    redis.flushdb()
    doorbell.answer("orders", 0, QUEUES)
    assert messages(redis) == [("orders", 1)]
    redis.flushdb()
    begin(times=4)
    redis.flushdb()
    doorbell.answer("orders", 1, QUEUES)
    assert messages(redis) == []


def test_a_worker_of_one_queue_rings_for_the_next(redis: Bell) -> None:
    trip = begin_one(SplitTrip)
    for queue, then in (("inventory", "payments"), ("payments", "orders")):
        assert messages(redis, queue) == [(queue, 0)]
        redis.delete(queue)
        doorbell.answer(queue, 0, [queue])
        assert messages(redis, then) == [(then, 0)]
        assert saga(trip).queue == then
    doorbell.answer("orders", 0, ["orders"])
    assert saga(trip).status == Status.COMPLETED


# --- on the line ------------------------------------------------------------------------------------------------------


def database(redis: Bell) -> int:
    return int(redis.connection_pool.connection_kwargs["db"])


def listeners(redis: Bell) -> int:
    return len(redis.pubsub_channels(f"saga:line:{database(redis)}:*"))  # channels know of no database


@pytest.mark.core
def test_who_is_on_the_line_needs_no_message(redis: Bell, beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "LINGER_SECONDS", 60.0)
    answering = beside(doorbell.answer, "orders", 0, QUEUES)
    until_true(lambda: listeners(redis) == 1 and not flag(redis))
    trips = []
    for _ in range(3):
        trips.append(begin_one())
        until_true(lambda: saga(trips[-1]).status == Status.COMPLETED and not flag(redis))
    assert messages(redis) == []
    monkeypatch.setattr(doorbell, "LINGER_SECONDS", 0.0)  # after one more ring it does not stay any longer
    doorbell.ring("orders")
    assert answering.result(timeout=60) > 0
    assert listeners(redis) == 0
    begin_one()
    assert messages(redis) == [("orders", 0)]


def test_a_shift_that_ends_on_the_line_hands_over(redis: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    """There was work a moment ago, so the next order shall find somebody there, too; but not for ever."""
    monkeypatch.setattr(doorbell, "LINGER_SECONDS", 1000.0)
    waited: list[float] = []
    ahead = [0.0]

    def nobody_rings(line: Line, seconds: float) -> bool:
        waited.append(seconds)
        ahead[0] += seconds
        return False

    monkeypatch.setattr(Line, "rings", nobody_rings)
    monkeypatch.setattr(doorbell, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead[0]))
    trip = begin_one()
    redis.delete("orders")
    doorbell.answer("orders", 0, QUEUES)
    assert saga(trip).status == Status.COMPLETED
    assert messages(redis) == [("orders", 0)]
    assert flag(redis)
    redis.delete("orders")
    doorbell.answer("orders", 0, QUEUES)
    assert messages(redis) == []
    assert not flag(redis)
    assert listeners(redis) == 0
    assert len(waited) == 2
    assert max(waited) <= doorbell.SHIFT_SECONDS


@pytest.mark.core
def test_a_line_that_breaks_loses_nothing(redis: Bell, beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "LINGER_SECONDS", 1.0)
    answering = beside(doorbell.answer, "orders", 0, QUEUES)
    until_true(lambda: listeners(redis) == 1 and not flag(redis))
    for client in redis.client_list(_type="pubsub"):
        if int(client["db"]) == database(redis):  # another's tests may be on the same server
            redis.client_kill_filter(_id=client["id"])
    trip = begin_one()
    for queue, slot in messages(redis):  # nobody was there, so perhaps there is one
        doorbell.answer(queue, slot, QUEUES)
    until_true(lambda: saga(trip).status == Status.COMPLETED)
    answering.result(timeout=60)


def test_without_redis_nobody_stays_on_the_line(redis: Bell, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "SHIFT_SECONDS", 100.0)
    monkeypatch.setattr(doorbell, "LINGER_SECONDS", 100.0)
    trip = begin_one()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    began = time.monotonic()
    doorbell.answer("orders", 0, QUEUES)
    assert time.monotonic() - began < 60
    assert saga(trip).status == Status.COMPLETED


# --- the sweep --------------------------------------------------------------------------------------------------------


def test_the_sweep_rings_for_what_is_due_and_nobody_looks_after(redis: Bell) -> None:
    begin(SplitTrip)
    begin()
    parked, waiting = begin(times=2)
    change(parked, status=Status.NEEDS_ATTENTION, due_at=None)
    change(waiting, due_at=database_now() + timedelta(hours=1))
    redis.flushdb()  # flags, messages, everything
    assert tasks.sweep() == 2
    assert messages(redis) == [("orders", 0)]
    assert messages(redis, "inventory") == [("inventory", 0)]
    assert messages(redis, "payments") == []


def test_the_sweep_leaves_a_bell_alone_that_somebody_looks_after(redis: Bell) -> None:
    """Under load something is always due. Messages that pile up would keep every other task from its turn."""
    begin_one()
    for _ in range(5):
        tasks.sweep()
    assert messages(redis) == [("orders", 0)]


def test_the_sweep_finds_out_that_a_ring_was_lost(redis: Bell) -> None:
    """The worker that took the message died: its flag is up, and nobody keeps it up."""
    begin_one()
    redis.delete("orders")
    redis.pexpire("saga:bell:orders:0", int((doorbell.FLAG_SECONDS - doorbell.FRESH_SECONDS) * 1000) - 1)
    tasks.sweep()
    assert messages(redis) == [("orders", 0)]
    tasks.sweep()
    assert messages(redis) == [("orders", 0)]


def test_the_sweep_is_silent_when_nothing_is_due(redis: Bell) -> None:
    begin_one()
    doorbell.answer("orders", 0, QUEUES)
    redis.flushdb()
    assert tasks.sweep() == 0
    assert list(redis.keys("*")) == []


# --- all at once ------------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_no_wake_up_is_lost_among_many(redis: Bell, beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three shops take orders, two workers answer messages with very short shifts, and there is no sweep at all."""
    monkeypatch.setattr(doorbell, "SHIFT_SECONDS", 0.02)
    orders_each = 25
    shops = 3

    def take_orders() -> None:
        for number in range(orders_each):
            begin_one()
            if number % 5 == 0:
                time.sleep(0.005)

    def work() -> None:
        while True:
            closed = all(one.done() for one in taking)
            message = redis.brpop(["orders"], timeout=1)
            if message is not None:
                doorbell.answer(*_arguments(message[1]), QUEUES)
            elif closed:
                return

    taking = [beside(take_orders) for _ in range(shops)]
    working = [beside(work) for _ in range(2)]
    for one in taking + working:
        one.result(timeout=90)
    assert SagaInstance.objects.filter(status=Status.COMPLETED).count() == shops * orders_each
    assert not flag(redis)
    assert run_sql("SELECT count(*), count(DISTINCT saga_id) FROM trips_effect WHERE effect = 'ticket'") == [
        (shops * orders_each, shops * orders_each)
    ]
