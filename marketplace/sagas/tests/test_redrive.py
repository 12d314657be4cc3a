"""A parked saga that comes due again by itself: slowly, so many times, on record, and never against a person."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.sagas import attention, errors, selectors, services
from marketplace.sagas.definition import Call, Cancel, RetryPolicy, Saga, Step
from marketplace.sagas.errors import NoSuchSaga
from marketplace.sagas.models import SagaHistory, Status
from marketplace.sagas.outcomes import Done, Parked, Refused, each
from marketplace.sagas.selectors import Remains
from marketplace.sagas.tests.driving import (
    begin,
    begin_one,
    change,
    claimed_ids,
    committing,
    dispositions,
    drive,
    effects,
    events,
    history,
    make_due,
    saga,
    until_true,
    waiting_for_locks,
)
from marketplace.sagas.tests.trip import NOT_KNOWN, Agency, Provider, SendPostcard, give_seat_back, take_seat, world

pytestmark = pytest.mark.django_db

Beside = Callable[..., "Future[Any]"]

HOUR = timedelta(hours=1)
SLOWLY = RetryPolicy(attempts=2, delay=0, spent="park", redrive=HOUR, redrives=2)


class Stubborn(Saga):
    """It does not take no answer for an answer."""

    name, version = "stubborn_trip", 1
    workspace = Agency
    steps = (
        Step("seat", do=each(take_seat), undo=each(give_seat_back)),
        Call("hotel", do=Provider("hotel"), undo=Provider("hotel:undo", undoes="hotel"), retry=SLOWLY,
             undo_retry=SLOWLY),
        Step("ticket", do=each(lambda t, now: world.act("ticket", t) or Done())),
    )  # fmt: skip
    stops = {"cancel": Cancel("cancelled")}


def parked(**context: Any) -> UUID:
    """A saga that is parked because its retries are spent."""
    world.plan["hotel"] = NOT_KNOWN
    one = begin_one(Stubborn, **context)
    drive()
    assert saga(one).status == Status.NEEDS_ATTENTION
    return one


def redrives(saga_id: UUID) -> list[tuple[str, str, str]]:
    rows = SagaHistory.objects.filter(saga_id=saga_id, status="RETRIED").order_by("id")
    return list(rows.values_list("step", "actor", "reason"))


@pytest.mark.core
def test_a_parked_saga_comes_due_again_slowly_and_goes_on_where_it_stands() -> None:
    one = parked()
    row = saga(one)
    assert 0.9 * HOUR <= row.due_at - row.updated_at <= 1.1 * HOUR
    assert row.attention == "hotel was tried 2 times: The line went dead."
    assert drive() == 0  # not before its time
    world.plan.clear()
    make_due(one)
    drive()
    row = saga(one)
    assert (row.status, row.attention) == (Status.COMPLETED, "")
    assert history(one) == [
        "seat DONE", "hotel UNKNOWN", "hotel UNKNOWN", "hotel RETRIED", "hotel DONE", "ticket DONE",
    ]  # fmt: skip
    assert redrives(one) == [("hotel", "redrive", "hotel was tried 2 times: The line went dead.")]
    assert effects(one) == ["seat"]
    assert list(world.booked) == [f"{one}:hotel"]  # the same key, of course


@pytest.mark.core
def test_it_is_tried_again_so_many_times_and_then_left_to_a_person_with_its_reason() -> None:
    one = parked()
    for number in (1, 2):
        make_due(one)
        drive()
        assert (saga(one).status, world.times("hotel")) == (Status.NEEDS_ATTENTION, 2 + 2 * number)
        assert saga(one).due_at > database_now()
    make_due(one)
    drive()
    row = saga(one)
    assert (row.status, row.due_at) == (Status.NEEDS_ATTENTION, None)
    assert row.attention == "hotel was tried 6 times: The line went dead."
    assert (world.times("hotel"), len(redrives(one))) == (6, 2)
    assert drive() == 0


def test_a_persons_retry_gives_it_its_redrives_back() -> None:
    one = parked()
    for _ in range(3):
        make_due(one)
        drive()
    assert saga(one).due_at is None
    attention.retry(one, actor="ada", reason="They say it works.", now=database_now())
    drive()
    assert saga(one).due_at is not None
    make_due(one)
    drive()
    assert [actor for _, actor, _ in redrives(one)] == ["redrive", "redrive", "ada", "redrive"]


def test_an_undo_is_redriven_too_and_its_saga_ends_as_compensated() -> None:
    world.plan.update({"ticket": Refused("no_ticket"), "hotel:undo": NOT_KNOWN})
    one = begin_one(Stubborn)
    drive()
    assert saga(one).attention.startswith("Undoing hotel did not succeed")
    world.plan["hotel:undo"] = None
    make_due(one)
    drive()
    assert saga(one).status == Status.COMPENSATED
    assert events(one) == ["COMPENSATING", "NEEDS_ATTENTION", "COMPENSATED"]
    assert world.booked == {f"{one}:hotel": "cancelled"}


@pytest.mark.parametrize("answer", [Parked("Only a person can tell."), Refused("no")], ids=["parked", "refused"])
def test_what_only_a_person_can_decide_is_not_redriven(answer: Any) -> None:
    world.plan.update({"ticket": Refused("no_ticket"), "hotel:undo": answer})
    one = begin_one(Stubborn)
    drive()
    assert (saga(one).status, saga(one).due_at) == (Status.NEEDS_ATTENTION, None)


def test_a_policy_that_asks_for_none_has_none() -> None:
    world.plan["post"] = NOT_KNOWN
    card = begin_one(SendPostcard)
    drive()
    assert (saga(card).status, saga(card).due_at) == (Status.NEEDS_ATTENTION, None)


def test_one_that_was_ignored_is_left_alone() -> None:
    one = parked()
    attention.ignore(one, actor="ada", reason="They went out of business.", now=database_now())
    assert saga(one).due_at is None
    assert drive() == 0


def test_a_decision_before_the_redrive_takes_its_place() -> None:
    one = parked()
    attention.compensate(one, actor="ada", reason="Let it be.", now=database_now())
    drive()
    assert saga(one).status == Status.COMPENSATED
    assert redrives(one) == []
    assert world.times("hotel") == 2


@committing
def test_of_a_decision_and_a_redrive_at_once_the_first_at_the_row_wins(beside: Beside) -> None:
    """The decision stands at the row when the redrive comes due; and the other way round."""
    one, other = parked(), parked()
    with transaction.atomic():
        assert attention.compensate(one, actor="ada", reason="No.", now=database_now()).status == "COMPENSATING"
        make_due(one)
        assert beside(drive).result(timeout=60) == 0  # skipped: the row is a person's now
    drive()
    assert (saga(one).status, redrives(one)) == (Status.COMPENSATED, [])

    make_due(other)
    with transaction.atomic():
        assert claimed_ids() == [other]
        coming = beside(attention.compensate, other, actor="ada", reason="No.", now=database_now())
        until_true(lambda: waiting_for_locks() == 1)
        change(other, status=Status.IN_PROGRESS)  # the worker lets it go on
    assert isinstance(coming.exception(timeout=60), errors.NotParked)


def test_a_stop_that_came_while_it_was_parked_acts_at_the_redrive() -> None:
    one = parked()
    assert services.signal(one, "cancel", signal_id="1").accepted
    assert saga(one).due_at > database_now()
    make_due(one)
    drive()
    assert saga(one).status == Status.COMPENSATED
    assert dispositions(one) == [("cancel", "STOPPED")]
    assert world.times("hotel") == 2


def test_a_redrive_begins_the_sagas_time_anew() -> None:
    one = parked()
    change(one, deadline_at=database_now() - HOUR)
    world.plan.clear()
    make_due(one)
    drive()
    assert saga(one).status == Status.COMPLETED


def test_many_are_redriven_together_in_as_many_statements_as_one(django_assert_max_num_queries: Any) -> None:
    world.plan["hotel"] = NOT_KNOWN
    many = begin(Stubborn, times=30)
    drive()
    make_due(*many)
    world.plan["hotel"] = None
    with django_assert_max_num_queries(150):
        drive()
    assert {saga(one).status for one in many} == {Status.COMPLETED}


# --- what is done, what remains ---------------------------------------------------------------------------------------


def test_what_is_done_and_what_remains_forward() -> None:
    one = parked()
    due_at = saga(one).due_at
    assert selectors.remains(one) == Remains(False, ("seat",), ("hotel", "ticket"), "hotel", due_at)
    world.plan.clear()
    make_due(one)
    drive()
    assert selectors.remains(one) == Remains(False, ("seat", "hotel", "ticket"), ())


@pytest.mark.core
def test_what_is_undone_and_what_remains_to_be_undone() -> None:
    world.plan.update({"ticket": Refused("no_ticket"), "hotel:undo": Refused("no")})
    trip = begin_one()
    drive()
    assert selectors.remains(trip) == Remains(True, ("card",), ("hotel", "seat"), "hotel")
    assert saga(trip).attention.endswith("Still to be undone: hotel, seat. Undone already: card.")
    attention.resolve(trip, actor="ada", reason="I called them.", now=database_now())
    drive()
    assert selectors.remains(trip) == Remains(True, ("card", "hotel", "seat"), ())


def test_what_remains_of_a_saga_whose_definition_is_gone() -> None:
    world.plan.update({"ticket": Refused("no_ticket"), "hotel:undo": Refused("no")})
    trip = begin_one()
    drive()
    change(trip, name="gone")
    assert selectors.remains(trip) == Remains(True, (), ("hotel", "approval", "seat"))
    with pytest.raises(NoSuchSaga):
        selectors.remains(new_id())
