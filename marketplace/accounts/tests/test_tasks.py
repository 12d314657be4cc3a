"""What is done for the accounts from time to time."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone

from marketplace.accounts.tasks import forget_sessions

pytestmark = pytest.mark.django_db


def test_only_sessions_that_have_expired_are_forgotten() -> None:
    now = timezone.now()
    for key, left in (("over", timedelta(seconds=-1)), ("good", timedelta(hours=1))):
        Session.objects.create(session_key=key, session_data="", expire_date=now + left)
    forget_sessions()
    assert list(Session.objects.values_list("session_key", flat=True)) == ["good"]


def test_beat_has_it_done() -> None:
    planned = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert forget_sessions.name in planned
