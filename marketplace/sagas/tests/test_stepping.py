"""How sagas move: forward, back, and through groups. One worker, one thread; races are in test_runner."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F
from django.forms.models import model_to_dict

from marketplace.kernel.clock import database_now
from marketplace.sagas import services
from marketplace.sagas.course import LOST_WORKERS
from marketplace.sagas.definition import Call, RetryPolicy, Saga, Step
from marketplace.sagas.models import SagaHistory, SagaInstance, Status
from marketplace.sagas.nodes import Workspace
from marketplace.sagas.outcomes import Done, Parked, Refused, Retry, Unknown, each
from marketplace.sagas.stepping import TO_BE_LEFT
from marketplace.sagas.tests.driving import (
    QUEUES,
    begin,
    begin_one,
    change,
    drive,
    effects,
    events,
    history,
    lose_worker,
    make_due,
    run_sql,
    saga,
    take_off,
    worker,
)
from marketplace.sagas.tests.trip import NOT_KNOWN, BookTrip, Provider, SendPostcard, SplitTrip, world

pytestmark = pytest.mark.django_db


# --- forward ----------------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_a_trip_is_booked_step_by_step() -> None:
    trip = begin_one()
    drive()
    row = saga(trip)
    assert row.status == Status.COMPLETED
    assert history(trip) == ["seat DONE", "hotel DONE", "card DONE", "ticket DONE"]
    assert effects(trip) == ["seat", "ticket"]
    assert world.booked == {f"{trip}:hotel": "booked", f"{trip}:card": "booked"}
    assert events(trip) == ["COMPLETED"]
    assert row.context == {
        "seat": "12A",
        "hotel": f"{trip}:hotel",
        "card": f"{trip}:card",
        "ticket": "issued",
    }
    assert (row.due_at, row.in_flight, row.current_step, row.attempt, row.fence) == (None, False, "", 0, 2)
    assert row.completed_at is not None
    assert row.steps == ["seat", "approval", "hotel", "card", "ticket"]


def test_the_history_tells_attempts_messages_and_durations() -> None:
    trip = begin_one()
    drive()
    seat, hotel, *_ = SagaHistory.objects.filter(saga_id=trip).order_by("id")
    assert (seat.message, seat.attempt, seat.direction, seat.error) == ("A seat by the window.", 1, "forward", "")
    assert hotel.message == "With pleasure."
    assert hotel.started_at <= hotel.finished_at
    assert hotel.duration_ms == round((hotel.finished_at - hotel.started_at).total_seconds() * 1000)


@pytest.mark.parametrize("turned", [False, True])
def test_workspaces_take_their_turns_in_one_order_whichever_saga_came_first(turned: bool) -> None:
    turns = []

    class Counted(Workspace):
        def open(self, tickets: Any, *, now: Any) -> None:
            turns.append(f"{type(self).__name__} opens")

        def close(self, *, now: Any) -> None:
            turns.append(f"{type(self).__name__} closes")

        def finish(self, *, now: Any) -> None:
            turns.append(f"{type(self).__name__} finishes")

    class Desk(Counted):
        pass

    class Till(Counted):
        pass

    class Stroll(Saga):
        name, version, workspace = f"stroll_{turned}", 1, Desk
        steps = (Step("walk", do=lambda tickets, now: [Done() for _ in tickets]),)

    class Purchase(Saga):
        name, version, workspace = f"purchase_{turned}", 1, Till
        steps = (Step("pay", do=lambda tickets, now: [Done() for _ in tickets]),)

    for definition in (Purchase, Stroll) if turned else (Stroll, Purchase):
        begin_one(definition)
        time.sleep(0.002)
    take_off()
    assert turns == [f"{who} {does}" for does in ("opens", "closes", "finishes") for who in ("Desk", "Till")]


def test_a_group_takes_as_many_statements_as_one_alone(django_assert_num_queries: Any) -> None:
    class Errand(Saga):
        name, version = "errand", 1
        steps = (
            Step("first", do=lambda tickets, now: [Done({"first": 1}) for _ in tickets]),
            Step("second", do=lambda tickets, now: [Done({"second": 2}) for _ in tickets]),
        )

    statements = 4  # claim, what is closed, saga rows with their history, and a savepoint's two less the test's one
    begin(Errand)
    with django_assert_num_queries(statements + 1) as one:
        take_off()
    begin(Errand, times=50)
    with django_assert_num_queries(len(one)):
        take_off()
    assert SagaInstance.objects.filter(name="errand", status=Status.COMPLETED).count() == 51
    assert SagaHistory.objects.filter(saga__name="errand").count() == 102


def test_sagas_at_the_same_step_are_handled_together_oldest_due_first() -> None:
    groups: list[list[Any]] = []

    def note(tickets: Any, *, now: Any) -> list[Any]:
        groups.append([ticket.id for ticket in tickets])
        return [Done() for _ in tickets]

    class Queue(Saga):
        name, version = "queue", 1
        steps = (Step("first", do=note), Step("second", do=note))

    now = database_now()
    started = []
    for minutes in (1, 3, 2):
        one = services.Start(subject_id=services.new_id())
        services.start(Queue, [one], now=now - timedelta(minutes=minutes))
        started.append(one.id)
    take_off()
    oldest_first = [started[1], started[2], started[0]]
    assert groups == [oldest_first, oldest_first]


def test_sagas_claimed_at_different_steps_meet_at_the_next_call() -> None:
    groups: list[tuple[str, int]] = []

    class Meeting(Saga):
        name, version = "meeting", 1
        steps = (
            Step("early", do=lambda tickets, now: groups.append(("early", len(tickets))) or [Done() for _ in tickets]),
            Step("late", do=lambda tickets, now: groups.append(("late", len(tickets))) or [Done() for _ in tickets]),
        )

    ahead, _ = begin(Meeting, times=2)
    change(ahead, position=1, current_step="late")
    take_off()
    assert groups == [("early", 1), ("late", 2)]


def test_nothing_is_sent_before_the_intent_is_written() -> None:
    trip = begin_one()
    step = take_off()
    assert world.times("hotel:prepare") == 1
    assert world.times("hotel") == 0
    row = saga(trip)
    assert (row.in_flight, row.fence, row.attempt, row.current_step) == (True, 1, 1, "hotel")
    assert row.due_at is not None
    assert row.due_at > database_now()  # the lease
    assert [flight.run.ticket.id for flight in step.flights] == [trip]
    assert history(trip) == ["seat DONE"]


def test_a_prepare_may_find_that_there_is_nothing_to_do() -> None:
    world.plan["hotel:prepare"] = Done({"hotel": "sleeps at a friend's"})
    trip = begin_one()
    drive()
    assert saga(trip).status == Status.COMPLETED
    assert world.times("hotel") == 0
    assert saga(trip).context["hotel"] == "sleeps at a friend's"


# --- back -------------------------------------------------------------------------------------------------------------


def test_a_refusal_at_the_first_step_fails_with_nothing_to_undo() -> None:
    world.plan["seat"] = Refused("flight_full", "No seat is left.", {"flight": "XY1"})
    trip = begin_one()
    drive()
    row = saga(trip)
    assert row.status == Status.FAILED
    assert row.cause == {
        "kind": "failed",
        "code": "flight_full",
        "message": "No seat is left.",
        "data": {"flight": "XY1"},
    }
    assert history(trip) == ["seat REFUSED"]
    assert effects(trip) == ["closed as flight_full"]
    assert events(trip) == ["FAILED"]
    assert world.times("seat:undo") == 0
    assert world.booked == {}


@pytest.mark.core
def test_a_refusal_undoes_what_was_done_in_reverse_order() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    trip = begin_one()
    drive()
    row = saga(trip)
    assert row.status == Status.COMPENSATED
    assert row.undone == 3
    assert history(trip) == [
        "seat DONE",
        "hotel DONE",
        "card DONE",
        "ticket REFUSED",
        "undo card DONE",
        "undo hotel DONE",
        "undo seat DONE",
    ]
    assert effects(trip) == ["seat", "seat given back", "closed as no_ticket"]
    assert world.booked == {f"{trip}:hotel": "cancelled", f"{trip}:card": "cancelled"}
    assert events(trip) == ["COMPENSATING", "COMPENSATED"]
    assert world.times("closing") == 1


def test_a_refused_call_did_nothing_so_it_is_not_undone() -> None:
    trip = begin_one(card="refuses")
    drive()
    assert history(trip) == ["seat DONE", "hotel DONE", "card REFUSED", "undo hotel DONE", "undo seat DONE"]
    assert world.booked == {f"{trip}:hotel": "cancelled"}
    assert world.times("card:undo") == 0


@pytest.mark.core
def test_a_call_that_stayed_unknown_is_undone_with_the_rest() -> None:
    def booked_but_the_answer_is_lost(ticket: Any) -> Unknown:
        world.book(ticket.key)
        return NOT_KNOWN

    world.plan["hotel"] = booked_but_the_answer_is_lost
    trip = begin_one()
    drive()
    assert history(trip) == [
        "seat DONE",
        "hotel UNKNOWN",
        "hotel UNKNOWN",
        "hotel UNKNOWN",
        "undo hotel DONE",
        "undo seat DONE",
    ]
    assert world.booked == {f"{trip}:hotel": "cancelled"}
    assert world.times("card") == 0
    assert saga(trip).cause["code"] == "retries_spent"


def test_an_undo_that_is_refused_parks_with_what_remains() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    world.plan["hotel:undo"] = Refused("too_late", "Non-refundable.")
    trip = begin_one()
    drive()
    row = saga(trip)
    assert row.status == Status.NEEDS_ATTENTION
    assert (
        row.attention
        == "Undoing hotel did not succeed: Non-refundable. Still to be undone: hotel, seat. Undone already: card."
    )
    assert row.due_at is None
    assert events(trip) == ["COMPENSATING", "NEEDS_ATTENTION"]
    assert effects(trip) == ["seat"]  # neither given back nor closed
    assert world.times("hotel:undo") == 1


def test_an_undo_is_tried_by_its_own_policy_and_then_parks() -> None:
    class Stubborn(Saga):
        name, version = "stubborn", 1
        steps = (
            Call(
                "a", do=Provider("a"), undo=Provider("a:undo", undoes="a"), undo_retry=RetryPolicy(4, 0, spent="park")
            ),
            Step("b", do=lambda tickets, now: [Refused("no") for _ in tickets]),
        )

    world.plan["a:undo"] = Retry("busy")
    one = begin_one(Stubborn)
    drive()
    assert world.times("a:undo") == 4
    assert history(one) == ["a DONE", "b REFUSED", *["undo a RETRY"] * 4]
    assert saga(one).status == Status.NEEDS_ATTENTION
    assert saga(one).attention == "Undoing a did not succeed: busy Still to be undone: a."


def test_the_undo_is_not_hurried_by_the_sagas_deadline() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    answers = iter([Retry("busy"), Retry("busy")])
    world.plan["card:undo"] = lambda ticket: next(answers, None)
    trip = begin_one()
    drive()
    change(trip, deadline_at=database_now() - timedelta(hours=1))
    for _ in range(2):
        make_due(trip)
        drive()
    assert saga(trip).status == Status.COMPENSATED
    assert history(trip).count("undo card RETRY") == 2


def test_closing_that_fails_is_never_silent() -> None:
    world.plan["seat"] = Refused("flight_full")
    world.plan["closing"] = Parked("the file is locked")
    trip = begin_one()
    drive()
    assert saga(trip).status == Status.NEEDS_ATTENTION
    assert saga(trip).attention == "everything is undone, but closing it failed: the file is locked"
    assert events(trip) == ["NEEDS_ATTENTION"]


# --- again ------------------------------------------------------------------------------------------------------------


def test_a_retry_waits_by_its_policy_and_is_counted_in_the_row(settings: Any) -> None:
    class Patient(Saga):
        name, version = "patient", 1
        steps = (Step("try", do=lambda tickets, now: [Retry("not yet") for _ in tickets], retry=RetryPolicy(3, 1000)),)

    one = begin_one(Patient)
    settings.SAGA_TIMEOUT_SECONDS = 100_000
    for attempt, most in ((1, 1000), (2, 1000)):  # the ceiling of 300 s would cut the second one
        before = database_now()
        take_off()
        row = saga(one)
        assert row.attempt == attempt
        assert row.status == Status.IN_PROGRESS
        assert before <= row.due_at <= database_now() + timedelta(seconds=min(most, 300))
        make_due(one)
    take_off()
    assert saga(one).status == Status.FAILED  # nothing to undo
    assert saga(one).cause["code"] == "retries_spent"
    assert history(one) == ["try RETRY"] * 3
    assert [entry.attempt for entry in SagaHistory.objects.filter(saga_id=one).order_by("id")] == [1, 2, 3]


def test_a_handler_may_say_how_long_to_wait(settings: Any) -> None:
    world.plan["hotel"] = Retry("come back later", timedelta(seconds=77))
    trip = begin_one()
    before = database_now()
    drive()
    row = saga(trip)
    assert before + timedelta(seconds=77) <= row.due_at <= database_now() + timedelta(seconds=77)
    assert world.times("hotel") == 1


def test_spent_retries_park_where_the_policy_says_so() -> None:
    class Parking(Saga):
        name, version = "parking", 1
        steps = (Step("a", do=each(lambda t, now: Done()), undo=each(lambda t, now: Done())),
                 Call("b", do=Provider("b"), retry=RetryPolicy(2, 0, spent="park")))  # fmt: skip

    world.plan["b"] = NOT_KNOWN
    one = begin_one(Parking)
    drive()
    row = saga(one)
    assert row.status == Status.NEEDS_ATTENTION
    assert row.attention == "b was tried 2 times: The line went dead."
    assert history(one) == ["a DONE", "b UNKNOWN", "b UNKNOWN"]
    assert (row.undoing, row.due_at, row.in_flight) == (False, None, False)


def test_the_sagas_deadline_ends_the_retries() -> None:
    world.plan["hotel"] = Retry("busy", timedelta(minutes=30))
    trip = begin_one()
    change(trip, deadline_at=database_now() + timedelta(minutes=20))
    drive()
    assert world.times("hotel") == 1
    assert saga(trip).status == Status.COMPENSATED


def test_the_deadline_is_counted_from_the_first_work_not_from_the_start(settings: Any) -> None:
    settings.SAGA_TIMEOUT_SECONDS = 60
    one = services.Start(subject_id=services.new_id(), context={"needs_approval": True})
    services.start(BookTrip, [one], now=database_now() - timedelta(hours=5))
    before, minute = database_now(), timedelta(seconds=60)
    take_off()
    assert before + minute <= saga(one.id).deadline_at <= database_now() + minute


def test_time_spent_waiting_does_not_count(settings: Any) -> None:
    settings.SAGA_TIMEOUT_SECONDS = 60
    trip = begin_one(needs_approval=True)
    take_off()
    deadline = saga(trip).deadline_at
    change(trip, step_started_at=F("step_started_at") - timedelta(seconds=500))  # it has waited that long
    services.signal(trip, "approval", signal_id="1")
    take_off()
    moved_by = (saga(trip).deadline_at - deadline).total_seconds()
    assert 500 <= moved_by < 560


def test_a_step_that_asks_for_a_person_parks() -> None:
    world.plan["seat"] = Parked("the plane is missing")
    trip = begin_one()
    drive()
    assert saga(trip).status == Status.NEEDS_ATTENTION
    assert saga(trip).attention == "the plane is missing"
    assert history(trip) == ["seat PARKED"]
    assert events(trip) == ["NEEDS_ATTENTION"]
    make_due()  # nothing
    assert drive() == 0


# --- a worker that died -----------------------------------------------------------------------------------------------


@pytest.mark.core
def test_a_call_whose_worker_died_is_made_again_with_the_same_key() -> None:
    trip = begin_one()
    take_off()  # in flight; its worker dies here
    make_due(trip)
    drive()
    assert saga(trip).status == Status.COMPLETED
    assert history(trip) == ["seat DONE", "hotel UNKNOWN", "hotel DONE", "card DONE", "ticket DONE"]
    assert saga(trip).fence == 3
    assert list(world.booked) == [f"{trip}:hotel", f"{trip}:card"]
    assert effects(trip) == ["seat", "ticket"]


def test_nothing_is_done_to_a_call_in_flight_before_its_lease_ends() -> None:
    begin_one()
    take_off()
    assert drive() == 0
    assert world.times("hotel") == 0


def test_workers_that_keep_dying_are_not_replaced_for_ever() -> None:
    trip = begin_one()
    take_off()
    for _ in range(3 + LOST_WORKERS - 1):
        make_due(trip)
        take_off()
    assert saga(trip).attempt == 3 + LOST_WORKERS
    make_due(trip)
    drive()
    assert saga(trip).status == Status.COMPENSATED
    assert history(trip)[-2:] == ["undo hotel DONE", "undo seat DONE"]


@pytest.mark.parametrize("lost", [1, LOST_WORKERS])
def test_attempts_that_died_with_their_worker_are_none_of_those_that_the_policy_allows(lost: int) -> None:
    """A crash of ours is no reason for anybody to go without: the other side still has all three attempts to fail."""
    trip = begin_one()
    take_off()
    for _ in range(lost - 1):
        make_due(trip)
        take_off()
    make_due(trip)
    refusals = iter([Retry("Try later."), Retry("Try later.")])
    world.plan["hotel"] = lambda ticket: next(refusals, None)
    drive()
    assert saga(trip).status == Status.COMPLETED
    assert history(trip)[-5:] == ["hotel RETRY", "hotel RETRY", "hotel DONE", "card DONE", "ticket DONE"]
    assert saga(trip).forgiven == 0


# --- answers that make no sense ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["seat", "hotel:prepare", "hotel", "closing", "approval"])
def test_an_answer_that_is_no_outcome_parks_the_saga(step: str) -> None:
    if step == "closing":
        world.plan["seat"] = Refused("no")
    world.plan[step] = lambda ticket: True
    trip = begin_one(needs_approval=step == "approval")
    drive()
    if step == "approval":
        services.signal(trip, "approval", signal_id="1")
        drive()
    row = saga(trip)
    assert row.status == Status.NEEDS_ATTENTION
    assert row.due_at is None
    assert not row.in_flight
    assert events(trip)[-1] == "NEEDS_ATTENTION"
    assert world.times("ticket") == 0


@pytest.mark.parametrize("many", [0, 1, 3])
def test_a_handler_that_answers_for_more_or_fewer_than_it_was_asked_parks_them(many: int) -> None:
    class Miscounting(Saga):
        name, version = "miscounting", 1
        steps = (Step("count", do=lambda tickets, now: [Done()] * (len(tickets) if len(tickets) == 1 else many)),)

    begin(Miscounting, times=2)
    drive()  # alone, each is counted right
    assert SagaInstance.objects.filter(name="miscounting", status=Status.COMPLETED).count() == 2

    class Empty(Saga):
        name, version = "empty", 1
        steps = (Step("count", do=lambda tickets, now: []),)

    one = begin_one(Empty)
    drive()
    assert saga(one).status == Status.NEEDS_ATTENTION
    assert saga(one).attention == "ValueError: a handler answered 0 outcomes for 1 tickets"


def test_a_saga_whose_definition_is_gone_is_parked_and_says_so() -> None:
    trip = begin_one()
    change(trip, name="long_gone")
    lose_worker(trip)
    drive()
    row = saga(trip)
    assert row.status == Status.NEEDS_ATTENTION
    assert row.attention == "there is no definition 'long_gone' version 1 here"
    assert (row.due_at, row.in_flight) == (None, False)
    assert history(trip) == ["seat PARKED"]
    assert effects(trip) == []


def test_what_newer_code_has_begun_is_left_to_the_workers_that_have_it() -> None:
    """While a new version is being deployed, the old workers come upon its sagas, too: nobody has to see to that."""

    class Deployed(Saga):
        name, version = "deployed", 1
        steps = (Step("only", do=lambda tickets, now: [Done() for _ in tickets]),)

    trip, parked, ours = begin(Deployed, times=3)
    for one in (trip, parked):
        change(one, version=2, cause={"kind": "failed", "code": "x", "message": "", "data": {}, "severity": 3})
    change(parked, status=Status.NEEDS_ATTENTION, attention="The hotel does not answer.", attempt=3)
    as_they_were, before = [saga(one) for one in (trip, parked)], database_now()
    drive()
    assert saga(ours).status == Status.COMPLETED
    for one, row in zip((trip, parked), as_they_were, strict=True):
        assert before + TO_BE_LEFT <= saga(one).due_at <= database_now() + TO_BE_LEFT
        assert model_to_dict(saga(one), exclude=["due_at"]) == model_to_dict(row, exclude=["due_at"])
        assert history(one) == []

    class Deployed2(Deployed):
        version = 2

    make_due(trip)
    drive()
    assert saga(trip).status == Status.COMPLETED


# --- the pivot --------------------------------------------------------------------------------------------------------


def test_a_refusal_past_the_pivot_parks_instead_of_undoing() -> None:
    world.plan["post"] = Refused("box_is_full", "The box is full.")
    card = begin_one(SendPostcard)
    drive()
    row = saga(card)
    assert row.status == Status.NEEDS_ATTENTION
    assert row.attention == (
        "post was refused past the pivot: The box is full. Done: write, stamp. Still to be done: post, arrival, thank."
    )
    assert (row.undoing, row.undone, row.cause) == (False, 0, None)
    assert history(card) == ["write DONE", "stamp DONE", "post REFUSED"]


def test_a_wait_past_the_pivot_that_runs_out_parks_instead_of_undoing() -> None:
    card = begin_one(SendPostcard)
    drive()
    change(card, wait_until=database_now(), due_at=database_now())
    drive()
    row = saga(card)
    assert row.status == Status.NEEDS_ATTENTION
    assert row.attention == (
        "arrival ran out past the pivot: It never arrived. Done: write, stamp, post. Still to be done: arrival, thank."
    )
    assert (row.undoing, row.undone) == (False, 0)
    assert history(card) == ["write DONE", "stamp DONE", "post DONE", "arrival EXPIRED"]


def test_spent_retries_past_the_pivot_park() -> None:
    world.plan["post"] = NOT_KNOWN
    card = begin_one(SendPostcard)
    drive()
    assert saga(card).status == Status.NEEDS_ATTENTION
    assert history(card) == ["write DONE", "stamp DONE", *["post UNKNOWN"] * 3]
    assert not saga(card).undoing


def test_a_refusal_of_the_pivot_itself_undoes() -> None:
    world.plan["stamp"] = Refused("no_stamps")
    card = begin_one(SendPostcard)
    drive()
    assert saga(card).status == Status.COMPENSATED
    assert history(card) == ["write DONE", "stamp REFUSED", "undo write DONE"]


# --- queues -----------------------------------------------------------------------------------------------------------


def test_one_worker_for_all_queues_never_hands_over() -> None:
    rung: list[str] = []
    one = begin_one(SplitTrip)
    assert worker(on_bell=rung.append).drive(until=1e12)
    assert saga(one).status == Status.COMPLETED
    assert rung == []


def test_a_worker_of_one_queue_hands_over_and_rings() -> None:
    rung: list[str] = []
    trip = begin_one(SplitTrip)
    assert saga(trip).queue == "inventory"
    for queue, bell, then in (
        ("inventory", ["payments"], ["seat DONE"]),
        ("payments", ["orders"], ["seat DONE", "card DONE"]),
        ("orders", [], ["seat DONE", "card DONE", "ticket DONE"]),
    ):
        others = [name for name in QUEUES if name != queue]
        assert saga(trip).queue == queue
        rung.clear()
        assert worker(others).drive(until=1e12)
        assert saga(trip).queue == queue  # theirs it is not
        assert rung == []
        assert worker([queue], on_bell=rung.append).drive(until=1e12)
        assert rung == bell
        assert history(trip) == then
    assert saga(trip).status == Status.COMPLETED


def test_the_way_back_leads_through_the_same_queues() -> None:
    world.plan["ticket"] = Refused("no")
    trip = begin_one(SplitTrip)
    for queue in ("inventory", "payments", "orders", "payments", "inventory"):
        worker([queue]).drive(until=1e12)
    assert saga(trip).status == Status.COMPENSATED
    assert history(trip)[-2:] == ["undo card DONE", "undo seat DONE"]


# --- what the row keeps -----------------------------------------------------------------------------------------------


def test_the_database_refuses_a_saga_that_nobody_would_ever_look_at_again() -> None:
    trip = begin_one()
    with pytest.raises(IntegrityError, match="sagas_unfinished_is_due"), transaction.atomic():
        change(trip, due_at=None)
    change(trip, due_at=None, status=Status.NEEDS_ATTENTION)


def test_a_wait_of_a_year_fits_into_the_history() -> None:
    trip = begin_one(needs_approval=True, approve_within=10)
    take_off()
    change(trip, step_started_at=F("step_started_at") - timedelta(days=365))
    services.signal(trip, "approval", signal_id="1")
    drive()
    assert saga(trip).status == Status.COMPLETED
    wait = SagaHistory.objects.get(saga_id=trip, step="approval")
    assert wait.duration_ms >= timedelta(days=365).total_seconds() * 1000


def test_money_is_where_the_seats_are() -> None:
    """Ten travellers, four seats: six are refused, four fly, no seat is counted twice."""
    run_sql("INSERT INTO trips_flight VALUES ('XY1', 4)")
    trips = begin(times=10, flight="XY1")
    drive()
    flying = [trip for trip in trips if saga(trip).status == Status.COMPLETED]
    assert len(flying) == 4
    assert [saga(trip).cause["code"] for trip in trips if trip not in flying] == ["flight_full"] * 6
    assert run_sql("SELECT free FROM trips_flight") == [(0,)]
    assert sorted(world.booked) == sorted(f"{trip}:{what}" for trip in flying for what in ("hotel", "card"))
