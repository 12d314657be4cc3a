from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Group

from marketplace.idempotency.services import Answer, Response, Scope, run_once
from marketplace.kernel.ids import new_id

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCOPE = Scope(principal="user:1", method="POST", route="POST /api/things", key="a-key")


def work() -> Answer:
    """Make a thing that is not like any other."""
    name = str(new_id())
    Group.objects.create(name=name)
    return Answer(201, {"zebra": name, "apple": [1, "two"]}, {"Location": f"/things/{name}"})


def once(**changes) -> Response:
    return run_once(**{"scope": SCOPE, "fingerprint": "f", "now": NOON, "work": work, **changes})


def things() -> int:
    """How often the work was done and not undone."""
    return Group.objects.count()


@pytest.fixture
def redis_is_gone(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
