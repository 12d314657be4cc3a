"""A deploy that would strand a saga does not open the shop."""

import pytest

from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.kernel.starting import refuse_to_start
from marketplace.sagas import services
from marketplace.sagas.definition import Saga, Step
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.outcomes import Done

pytestmark = pytest.mark.django_db


class KnownHere(Saga):
    name, version = "known_here", 1
    steps = (Step("only", do=lambda tickets, now: [Done() for _ in tickets]),)


def test_a_saga_without_its_definition_stops_the_start() -> None:
    refuse_to_start()  # nothing is under way
    one = services.Start(new_id())
    services.start(KnownHere, [one], now=database_now())
    refuse_to_start()
    SagaInstance.objects.filter(pk=one.id).update(version=7)
    with pytest.raises(SystemExit) as end:
        refuse_to_start()
    assert end.value.code == (
        "Not starting: this code would strand 1 unfinished saga of 'known_here' version 7: there is no such definition "
        f"here (one of them: {one.id}).\n"
        "Deploy the definitions they started with, or `manage.py sagas ignore` what is in NEEDS_ATTENTION."
    )
    SagaInstance.objects.filter(pk=one.id).delete()
    refuse_to_start()
