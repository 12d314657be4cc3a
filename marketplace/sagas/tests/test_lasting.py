"""A step that is tried for so long, and not so often: by the clock on the wall, on the way there and back."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from marketplace.kernel.clock import database_now
from marketplace.sagas import attention
from marketplace.sagas.definition import Call, Cancel, DefinitionError, RetryPolicy, Saga, Step
from marketplace.sagas.models import Status
from marketplace.sagas.outcomes import Done, Refused, each
from marketplace.sagas.testing import let_pass
from marketplace.sagas.tests.driving import begin_one, drive, saga
from marketplace.sagas.tests.trip import NOT_KNOWN, Agency, Provider, give_seat_back, take_seat, world

pytestmark = pytest.mark.django_db

DAY = timedelta(hours=24)
FOR_A_DAY = RetryPolicy(attempts=2, delay=0, spent="park", lasting=DAY, pace=timedelta(minutes=30))


class Patient(Saga):
    """It waits for its hotel for a day, and as long to be rid of it again."""

    name, version = "patient_trip", 1
    workspace = Agency
    steps = (
        Step("seat", do=each(take_seat), undo=each(give_seat_back)),
        Call("hotel", do=Provider("hotel"), undo=Provider("hotel:undo", undoes="hotel"), retry=FOR_A_DAY,
             undo_retry=FOR_A_DAY),
        Step("ticket", do=each(lambda t, now: world.act("ticket", t) or Done())),
    )  # fmt: skip
    stops = {"cancel": Cancel("cancelled")}


def stubborn(at: str) -> UUID:
    """A saga whose call has no answer: `hotel`, or its undo."""
    world.plan[at] = NOT_KNOWN
    if at == "hotel:undo":
        world.plan["ticket"] = Refused("no_ticket")
    one = begin_one(Patient)
    drive()
    return one


@pytest.mark.parametrize("at", ["hotel", "hotel:undo"])
def test_it_goes_on_slowly_for_a_day_and_is_then_left_to_a_person(at: str) -> None:
    one = stubborn(at)
    row = saga(one)
    on_the_way = Status.COMPENSATING if row.undoing else Status.IN_PROGRESS
    assert (row.status, world.times(at)) == (on_the_way, 2)
    assert timedelta(minutes=26) < row.due_at - database_now() < timedelta(minutes=34)
    for number in range(3, 6):
        let_pass(one, timedelta(hours=7))
        drive()
        assert (saga(one).status, world.times(at)) == (on_the_way, number)
    let_pass(one, timedelta(hours=3, minutes=1))
    drive()
    row = saga(one)
    assert (row.status, row.due_at, world.times(at)) == (Status.NEEDS_ATTENTION, None, 5)
    assert "time was up" in row.attention


@pytest.mark.parametrize("at", ["hotel", "hotel:undo"])
def test_a_person_gives_it_another_day(at: str) -> None:
    one = stubborn(at)
    let_pass(one, DAY)
    drive()
    assert saga(one).status == Status.NEEDS_ATTENTION
    attention.retry(one, actor="ada", reason="Once more.", now=database_now())
    drive()
    assert saga(one).status in (Status.IN_PROGRESS, Status.COMPENSATING)
    let_pass(one, timedelta(hours=23))
    drive()
    world.plan.pop(at)
    let_pass(one, timedelta(minutes=40))
    drive()
    assert saga(one).status in (Status.COMPLETED, Status.COMPENSATED)


def test_what_follows_has_the_time_of_a_whole_saga(settings: Any) -> None:
    """A day for the hotel is no day for the ticket, and what the hotel took is not taken from it."""
    settings.SAGA_TIMEOUT_SECONDS = 100
    one = stubborn("hotel")
    let_pass(one, timedelta(hours=20))
    world.plan.pop("hotel")
    drive()
    row = saga(one)
    assert row.status == Status.COMPLETED
    assert timedelta() < row.deadline_at - row.completed_at <= timedelta(seconds=100)


def test_one_without_end_and_one_without_a_breath_are_refused() -> None:
    def define(**policy: Any) -> None:
        retry = RetryPolicy(spent="park", **policy)
        call = Call("a", do=Provider("a"), undo=Provider("a:undo", undoes="a"), undo_retry=retry)
        type("Odd", (Saga,), {"name": "odd_patience", "version": 1, "steps": (call,)})

    for lasting in (timedelta(), timedelta(days=31)):
        with pytest.raises(DefinitionError, match="30 days at most"):
            define(lasting=lasting)
    with pytest.raises(DefinitionError, match="pace must be a second or more"):
        define(lasting=DAY, pace=timedelta())
