import json

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from marketplace import beat
from marketplace.celery import app

pytestmark = pytest.mark.django_db(transaction=True)


class Clock:
    """A steady clock that is set by hand."""

    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(beat, "time", clock)
    return clock


@pytest.fixture
def scheduler(clock):
    scheduler = app.subclass_with_self(settings.CELERY_BEAT_SCHEDULER.replace(":", "."), keep_reduce=True)(app=app)
    for _ in range(2):  # it reads the schedule for the first time, and then what it has written there itself
        assert scheduler.schedule
        clock.now += beat.ASK_EVERY_SECONDS
    assert not scheduler.schedule_changed()
    return scheduler


def change():
    every_hour, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.HOURS)
    PeriodicTask.objects.create(name="mine", task="mine", interval=every_hour, args=json.dumps([]))


def test_the_schedule_is_asked_for_every_few_seconds_only(scheduler, clock):
    with CaptureQueriesContext(connection) as said:
        for _ in range(80):
            clock.now += 0.25  # twenty seconds in all
            assert not scheduler.schedule_changed()

    assert len([query for query in said if "last_update" in query["sql"]]) == 20 / beat.ASK_EVERY_SECONDS


def test_a_change_is_seen_when_it_is_asked_for_again(scheduler, clock):
    change()

    assert "mine" not in scheduler.schedule
    clock.now += beat.ASK_EVERY_SECONDS
    assert "mine" in scheduler.schedule


def test_a_plan_is_compared_once_it_was_read_anew(scheduler, clock, monkeypatch):
    sent, compared = [], []
    monkeypatch.setattr(scheduler, "apply_entry", lambda entry, producer=None: sent.append(entry.name))
    monkeypatch.setattr(DatabaseScheduler, "schedules_equal", _counting(compared))
    for _ in range(20):
        scheduler.tick()
    assert len(compared) <= 1

    PeriodicTask.objects.filter(name="saga-sweep").update(enabled=False)
    change()
    clock.now += beat.ASK_EVERY_SECONDS
    scheduler.tick()
    names = {event[2].name for event in scheduler._heap}
    assert "mine" in names
    assert "saga-sweep" not in names


def _counting(calls):
    compare = DatabaseScheduler.schedules_equal

    def counted(self, old, new):
        calls.append(1)
        return compare(self, old, new)

    return counted
