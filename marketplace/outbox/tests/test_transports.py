import json
import os

import pytest
from django.core.exceptions import ImproperlyConfigured

from marketplace.outbox.errors import BusUnavailable
from marketplace.outbox.transports import transport
from marketplace.outbox.transports.redis_streams import RedisStreams


@pytest.fixture
def streams(redis):
    bus = transport(os.environ["REDIS_URL"])
    yield bus
    bus.close()


def event(number, topic="order-events"):
    return (topic, {"id": str(number), "data": {"name": "Zoë"}})


def ids(redis, topic):
    return [json.loads(fields[b"event"])["id"] for _, fields in redis.xrange(topic)]


def test_each_topic_is_a_stream_in_the_order_given(redis, streams):
    streams.publish([event(1), event(2, "saga-events"), event(3)])

    assert ids(redis, "order-events") == ["1", "3"]
    assert ids(redis, "saga-events") == ["2"]
    [(_, fields)] = redis.xrange("saga-events")
    assert json.loads(fields[b"event"]) == {"id": "2", "data": {"name": "Zoë"}}


def test_nothing_to_publish_is_fine(redis, streams):
    streams.publish([])

    assert redis.dbsize() == 0


def test_a_stream_is_cut_to_about_its_length(redis, streams, settings):
    settings.EVENT_STREAM_MAXLEN = 100

    for start in range(0, 5000, 500):
        streams.publish([event(number) for number in range(start, start + 500)])

    assert 100 <= redis.xlen("order-events") < 500
    assert ids(redis, "order-events")[-1] == "4999"


def test_a_bus_that_is_gone_is_said():
    with pytest.raises(BusUnavailable):
        RedisStreams("redis://127.0.0.1:1/0").publish([event(1)])


def test_a_bus_that_refuses_is_said(redis, streams):
    redis.set("order-events", "not a stream")

    with pytest.raises(BusUnavailable):
        streams.publish([event(1)])


@pytest.mark.parametrize("url", ["redis://localhost/0", "rediss://localhost/0", "unix:///run/valkey.sock?db=1"])
def test_redis_has_three_spellings(url):
    assert isinstance(transport(url), RedisStreams)


@pytest.mark.parametrize("url", ["", "kafkaa://localhost", "localhost:6379"])
def test_another_bus_is_refused_in_words(url):
    with pytest.raises(ImproperlyConfigured, match="EVENT_BUS_URL"):
        transport(url)
