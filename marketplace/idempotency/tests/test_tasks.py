from datetime import timedelta

import pytest
from celery import current_app
from django.conf import settings

from marketplace.idempotency import tasks
from marketplace.idempotency.models import IdempotencyRecord
from marketplace.idempotency.services import Answer, Scope
from marketplace.idempotency.tests.conftest import once
from marketplace.kernel.clock import database_now

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_is_past_its_time_is_deleted_and_nothing_else(monkeypatch):
    monkeypatch.setattr(tasks, "_AT_ONCE", 3)
    now = database_now()
    for number in range(12):
        age = timedelta(days=31 if number < 10 else 29)
        once(scope=Scope("user:1", "POST", "r", f"key-{number}"), now=now - age, work=lambda: Answer(200, {}))

    assert tasks.purge() == 10

    assert IdempotencyRecord.objects.count() == 2
    assert tasks.purge() == 0


def test_beat_runs_it():
    names = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

    assert tasks.purge.name in names
    assert tasks.purge.name in current_app.tasks
