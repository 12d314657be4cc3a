"""A person tells a definition, a step or a queue to stand still: who, why, what waits, and that it all goes on."""

from datetime import timedelta
from typing import Any

import pytest

from marketplace.kernel.clock import database_now
from marketplace.sagas import pausing
from marketplace.sagas.errors import AlreadyPaused, NothingToPause, NotPaused, ReasonRequired
from marketplace.sagas.models import Pause, SagaInstance
from marketplace.sagas.outcomes import Refused
from marketplace.sagas.services import signal
from marketplace.sagas.tests.driving import begin, begin_one, change, drive, history, land, make_due, saga, take_off
from marketplace.sagas.tests.trip import BookTrip, SplitTrip, world

pytestmark = pytest.mark.django_db
BOOKED = ["seat DONE", "hotel DONE", "card DONE", "ticket DONE"]


def pause(what: str) -> pausing.View:
    return pausing.pause(what, actor="ada", reason="The bank has a bad day.")


def resume(what: str) -> pausing.View:
    return pausing.resume(what, actor="bob", reason="It is well again.")


def resumed(what: str) -> None:
    resume(what)
    make_due(*SagaInstance.objects.exclude(standby="").values_list("id", flat=True))
    drive()


def test_a_paused_definition_stands_still_and_new_ones_are_still_accepted() -> None:
    before = begin_one(SplitTrip)
    pause("book_trip")
    trips = begin(BookTrip, times=3)
    drive()
    for trip in trips:
        row = saga(trip)
        assert (row.status, row.standby, row.attempt) == ("IN_PROGRESS", "pause:book_trip", 0)
        assert history(trip) == []
    assert saga(before).status == "COMPLETED"  # another definition
    resumed("book_trip")
    assert {saga(trip).status for trip in trips} == {"COMPLETED"}
    assert {world.times("card", trip) for trip in trips} == {1}


def test_a_paused_step_is_where_they_come_to_stand_there_and_on_the_way_back() -> None:
    pause("book_trip/card")
    forward = begin_one()
    drive()
    assert (history(forward), saga(forward).standby) == (["seat DONE", "hotel DONE"], "pause:book_trip/card")
    resumed("book_trip/card")
    world.plan["ticket"] = lambda ticket: pause("book_trip/hotel") and Refused("sold_out", "None is left.")
    back = begin_one()
    world.plan["hotel"] = None
    drive()
    flown_back = saga(back)
    assert history(forward) == ["seat DONE", "hotel DONE", "card STANDBY", "card DONE", "ticket DONE"]
    assert (flown_back.status, flown_back.current_step, flown_back.standby) == (
        "COMPENSATING", "hotel", "pause:book_trip/hotel",
    )  # fmt: skip
    assert world.times("hotel:undo") == 0
    world.plan.clear()
    resumed("book_trip/hotel")
    assert saga(back).status == "COMPENSATED"


def test_a_paused_queue_begins_no_step_of_any_definition() -> None:
    pause("queue:payments")
    split, trip = begin_one(SplitTrip), begin_one(BookTrip)
    drive()
    assert (history(split), saga(split).standby) == (["seat DONE"], "pause:queue:payments")
    assert saga(trip).status == "COMPLETED"
    resumed("queue:payments")
    assert saga(split).status == "COMPLETED"


def test_a_call_under_way_is_recorded_and_then_it_stands_by() -> None:
    trip = begin_one()
    flown = take_off()
    pause("book_trip")
    land(flown)
    assert history(trip) == ["seat DONE", "hotel DONE"]
    assert (saga(trip).current_step, saga(trip).standby) == ("card", "pause:book_trip")
    assert world.times("card") == 0
    resumed("book_trip")
    assert history(trip) == ["seat DONE", "hotel DONE", "card STANDBY", "card DONE", "ticket DONE"]


def test_a_signal_in_time_counts_although_its_saga_stood_by() -> None:
    trip = begin_one(needs_approval=True)
    drive()
    pause("book_trip/approval")
    assert signal(trip, "approval", signal_id="1", payload={"by": "eve"}).accepted
    drive()
    assert saga(trip).standby == "pause:book_trip/approval"
    change(trip, wait_until=database_now())  # its time is up while it stands by
    resumed("book_trip/approval")
    assert (saga(trip).status, saga(trip).context["approved_by"]) == ("COMPLETED", "eve")


def test_a_cancel_is_kept_and_nothing_is_undone_before_it_is_resumed() -> None:
    pause("book_trip/hotel")
    trip = begin_one()
    drive()
    pause("book_trip")
    assert signal(trip, "cancel", signal_id="1").accepted
    drive()
    assert (saga(trip).status, saga(trip).standby) == ("COMPENSATING", "pause:book_trip")
    assert world.times("seat:undo") == 0
    resumed("book_trip")
    assert saga(trip).status == "COMPENSATED"


def test_two_pauses_hold_until_both_are_over() -> None:
    pause("book_trip")
    pause("book_trip/seat")
    trip = begin_one()
    drive()
    resumed("book_trip")
    assert (saga(trip).standby, history(trip)) == ("pause:book_trip/seat", [])
    resumed("book_trip/seat")
    assert saga(trip).status == "COMPLETED"


def test_they_go_on_at_a_limited_rate(settings: Any) -> None:
    settings.SAGA_RESUME_RATE = 0.02
    pause("book_trip")
    trips = begin(times=10)
    drive()
    assert resume("book_trip").waiting == 10
    due = sorted(row.due_at for row in SagaInstance.objects.filter(id__in=trips) if row.due_at)
    assert due[9] - due[0] == timedelta(seconds=450)
    drive()
    assert SagaInstance.objects.filter(status="COMPLETED").count() < 5


def test_who_was_stopped_meanwhile_is_not_put_off(settings: Any) -> None:
    settings.SAGA_RESUME_RATE = 0.01
    pause("book_trip/card")
    trips = begin(times=3)
    drive()
    assert signal(trips[-1], "cancel", signal_id="1").accepted
    stopped_at = saga(trips[-1]).due_at
    resume("book_trip/card")
    assert saga(trips[-1]).due_at == stopped_at
    drive()
    assert saga(trips[-1]).status == "COMPENSATED"


def test_who_and_why_stay_on_record() -> None:
    view = pause("book_trip")
    assert (view.what, view.paused_by, view.reason, view.waiting) == ("book_trip", "ada", "The bank has a bad day.", 0)
    begin(times=2)
    drive()
    [lasting] = pausing.views()
    assert (lasting.what, lasting.waiting, lasting.resumed_at) == ("book_trip", 2, None)
    resume("book_trip")
    row = Pause.objects.get()
    assert (row.paused_by, row.reason) == ("ada", "The bank has a bad day.")
    assert (row.resumed_by, row.resumed_because) == ("bob", "It is well again.")
    assert pausing.views() == []
    assert [view.what for view in pausing.views(past=5)] == ["book_trip"]
    pause("book_trip")  # and again, on a row of its own
    assert Pause.objects.count() == 2


def test_what_is_refused() -> None:
    with pytest.raises(NothingToPause, match="book_trip/card"):
        pause("book_trip/nothing")
    with pytest.raises(NothingToPause):
        pause("queue:nobody")
    with pytest.raises(NotPaused):
        resume("book_trip")
    for actor, reason in (("", "why"), ("ada", " ")):
        with pytest.raises(ReasonRequired):
            pausing.pause("book_trip", actor=actor, reason=reason)
    pause("book_trip")
    with pytest.raises(AlreadyPaused):
        pause("book_trip")
    assert Pause.objects.count() == 1
    for actor, reason in (("", "why"), ("ada", " ")):
        with pytest.raises(ReasonRequired):
            pausing.resume("book_trip", actor=actor, reason=reason)
    assert [view.what for view in pausing.views()] == ["book_trip"]
