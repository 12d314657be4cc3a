import threading
import time

import pytest
from django.db import OperationalError, connection
from structlog.testing import capture_logs

from marketplace.kernel.ids import new_id
from marketplace.outbox import leases
from marketplace.outbox import relay as relay_module
from marketplace.outbox.bell import Listener
from marketplace.outbox.errors import BusUnavailable
from marketplace.outbox.models import SHARDS, OutboxEvent, Relay, Shard, Unpublished, shard_of
from marketplace.outbox.relay import Relay as RelayProcess
from marketplace.outbox.relay import read, strike
from marketplace.outbox.tests.conftest import Memory, told

pytestmark = pytest.mark.django_db(transaction=True)

STORY = ["ORDER_CREATED", "ORDER_RESERVED", "ORDER_PAID", "ORDER_CONFIRMED"]


@pytest.fixture(autouse=True)
def _leases_outlast_the_test(monkeypatch):
    """None lapses because the machine stands still for a while."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 600.0)


@pytest.fixture
def make_relay():
    """Relays that are closed at the end of the test."""
    made = []

    def make_relay(*sinks, stop=lambda: False):
        made.append(RelayProcess(sinks, stop=stop))
        return made[-1]

    yield make_relay
    for relay in made:
        relay.close()


def test_what_is_unpublished_is_published_in_order_and_marked(bus, tell, make_relay):
    sagas = [new_id() for _ in range(20)]
    for type in STORY:
        tell(*[told(saga, type) for saga in sagas])

    assert make_relay(bus).turn() is False

    assert len(bus.took) == 80
    assert all(bus.sequences(saga) == [1, 2, 3, 4] for saga in sagas)
    assert {topic for topic, _ in bus.took} == {"order-events"}
    assert not Unpublished.objects.exists()
    assert OutboxEvent.objects.count() == 80


def test_an_event_arrives_as_it_was_told(bus, tell, saga, make_relay):
    tell(told(saga, "ORDER_PAID", amount="12.50", lines=[{"sku": "laptop-1", "quantity": 2}]))

    make_relay(bus).turn()

    [(topic, event)] = bus.took
    [stored] = OutboxEvent.objects.all()
    assert topic == "order-events"
    assert event["data"] == {"amount": "12.50", "lines": [{"sku": "laptop-1", "quantity": 2}]}
    assert (event["id"], event["time"]) == (str(stored.event_id), "2026-01-01T12:00:00Z")


def test_what_is_marked_is_not_published_again(bus, tell, saga, make_relay):
    relay = make_relay(bus)
    tell(told(saga))
    relay.turn()

    tell(told(saga, "ORDER_RESERVED"))
    relay.turn()
    relay.turn()

    assert bus.types == ["ORDER_CREATED", "ORDER_RESERVED"]


def test_a_turn_is_a_handful_of_statements_for_any_number_of_events(bus, tell, make_relay, django_assert_num_queries):
    relay = make_relay(bus)
    relay.turn()
    tell(*[told(new_id()) for _ in range(300)])

    with django_assert_num_queries(5):  # read; begin, no wait for the disk, strike, commit
        relay.turn()

    assert len(bus.took) == 300


def test_a_backlog_is_published_in_bounded_batches(bus, tell, make_relay, monkeypatch):
    monkeypatch.setattr(relay_module, "BATCH", 160)
    sagas = [new_id() for _ in range(100)]
    tell(*[told(saga, type) for saga in sagas for type in STORY])
    relay, sizes = make_relay(bus), []

    more = True
    while more:
        before = len(bus.took)
        more = relay.turn()
        sizes.append(len(bus.took) - before)

    assert sum(sizes) == 400
    assert max(sizes) <= 160
    assert all(bus.sequences(saga) == [1, 2, 3, 4] for saga in sagas)


def test_killed_between_publishing_and_marking_the_same_events_come_again(bus, tell, saga, make_relay, monkeypatch):
    tell(told(saga), told(saga, "ORDER_RESERVED"))
    killed = make_relay(bus)
    with monkeypatch.context() as seam:
        seam.setattr(relay_module, "strike", lambda batch: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            killed.turn()
    assert Unpublished.objects.count() == 2
    leases.leave(killed.id)

    make_relay(bus).turn()

    ids = [event["id"] for _, event in bus.took]
    assert ids[:2] == ids[2:]
    assert bus.sequences(saga) == [1, 2, 1, 2]
    assert not Unpublished.objects.exists()


def test_a_bus_that_is_down_loses_nothing(bus, tell, saga, make_relay):
    relay = make_relay(bus)
    tell(told(saga))
    bus.failures = [BusUnavailable()]

    with pytest.raises(BusUnavailable):
        relay.turn()
    assert Unpublished.objects.count() == 1

    tell(told(saga, "ORDER_RESERVED"))
    relay.turn()
    assert bus.sequences(saga) == [1, 2]
    assert not Unpublished.objects.exists()


def test_while_one_sink_is_down_the_other_does_not_get_everything_twice(bus, tell, saga, make_relay):
    broken = Memory()
    broken.failures = [BusUnavailable(), BusUnavailable()]
    relay = make_relay(bus, broken)
    tell(told(saga))
    for _ in range(2):
        with pytest.raises(BusUnavailable):
            relay.turn()
        tell(told(saga, "ORDER_RESERVED"))

    relay.turn()

    assert bus.sequences(saga) == broken.sequences(saga) == [1, 2, 3]
    assert not Unpublished.objects.exists()


def test_a_stalled_relay_that_lost_its_lease_reads_nothing(tell, saga):
    leases.make_shards()
    stalled, heir = new_id(), new_id()
    held = leases.balance(stalled)
    tell(told(saga))
    assert len(read(held, per_shard=10)) == 1

    leases.leave(stalled)
    taken = leases.balance(heir)

    assert read(held, per_shard=10) == []
    assert len(read(taken, per_shard=10)) == 1


def test_a_lease_that_ends_soon_is_not_used(tell, saga):
    leases.make_shards()
    held = leases.balance(new_id())
    tell(told(saga))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE outbox_shard SET leased_until = clock_timestamp() + interval '5 s'")

    assert read(held, per_shard=10) == []


def test_a_stalled_relay_that_sends_late_repeats_but_never_reorders(bus, tell, saga):
    leases.make_shards()
    held = leases.balance(stalled := new_id())
    tell(*[told(saga, type) for type in STORY])
    late = read(held, per_shard=10)
    leases.leave(stalled)
    heir = RelayProcess([bus], stop=lambda: False)
    heir.turn()

    bus.publish([(event.topic, relay_module.cloud_event(event)) for _, event in late])
    strike(late)
    heir.close()

    assert bus.sequences(saga) == [1, 2, 3, 4, 1, 2, 3, 4]
    assert not Unpublished.objects.exists()


def in_shard(shard, count):
    """So many sagas whose events are in that shard."""
    found = []
    while len(found) < count:
        saga = new_id()
        if shard_of(saga) == shard:
            found.append(saga)
    return found


def test_two_relays_share_the_shards_and_each_saga_stays_in_order(bus, tell):
    stop = threading.Event()
    relays = [RelayProcess([bus, Memory()], stop=stop.is_set) for _ in range(2)]
    sagas = [saga for shard in range(SHARDS) for saga in in_shard(shard, 3)]

    def run(relay):
        relay.run()
        connection.close()

    leases.make_shards()
    for relay in relays:  # the second is seen before the first balances again
        leases.balance(relay.id)
    threads = [threading.Thread(target=run, args=[relay]) for relay in relays]
    for thread in threads:
        thread.start()
    for _ in range(5):
        for type in STORY:
            tell(*[told(saga, type) for saga in sagas])
        time.sleep(0.05)
    wait_until(lambda: not Unpublished.objects.exists())
    stop.set()
    for thread in threads:
        thread.join(60)

    assert len(bus.took) == 960
    assert all(bus.sequences(saga) == list(range(1, 21)) for saga in sagas)
    assert all(len(relay._sinks[1][0].took) > 200 for relay in relays)
    assert not Relay.objects.exists()
    assert not Shard.objects.exclude(owner=None).exists()


def test_it_hears_the_bell(bus, tell, saga, monkeypatch):
    monkeypatch.setattr(relay_module, "LOOK_EVERY_SECONDS", 1000.0)  # by itself it looks much later
    stop, listens = threading.Event(), threading.Event()
    wait = Listener.wait

    def waits(listener, seconds, *, stop):
        if listener._channel is not None:
            listens.set()
        return wait(listener, seconds, stop=stop)

    monkeypatch.setattr(Listener, "wait", waits)
    relay = RelayProcess([bus], stop=stop.is_set)
    thread = threading.Thread(target=lambda: (relay.run(), connection.close()))
    thread.start()
    assert listens.wait(60)

    tell(told(saga))
    try:
        wait_until(lambda: bus.took)
    finally:
        stop.set()
        thread.join(60)

    assert bus.types == ["ORDER_CREATED"]


def test_it_looks_by_itself_where_no_bell_can_ring(bus, tell, saga, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    stop = threading.Event()
    relay = RelayProcess([bus], stop=stop.is_set)
    thread = threading.Thread(target=lambda: (relay.run(), connection.close()))
    thread.start()
    time.sleep(0.5)

    tell(told(saga))
    wait_until(lambda: bus.took)
    stop.set()
    thread.join(60)

    assert bus.types == ["ORDER_CREATED"]


def test_an_idle_relay_asks_less_than_once_a_second(bus):
    statements = []
    relay = RelayProcess([bus], stop=lambda: time.monotonic() > until)
    relay.turn()

    until = time.monotonic() + 6
    with connection.execute_wrapper(lambda execute, *args: statements.append(args[0]) or execute(*args)):
        relay.run()

    working = [
        sql for sql in statements if "DELETE FROM outbox_relay WHERE id" not in sql and "owner = NULL" not in sql
    ]
    assert 1 <= len(working) <= 6


def test_outages_are_waited_out_and_told_once_each(bus, tell, saga, monkeypatch):
    monkeypatch.setattr(relay_module, "LONGEST_PAUSE_SECONDS", 0.01)
    tell(told(saga))
    bus.failures = [BusUnavailable("no route")] * 3 + [OperationalError("gone")] * 2
    relay = RelayProcess([bus], stop=lambda: bool(bus.took))

    with capture_logs() as logs:
        relay.run()
    events = [(log["event"], log.get("waits_for")) for log in logs if log["event"].startswith("outbox_relay")]

    assert events == [
        ("outbox_relay_waits", "bus"),
        ("outbox_relay_waits", "database"),
        ("outbox_relay_goes_on", None),
    ]
    assert bus.types == ["ORDER_CREATED"]
    assert bus.closed


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
