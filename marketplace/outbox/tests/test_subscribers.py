import base64
import json

import pytest
from celery import Celery, current_app, shared_task

from marketplace.outbox import subscribers
from marketplace.outbox.catalog import UnknownEventType
from marketplace.outbox.errors import BusUnavailable
from marketplace.outbox.subscribers import Subscribers, subscribe


@pytest.fixture
def registry(monkeypatch):
    """A registry of the test's own."""
    fresh = type(subscribers._tasks_of_type)(list)
    monkeypatch.setattr(subscribers, "_tasks_of_type", fresh)
    return fresh


@pytest.fixture
def thank(registry):
    @subscribe("ORDER_CONFIRMED", "ORDER_DELIVERED")
    @shared_task(name="outbox.tests.thank")
    def thank(event):
        raise AssertionError("no worker runs here")

    yield thank
    current_app.tasks.pop("outbox.tests.thank", None)


def event(event_type):
    return ("order-events", {"id": f"id-of-{event_type}", "type": event_type})


def sent(redis):
    """What lies in the queue, oldest first: (task name, task id, arguments)."""
    messages = [json.loads(raw) for raw in reversed(redis.lrange(current_app.conf.task_default_queue, 0, -1))]
    headers = [message["headers"] for message in messages]
    bodies = [json.loads(base64.b64decode(message["body"])) for message in messages]
    return [(head["task"], head["id"], body[0]) for head, body in zip(headers, bodies, strict=True)]


def test_a_task_is_sent_the_events_it_asked_for_and_no_other(redis, thank):
    Subscribers().publish([event("ORDER_CREATED"), event("ORDER_CONFIRMED"), event("ORDER_DELIVERED")])

    assert sent(redis) == [
        ("outbox.tests.thank", f"id-of-{name}:outbox.tests.thank", [event(name)[1]])
        for name in ("ORDER_CONFIRMED", "ORDER_DELIVERED")
    ]


def test_without_subscribers_the_broker_is_not_asked(registry, monkeypatch):
    monkeypatch.setattr(current_app, "producer_or_acquire", lambda: pytest.fail("the broker was asked"))

    Subscribers().publish([event("ORDER_CREATED")])


def test_a_type_there_is_not_can_not_be_subscribed_to(registry):
    with pytest.raises(UnknownEventType):
        subscribe("ORDER_LOST")

    assert not registry


def test_a_broker_that_is_gone_is_said(thank, monkeypatch):
    elsewhere = Celery(set_as_current=False)
    elsewhere.config_from_object("django.conf:settings", namespace="CELERY")
    elsewhere.conf.broker_url = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(subscribers, "current_app", elsewhere)
    slept = []
    monkeypatch.setattr("kombu.utils.functional.sleep", slept.append)

    with pytest.raises(BusUnavailable):
        Subscribers().publish([event("ORDER_CONFIRMED")])
    assert slept == []  # Celery, left to itself, would sleep through some attempts first
