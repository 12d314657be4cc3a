"""Starting sagas, and signals: stored once, early ones wait, late ones are told so, a stop works at every boundary."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from redis import Redis

from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.sagas import services
from marketplace.sagas.errors import NoSuchSaga
from marketplace.sagas.models import SagaInstance, SagaSignal, Status
from marketplace.sagas.outcomes import Parked, Refused, Retry
from marketplace.sagas.tests.driving import (
    begin,
    begin_one,
    carry_on,
    change,
    claimed_ids,
    committing,
    dispositions,
    drive,
    effects,
    events,
    history,
    land,
    make_due,
    run_sql,
    saga,
    take_off,
    until_true,
    waiting_for_locks,
)
from marketplace.sagas.tests.trip import NOT_KNOWN, BookTrip, SendPostcard, SplitTrip, world

pytestmark = pytest.mark.django_db

Beside = Callable[..., "Future[Any]"]


def cancel(saga_id: UUID, signal_id: str = "cancel", **payload: Any) -> services.Receipt:
    return services.signal(saga_id, "cancel", signal_id=signal_id, payload=payload)


def approve(saga_id: UUID, signal_id: str = "approval", **payload: Any) -> services.Receipt:
    return services.signal(saga_id, "approval", signal_id=signal_id, payload=payload)


def rings(redis: "Redis[bytes]", queue: str = "orders") -> int:
    """How many messages lie in a queue of the broker."""
    return int(redis.llen(queue))


# --- starting ---------------------------------------------------------------------------------------------------------


@committing
def test_a_start_that_is_rolled_back_leaves_no_saga_and_rings_no_bell(redis: "Redis[bytes]") -> None:
    with transaction.atomic():
        services.start(BookTrip, [services.Start(new_id())], now=database_now())
        assert SagaInstance.objects.count() == 1
        assert rings(redis) == 0  # not before the commit
        transaction.set_rollback(True)
    assert SagaInstance.objects.count() == 0
    assert rings(redis) == 0
    assert list(redis.scan_iter("saga:*")) == []


@committing
def test_starting_rings_the_queue_of_the_first_step_once(redis: "Redis[bytes]") -> None:
    begin(SplitTrip, times=3)
    begin(SplitTrip, times=2)
    assert rings(redis, "inventory") == 1
    assert rings(redis) == 0


def test_there_is_one_saga_of_a_kind_per_subject() -> None:
    subject = new_id()
    services.start(BookTrip, [services.Start(subject)], now=database_now())
    services.start(SendPostcard, [services.Start(subject)], now=database_now())
    with pytest.raises(IntegrityError, match="sagas_one_of_a_kind_per_subject"), transaction.atomic():
        services.start(BookTrip, [services.Start(new_id()), services.Start(subject)], now=database_now())
    assert SagaInstance.objects.count() == 2


def test_a_saga_keeps_what_it_was_started_with() -> None:
    one = services.Start(new_id(), {"flight": "XY1"})
    now = database_now()
    services.start(BookTrip, [one], now=now)
    row = saga(one.id)
    assert (row.subject_id, row.context, row.status, row.current_step) == (
        one.subject_id,
        {"flight": "XY1"},
        Status.STARTED,
        "seat",
    )
    assert (row.started_at, row.due_at, row.deadline_at) == (now, now, None)


# --- signals to a wait ------------------------------------------------------------------------------------------------


def test_a_signal_ends_a_wait() -> None:
    trip = begin_one(needs_approval=True)
    drive()
    row = saga(trip)
    assert (row.current_step, row.status, row.due_at) == ("approval", Status.IN_PROGRESS, row.wait_until)
    assert drive() == 0

    assert approve(trip, by="the boss") == services.Receipt(accepted=True, duplicate=False, status="IN_PROGRESS")
    assert saga(trip).pending_signals == 1
    drive()
    assert saga(trip).status == Status.COMPLETED
    assert saga(trip).context["approved_by"] == "the boss"
    assert history(trip) == ["seat DONE", "approval DONE", "hotel DONE", "card DONE", "ticket DONE"]
    assert dispositions(trip) == [("approval", "RECEIVED")]
    assert saga(trip).pending_signals == 0


def test_a_signal_counts_once_however_often_it_comes() -> None:
    trip = begin_one(needs_approval=True)
    drive()
    assert not approve(trip, "click-1").duplicate
    for _ in range(3):
        assert approve(trip, "click-1") == services.Receipt(accepted=True, duplicate=True, status="IN_PROGRESS")
    assert saga(trip).pending_signals == 1
    drive()
    assert approve(trip, "click-1") == services.Receipt(accepted=False, duplicate=True, status="COMPLETED")
    assert world.times("approval") == 1
    assert dispositions(trip) == [("approval", "RECEIVED")]


def test_the_same_id_under_another_name_is_another_signal() -> None:
    trip = begin_one(needs_approval=True)
    assert not approve(trip, "1").duplicate
    assert not cancel(trip, "1").duplicate
    assert saga(trip).pending_signals == 2


def test_a_signal_that_comes_early_waits_for_its_saga() -> None:
    trip = begin_one(needs_approval=True)
    approve(trip, by="an early bird")
    drive()
    assert saga(trip).status == Status.COMPLETED
    assert saga(trip).context["approved_by"] == "an early bird"
    assert dispositions(trip) == [("approval", "RECEIVED")]


def test_a_signal_that_nobody_waits_for_stays_until_the_end_and_is_told_so() -> None:
    trip = begin_one(needs_approval=True)
    services.signal(trip, "weather", signal_id="1", payload={"sun": True})
    drive()
    assert dispositions(trip) == [("weather", "")]
    assert saga(trip).pending_signals == 1
    assert saga(trip).due_at == saga(trip).wait_until
    approve(trip)
    drive()
    assert dispositions(trip) == [("weather", "TOO_LATE"), ("approval", "RECEIVED")]
    assert saga(trip).pending_signals == 0


def test_a_signal_for_a_saga_that_is_over_is_kept_and_not_accepted() -> None:
    trip = begin_one()
    drive()
    assert approve(trip) == services.Receipt(accepted=False, duplicate=False, status="COMPLETED")
    assert dispositions(trip) == [("approval", "TOO_LATE")]
    assert SagaSignal.objects.get(saga_id=trip).consumed_at is not None
    row = saga(trip)
    assert (row.pending_signals, row.due_at, row.status) == (0, None, Status.COMPLETED)
    assert drive() == 0


def test_there_must_be_such_a_saga() -> None:
    with pytest.raises(NoSuchSaga):
        approve(new_id())
    assert SagaSignal.objects.count() == 0


def test_receive_may_refuse_and_end_the_saga() -> None:
    world.plan["approval"] = lambda t: Refused("rejected", "Too expensive.") if t.signal["says"] == "no" else None
    trip = begin_one(needs_approval=True)
    drive()
    approve(trip, says="no")
    drive()
    assert history(trip) == ["seat DONE", "approval REFUSED", "undo seat DONE"]
    assert saga(trip).cause["code"] == "rejected"
    assert world.booked == {}


def test_receive_may_find_the_signal_wanting_and_wait_on() -> None:
    world.plan["approval"] = lambda t: Retry("more money, please") if t.signal["offer"] < 100 else None
    trip = begin_one(needs_approval=True)
    drive()
    approve(trip, "first", offer=50)
    drive()
    row = saga(trip)
    assert (row.current_step, row.due_at, row.pending_signals) == ("approval", row.wait_until, 0)
    approve(trip, "second", offer=150)
    drive()
    assert saga(trip).status == Status.COMPLETED
    assert world.times("approval") == 2


def test_a_second_signal_is_looked_at_when_the_first_was_found_wanting() -> None:
    world.plan["approval"] = lambda t: Retry("more money, please") if t.signal["offer"] < 100 else None
    trip = begin_one(needs_approval=True)
    drive()
    for signal_id, offer in (("first", 50), ("second", 60), ("third", 150), ("fourth", 200)):
        approve(trip, signal_id, offer=offer)
    drive()
    assert saga(trip).status == Status.COMPLETED
    assert world.times("approval") == 3
    assert [disposition for _, disposition in dispositions(trip)] == ["RECEIVED", "RECEIVED", "RECEIVED", "TOO_LATE"]


# --- a signal against the deadline ------------------------------------------------------------------------------------


def test_a_wait_that_passes_its_deadline_takes_its_exit() -> None:
    trip = begin_one(needs_approval=True)
    drive()
    change(trip, wait_until=database_now(), due_at=database_now())
    drive()
    assert saga(trip).status == Status.COMPENSATED
    assert saga(trip).cause["code"] == "not_approved"
    assert saga(trip).cause["kind"] == "cancelled"
    assert history(trip) == ["seat DONE", "approval EXPIRED", "undo seat DONE"]
    assert effects(trip) == ["seat", "seat given back", "closed as not_approved"]


@pytest.mark.core
def test_a_signal_in_time_counts_although_nobody_looked_before_the_deadline() -> None:
    trip = begin_one(needs_approval=True)
    drive()
    approve(trip)
    change(trip, wait_until=database_now(), due_at=database_now())  # later than the signal, earlier than the worker
    drive()
    assert saga(trip).status == Status.COMPLETED
    assert dispositions(trip) == [("approval", "RECEIVED")]


def test_a_signal_after_the_deadline_is_too_late_although_nobody_had_looked_yet() -> None:
    trip = begin_one(needs_approval=True)
    drive()
    change(trip, wait_until=database_now(), due_at=database_now())
    assert not approve(trip).accepted
    drive()
    assert saga(trip).status == Status.COMPENSATED
    assert saga(trip).cause["code"] == "not_approved"
    assert dispositions(trip) == [("approval", "TOO_LATE")]
    assert world.times("approval") == 0


def test_a_wait_that_is_over_before_it_begins_still_takes_an_early_signal() -> None:
    trip = begin_one(needs_approval=True, approve_within=-5)
    change(trip, context={"needs_approval": True, "approve_within": 0.5})
    approve(trip)
    drive()
    assert saga(trip).status == Status.COMPLETED

    late = begin_one(needs_approval=True, approve_within=-5)
    approve(late)
    drive()
    assert saga(late).cause["code"] == "not_approved"


# --- stopping, at every boundary --------------------------------------------------------------------------------------


def test_a_stop_before_the_first_step_leaves_nothing_to_undo() -> None:
    trip = begin_one()
    cancel(trip)
    drive()
    assert saga(trip).status == Status.FAILED
    assert saga(trip).cause["kind"] == "cancelled"
    assert history(trip) == ["seat STOPPED"]
    assert world.times("seat") == world.times("seat:undo") == 0
    assert effects(trip) == ["closed as cancelled"]
    assert dispositions(trip) == [("cancel", "STOPPED")]


def test_a_stop_at_a_wait_undoes_what_came_before() -> None:
    trip = begin_one(needs_approval=True)
    drive()
    cancel(trip, code="cancelled_by_buyer", message="Changed my mind.")
    drive()
    assert saga(trip).status == Status.COMPENSATED
    assert saga(trip).cause["code"] == "cancelled_by_buyer"
    assert history(trip) == ["seat DONE", "approval STOPPED", "undo seat DONE"]
    assert world.booked == {}


@pytest.mark.parametrize("first", ["cancel", "approval"])
def test_a_stop_beats_a_signal_that_nobody_has_acted_on(first: str) -> None:
    trip = begin_one(needs_approval=True)
    drive()
    for name in (first, "approval" if first == "cancel" else "cancel"):
        services.signal(trip, name, signal_id="1")
    drive()
    assert saga(trip).status == Status.COMPENSATED
    assert dict(dispositions(trip)) == {"cancel": "STOPPED", "approval": "TOO_LATE"}
    assert world.times("approval") == world.times("hotel") == 0


@pytest.mark.core
def test_a_stop_during_a_call_in_flight_waits_for_its_answer_and_undoes_it() -> None:
    trip = begin_one()
    flown = take_off()
    assert cancel(trip).accepted
    assert saga(trip).in_flight
    assert saga(trip).due_at > database_now()  # the lease is not cut short
    assert drive() == 0
    carry_on(flown)
    assert saga(trip).status == Status.COMPENSATED
    assert history(trip) == ["seat DONE", "hotel DONE", "card STOPPED", "undo hotel DONE", "undo seat DONE"]
    assert world.booked == {f"{trip}:hotel": "cancelled"}
    assert world.times("card") == 0
    assert dispositions(trip) == [("cancel", "STOPPED")]


def test_a_stop_during_a_call_that_is_refused_comes_too_late() -> None:
    trip = begin_one(hotel="refuses")
    flown = take_off()
    cancel(trip)
    carry_on(flown)
    assert saga(trip).cause["code"] == "hotel_refused"
    assert history(trip) == ["seat DONE", "hotel REFUSED", "undo seat DONE"]
    assert dispositions(trip) == [("cancel", "TOO_LATE")]


@pytest.mark.parametrize("answer", [Retry("busy", timedelta(hours=1)), NOT_KNOWN], ids=["retry", "unknown"])
def test_a_stop_during_a_call_that_has_to_be_made_again_undoes_it_instead(answer: Any) -> None:
    world.plan["hotel"] = answer
    trip = begin_one()
    flown = take_off()
    cancel(trip)
    carry_on(flown)
    assert saga(trip).status == Status.COMPENSATED
    assert world.times("hotel") == 1
    assert history(trip)[2:] == ["hotel STOPPED", "undo hotel DONE", "undo seat DONE"]


def test_a_stop_between_two_attempts_covers_the_step_that_was_tried() -> None:
    world.plan["hotel"] = Retry("busy", timedelta(seconds=60))
    trip = begin_one()
    drive()
    assert saga(trip).attempt == 1
    cancel(trip)
    drive()  # at once, not after the pause
    assert saga(trip).status == Status.COMPENSATED
    assert history(trip) == ["seat DONE", "hotel RETRY", "hotel STOPPED", "undo hotel DONE", "undo seat DONE"]
    assert world.times("hotel") == 1


def test_a_stop_after_the_worker_was_lost_covers_the_call_in_flight() -> None:
    trip = begin_one()
    take_off()
    cancel(trip)
    make_due(trip)  # the lease has ended
    drive()
    assert saga(trip).status == Status.COMPENSATED
    assert history(trip) == ["seat DONE", "hotel UNKNOWN", "hotel STOPPED", "undo hotel DONE", "undo seat DONE"]
    assert world.times("hotel") == 0


def test_a_stop_during_the_last_step_comes_too_late() -> None:
    trip = begin_one()
    land(land(take_off()))  # hotel, then card and ticket
    assert saga(trip).status == Status.COMPLETED
    assert cancel(trip) == services.Receipt(accepted=False, duplicate=False, status="COMPLETED")
    assert drive() == 0
    assert effects(trip) == ["seat", "ticket"]


def test_a_stop_before_the_last_transaction_stops_in_it() -> None:
    trip = begin_one()
    flown = land(take_off())
    cancel(trip)
    carry_on(flown)
    assert saga(trip).status == Status.COMPENSATED
    assert world.times("ticket") == 0
    assert history(trip)[2:4] == ["card DONE", "ticket STOPPED"]
    assert world.booked == {f"{trip}:hotel": "cancelled", f"{trip}:card": "cancelled"}


def test_the_second_stop_changes_nothing() -> None:
    trip = begin_one(needs_approval=True)
    drive()
    cancel(trip, "1", code="first")
    cancel(trip, "2", code="second")
    drive()
    assert saga(trip).cause["code"] == "first"
    assert history(trip).count("approval STOPPED") == 1
    assert [disposition for _, disposition in dispositions(trip)] == ["STOPPED", "TOO_LATE"]
    assert effects(trip) == ["seat", "seat given back", "closed as first"]


def test_a_stop_while_undoing_changes_nothing() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    trip = begin_one()
    flown = land(land(take_off()))  # the undo of the card is in flight
    assert saga(trip).status == Status.COMPENSATING
    cancel(trip)
    carry_on(flown)
    assert saga(trip).cause["code"] == "no_ticket"
    assert dispositions(trip) == [("cancel", "TOO_LATE")]
    assert effects(trip) == ["seat", "seat given back", "closed as no_ticket"]


def test_a_stop_past_the_pivot_is_told_so_and_nothing_is_undone() -> None:
    card = begin_one(SendPostcard)
    drive()
    assert saga(card).current_step == "arrival"
    cancel(card)
    drive()
    assert saga(card).status == Status.IN_PROGRESS
    assert dispositions(card) == [("cancel", "TOO_LATE")]
    services.signal(card, "arrival", signal_id="1")
    drive()
    assert saga(card).status == Status.COMPLETED


def test_a_stop_that_meets_a_retry_past_the_pivot_is_told_so_and_nothing_is_undone() -> None:
    answers = iter([Retry("no mail on sundays"), None])
    world.plan["post"] = lambda ticket: next(answers)
    card = begin_one(SendPostcard)
    flown = land(take_off())  # stamped; now it is being posted
    cancel(card)
    land(flown)
    assert not saga(card).undoing
    drive()
    assert saga(card).current_step == "arrival"
    assert dispositions(card) == [("cancel", "TOO_LATE")]
    assert history(card) == ["write DONE", "stamp DONE", "post RETRY", "post DONE"]


def test_a_stop_just_before_the_pivot_still_works() -> None:
    card = begin_one(SendPostcard)
    cancel(card)
    drive()
    assert saga(card).status == Status.FAILED
    assert world.times("stamp") == 0


def test_a_pivot_that_may_have_happened_is_not_stopped() -> None:
    """Nobody can undo it: it is asked again until somebody knows, and then the stop is too late, or free to act."""
    world.plan["stamp"] = NOT_KNOWN
    cards = begin(SendPostcard, times=2)
    flown = take_off()
    for card in cards:
        cancel(card)
    land(flown)
    assert [saga(card).undoing for card in cards] == [False, False]
    assert [history(card) for card in cards] == [["write DONE", "stamp UNKNOWN"]] * 2
    world.plan["stamp"] = lambda ticket: Refused("no_stamps") if ticket.id == cards[1] else None
    drive()
    assert history(cards[0]) == ["write DONE", "stamp UNKNOWN", "stamp DONE", "post DONE"]
    assert history(cards[1]) == ["write DONE", "stamp UNKNOWN", "stamp REFUSED", "undo write DONE"]
    assert [dispositions(card) for card in cards] == [[("cancel", "TOO_LATE")]] * 2


# --- what a signal must not do ----------------------------------------------------------------------------------------


def test_a_signal_that_is_no_stop_does_not_cut_a_retrys_pause_short() -> None:
    world.plan["hotel"] = Retry("busy", timedelta(seconds=60))
    trip = begin_one()
    drive()
    due_at = saga(trip).due_at
    services.signal(trip, "weather", signal_id="1")
    assert saga(trip).due_at == due_at
    assert saga(trip).pending_signals == 1
    assert drive() == 0
    assert world.times("hotel") == 1


def test_no_signal_hurries_a_compensation() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    world.plan["card:undo"] = Retry("busy", timedelta(seconds=60))
    trip = begin_one()
    drive()
    due_at = saga(trip).due_at
    for number in range(20):
        cancel(trip, str(number))
    assert saga(trip).due_at == due_at
    assert drive() == 0
    assert world.times("card:undo") == 1
    world.plan["card:undo"] = None
    make_due(trip)
    drive()
    assert saga(trip).status == Status.COMPENSATED
    assert {disposition for _, disposition in dispositions(trip)} == {"TOO_LATE"}


def test_a_stop_of_a_saga_whose_definition_is_not_known_here_still_wakes_it() -> None:
    world.plan["hotel"] = Retry("busy", timedelta(seconds=60))
    trip = begin_one()
    drive()
    change(trip, name="known_to_the_workers_only")
    cancel(trip)
    assert saga(trip).due_at <= database_now()


def test_a_signal_for_a_parked_saga_waits_with_it() -> None:
    world.plan["hotel"] = Parked("is this a hotel?")
    trip = begin_one(needs_approval=False)
    drive()
    receipt = cancel(trip)
    assert receipt == services.Receipt(accepted=True, duplicate=False, status="NEEDS_ATTENTION")
    row = saga(trip)
    assert (row.due_at, row.pending_signals, row.status) == (None, 1, Status.NEEDS_ATTENTION)
    assert drive() == 0
    world.plan["hotel"] = None
    change(trip, status=Status.IN_PROGRESS, due_at=database_now())  # a person has decided: go on
    drive()
    assert dispositions(trip) == [("cancel", "STOPPED")]
    assert saga(trip).status == Status.COMPENSATED
    assert events(trip) == ["NEEDS_ATTENTION", "COMPENSATING", "COMPENSATED"]


# --- races ------------------------------------------------------------------------------------------------------------


@pytest.mark.core
@committing
def test_a_signal_that_waits_for_the_row_sees_what_the_worker_left(beside: Beside) -> None:
    """The worker holds the row, the signal queues behind it. When it gets its turn, a call is in flight."""
    trip = begin_one()
    with transaction.atomic():
        assert claimed_ids() == [trip]
        coming = [beside(cancel, trip, str(number)) for number in range(3)]
        until_true(lambda: waiting_for_locks() == 3)
        lease_ends = database_now() + timedelta(seconds=15)
        change(trip, status=Status.IN_PROGRESS, in_flight=True, fence=1, due_at=lease_ends)
    assert [one.result().status for one in coming] == ["IN_PROGRESS"] * 3
    row = saga(trip)
    assert (row.due_at, row.pending_signals, row.fence, row.in_flight) == (lease_ends, 3, 1, True)


@committing
def test_a_signal_that_waits_while_its_saga_ends_is_not_accepted(beside: Beside) -> None:
    trip = begin_one()
    with transaction.atomic():
        assert claimed_ids() == [trip]
        coming = beside(cancel, trip)
        until_true(lambda: waiting_for_locks() == 1)
        change(trip, status=Status.COMPLETED, due_at=None, completed_at=database_now())
    assert coming.result() == services.Receipt(accepted=False, duplicate=False, status="COMPLETED")
    assert dispositions(trip) == [("cancel", "TOO_LATE")]
    assert (saga(trip).pending_signals, saga(trip).due_at) == (0, None)


@committing
def test_many_clicks_at_once_are_one_signal_each_and_none_is_lost(beside: Beside) -> None:
    trip = begin_one(needs_approval=True)
    drive()
    with transaction.atomic():
        run_sql("SELECT 1 FROM sagas_sagainstance FOR UPDATE")
        coming = [beside(approve, trip, f"click-{number % 4}") for number in range(8)]
        until_true(lambda: waiting_for_locks() == 8)
    receipts = [one.result() for one in coming]
    assert sum(receipt.duplicate for receipt in receipts) == 4
    assert SagaSignal.objects.filter(saga_id=trip).count() == 4
    assert saga(trip).pending_signals == 4
    drive()
    assert saga(trip).pending_signals == 0
    assert saga(trip).status == Status.COMPLETED


@committing
def test_the_oldest_signal_is_the_one_that_got_the_row_first(beside: Beside) -> None:
    trip = begin_one(needs_approval=True)
    drive()
    with transaction.atomic():
        run_sql("SELECT 1 FROM sagas_sagainstance FOR UPDATE")
        first = beside(approve, trip, "first", by="first")
        until_true(lambda: waiting_for_locks() == 1)
        second = beside(approve, trip, "second", by="second")
        until_true(lambda: waiting_for_locks() == 2)
    first.result()
    second.result()
    arrived = SagaSignal.objects.filter(saga_id=trip).order_by("id").values_list("signal_id", "received_at")
    assert [signal_id for signal_id, _ in arrived] == ["first", "second"]
    assert arrived[0][1] <= arrived[1][1]
    drive()
    assert saga(trip).context["approved_by"] == "first"


# --- rings ------------------------------------------------------------------------------------------------------------


@committing
def test_a_signal_rings_only_where_it_made_something_due(redis: "Redis[bytes]") -> None:
    trip = begin_one(needs_approval=True)
    drive()
    redis.flushdb()
    approve(trip)
    assert rings(redis) == 1
    redis.flushdb()
    approve(trip)  # a duplicate
    assert rings(redis) == 0
    drive()
    redis.flushdb()
    approve(trip, "late")
    assert rings(redis) == 0


# --- nudging ----------------------------------------------------------------------------------------------------------


@committing
def test_a_nudge_rings_for_waits_that_are_over(redis: "Redis[bytes]") -> None:
    over, waiting, elsewhere, moving = begin(needs_approval=True, times=4)
    drive()
    past = database_now() - timedelta(seconds=1)
    for trip in (over, elsewhere, moving):
        change(trip, wait_until=past, due_at=past)
    change(moving, in_flight=True)
    redis.flushdb()
    subjects = [saga(trip).subject_id for trip in (over, waiting, moving)]
    assert services.nudge([new_id()], now=database_now()) == 0
    assert rings(redis) == 0
    assert services.nudge(subjects, now=database_now()) == 1
    assert rings(redis) == 1
    assert saga(waiting).due_at > database_now()


@committing
def test_a_nudge_waits_for_nobody(beside: Beside) -> None:
    trip = begin_one(needs_approval=True)
    drive()
    past = database_now() - timedelta(seconds=1)
    change(trip, wait_until=past, due_at=past)
    with transaction.atomic():
        assert claimed_ids() == [trip]
        assert beside(services.nudge, [saga(trip).subject_id], now=database_now()).result(timeout=60) == 1
