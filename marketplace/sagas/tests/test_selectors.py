from datetime import timedelta
from typing import Any

import pytest

from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.sagas import runner, selectors
from marketplace.sagas.errors import NoSuchSaga
from marketplace.sagas.models import Status
from marketplace.sagas.outcomes import Refused
from marketplace.sagas.tests.driving import begin, begin_one, change, drive, saga, take_off
from marketplace.sagas.tests.trip import BookTrip, SendPostcard, SplitTrip, world

pytestmark = pytest.mark.django_db


def lines(saga_id: Any) -> list[tuple[str, str, str, int]]:
    return [(e.step, e.direction, e.status, e.attempt) for e in selectors.story(saga_id).history]


def test_a_story_tells_everything_in_two_queries(django_assert_num_queries: Any) -> None:
    world.plan["ticket"] = Refused("no_ticket", "Sold out.")
    trip = begin_one()
    drive()
    with django_assert_num_queries(2):
        story = selectors.story(trip)
    row = saga(trip)
    assert (story.id, story.name, story.subject_id) == (trip, "book_trip", row.subject_id)
    assert (story.status, story.current_step, story.cause_code, story.attention) == ("COMPENSATED", "", "no_ticket", "")
    assert (story.started_at, story.completed_at) == (row.started_at, row.completed_at)
    assert story.steps == tuple(node.name for node in BookTrip.steps)
    assert [(e.step, e.direction, e.status, e.message) for e in story.history] == [
        ("seat", "forward", "DONE", "A seat by the window."),
        ("hotel", "forward", "DONE", "With pleasure."),
        ("card", "forward", "DONE", "With pleasure."),
        ("ticket", "forward", "REFUSED", "Sold out."),
        ("card", "compensating", "DONE", "With pleasure."),
        ("hotel", "compensating", "DONE", "With pleasure."),
        ("seat", "compensating", "DONE", ""),
    ]
    times = [e.timestamp for e in story.history]
    assert times == sorted(times)
    assert all(e.duration_ms is not None and e.duration_ms >= 0 for e in story.history)


def test_a_story_tells_what_is_going_on() -> None:
    flying = begin_one()
    take_off()
    assert lines(flying) == [("seat", "forward", "DONE", 1), ("hotel", "forward", "STARTED", 1)]
    waiting = begin_one(needs_approval=True)
    drive()
    assert lines(waiting)[-1] == ("approval", "forward", "WAITING", 1)
    last = selectors.story(waiting).history[-1]
    assert (last.timestamp, last.duration_ms) == (saga(waiting).step_started_at, None)
    assert lines(begin_one()) == []


def test_what_is_parked_is_not_going_on() -> None:
    trip = begin_one(needs_approval=True)
    drive()
    runner.park(trip, ZeroDivisionError("oops"))
    assert lines(trip) == [("seat", "forward", "DONE", 1), ("approval", "forward", "PARKED", 1)]
    story = selectors.story(trip)
    assert (story.status, story.attention) == ("NEEDS_ATTENTION", "ZeroDivisionError: oops")


def test_there_must_be_such_a_saga() -> None:
    with pytest.raises(NoSuchSaga):
        selectors.story(new_id())


def test_statuses_are_by_subject_and_kind() -> None:
    booked, parked = begin(times=2)
    drive()
    change(parked, status=Status.NEEDS_ATTENTION)
    card = begin_one(SendPostcard)
    subjects = [saga(one).subject_id for one in (booked, parked, card)]
    assert selectors.statuses([*subjects, new_id()], name="book_trip") == {
        subjects[0]: "COMPLETED",
        subjects[1]: "NEEDS_ATTENTION",
    }
    assert selectors.live_subjects(subjects) == set(subjects[1:])


def test_queues_with_due_sagas_are_those_that_have_something_to_do_now() -> None:
    assert selectors.queues_with_due_sagas() == []
    begin(SplitTrip, times=2)
    later = begin_one()
    change(later, due_at=database_now() + timedelta(seconds=60))
    assert selectors.queues_with_due_sagas() == ["inventory"]
    begin()
    assert selectors.queues_with_due_sagas() == ["inventory", "orders"]
