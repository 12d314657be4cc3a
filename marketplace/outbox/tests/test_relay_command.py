import json
import signal
import subprocess
import sys
import time

import pytest
from django.conf import settings
from django.db import connection

from marketplace.kernel.ids import new_id
from marketplace.outbox.models import Relay, Unpublished
from marketplace.outbox.tests.conftest import told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@pytest.fixture
def start(transactional_db, process_environment):
    """Start relay processes; none outlives the test."""
    processes = []

    def start(**environment):
        process = subprocess.Popen(
            [sys.executable, settings.BASE_DIR / "manage.py", "relay"],
            env={**process_environment, "EVENT_BUS_URL": process_environment["REDIS_URL"], **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def published(redis):
    return [json.loads(fields[b"event"]) for _, fields in redis.xrange("order-events")]


def test_a_relay_publishes_and_stops_when_asked(redis, start, tell, saga):
    process = start()
    tell(told(saga), told(saga, "ORDER_RESERVED"))
    wait_until(lambda: not Unpublished.objects.exists())

    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 0
    assert [(event["type"], event["sequence"]) for event in published(redis)] == [
        ("ORDER_CREATED", 1),
        ("ORDER_RESERVED", 2),
    ]
    assert not Relay.objects.exists()


def test_kill_minus_nine_loses_nothing_and_keeps_each_saga_in_order(redis, start, tell):
    sagas = [new_id() for _ in range(30)]
    for _ in range(3):
        process = start()
        wait_until(Relay.objects.exists)
        for _ in range(10):
            tell(*[told(saga) for saga in sagas])
        process.kill()
        process.wait(60)
        # What the dead one held lapses after a while; the test does not wait for that.
        with_leases_lapsed()
    start()
    wait_until(lambda: not Unpublished.objects.exists())

    seen: dict[str, list[int]] = {}
    for event in published(redis):
        sequences = seen.setdefault(event["sagaid"], [])
        if not sequences or event["sequence"] > sequences[-1]:
            sequences.append(event["sequence"])
    assert seen == {str(saga): list(range(1, 31)) for saga in sagas}


def with_leases_lapsed():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE outbox_shard SET leased_until = now() - interval '1 s'")
        cursor.execute("DELETE FROM outbox_relay")


def test_an_unknown_bus_is_one_clear_line(start):
    process = start(EVENT_BUS_URL="carrier-pigeon://roof")

    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "CommandError: EVENT_BUS_URL: no transport for carrier-pigeon://" in stderr
    assert "Traceback" not in stderr
