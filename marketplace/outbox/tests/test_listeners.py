import pytest
from django.db import OperationalError

from marketplace.outbox import listeners
from marketplace.outbox.catalog import UnknownEventType
from marketplace.outbox.errors import BusUnavailable
from marketplace.outbox.listeners import Listeners, listen
from marketplace.outbox.models import Relay, Unpublished
from marketplace.outbox.relay import Relay as RelayProcess
from marketplace.outbox.tests.conftest import told

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _registry(monkeypatch):
    """A registry of the test's own."""
    monkeypatch.setattr(listeners, "_types_of", {})


@pytest.fixture
def relay(bus):
    process = RelayProcess([bus, Listeners()], stop=lambda: False)
    yield process
    process.close()


def test_a_listener_hears_what_it_asked_for_together_and_in_order(relay, tell, saga):
    heard = []
    listen(heard.append, "ORDER_CREATED", "ORDER_CONFIRMED")
    tell(told(saga), told(saga, "ORDER_RESERVED"), told(saga, "ORDER_CONFIRMED"))

    relay.turn()

    assert [[event["type"] for event in events] for events in heard] == [["ORDER_CREATED", "ORDER_CONFIRMED"]]
    assert not Unpublished.objects.exists()


def test_what_it_wrote_is_committed_before_the_event_counts_as_published(relay, tell, saga):
    listen(lambda events: Relay.objects.create(id=events[0]["id"], seen_until=events[0]["time"]), "ORDER_CREATED")
    tell(told(saga))

    relay.turn()

    assert Relay.objects.filter(seen_until__year=2026, seen_until__month=1).exists()


def test_one_that_fails_writes_nothing_and_loses_nothing(relay, bus, tell, saga):
    broken = [True]

    def write(events):
        Relay.objects.create(id=events[0]["id"], seen_until=events[0]["time"])
        if broken:
            raise KeyError("a mistake")

    listen(write, "ORDER_CREATED")
    tell(told(saga))
    with pytest.raises(BusUnavailable):
        relay.turn()
    assert Unpublished.objects.count() == 1
    assert not Relay.objects.filter(seen_until__month=1).exists()

    broken.clear()
    relay.turn()

    assert not Unpublished.objects.exists()
    assert Relay.objects.filter(seen_until__month=1).count() == 1
    assert bus.types == ["ORDER_CREATED"]  # which has not got it twice because of that


def test_an_outage_of_the_database_is_told_as_that(tell, saga):
    def fail(events):
        raise OperationalError("gone")

    listen(fail, "ORDER_CREATED")
    with pytest.raises(OperationalError):
        Listeners().publish([("order-events", {"type": "ORDER_CREATED"})])


def test_a_type_there_is_not_can_not_be_listened_for():
    with pytest.raises(UnknownEventType):
        listen(print, "ORDER_LOST")
