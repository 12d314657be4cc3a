"""Signals in every order of arrival: which one wins, what a receipt says of it, and what answers the late ones."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest

from marketplace.kernel.clock import database_now
from marketplace.sagas import attention, definition, services
from marketplace.sagas.definition import Call, Cancel, DefinitionError, Fail, Saga, Step, Wait
from marketplace.sagas.models import SagaInstance, SagaSignal, Status
from marketplace.sagas.outcomes import Done, Parked, Refused, Retry, each
from marketplace.sagas.tests.driving import (
    begin_one,
    carry_on,
    change,
    committing,
    dispositions,
    drive,
    effects,
    history,
    land,
    make_due,
    saga,
    take_off,
)
from marketplace.sagas.tests.trip import (
    QUICKLY,
    Agency,
    Provider,
    SendPostcard,
    closing_time,
    effect,
    give_seat_back,
    take_seat,
    world,
)
from marketplace.sagas.ticket import LateSignal, Ticket

pytestmark = pytest.mark.django_db

Beside = Callable[..., "Future[Any]"]

answered: list[LateSignal] = []


@pytest.fixture(autouse=True)
def _nothing_answered() -> None:
    answered.clear()


def send(saga_id: UUID, name: str = "cancel", signal_id: str = "1", **payload: Any) -> services.Receipt:
    return services.signal(saga_id, name, signal_id=signal_id, payload=payload)


# --- a definition with rules for late signals -------------------------------------------------------------------------


class Apology(Saga):
    """Started by a rule: what is still owed to a traveller whose trip is over."""

    name, version = "apology", 1
    workspace = Agency
    steps = (Step("write", do=each(lambda t, now: effect(t, "apology") or Done())),)


def apologize(late: LateSignal) -> None:
    """Start another saga about it, in the transaction that has told the signal that it is too late."""
    answered.append(late)
    world.act("late", Ticket(id=late.saga_id, subject_id=late.subject_id, context={}, cause=None))
    start = services.Start(late.subject_id, {"because_of": late.signal_id})
    services.start(Apology, [start], now=database_now())


class Insured(Saga):
    """A trip whose traveller gets an apology for what came too late."""

    name, version = "insured_trip", 1
    workspace = Agency
    steps = (
        Step("seat", do=each(take_seat), undo=each(give_seat_back)),
        Call("hotel", do=Provider("hotel"), undo=Provider("hotel:undo", undoes="hotel"), retry=QUICKLY),
        Wait("confirmed", until=closing_time, otherwise=Fail("not_confirmed"),
             unless=lambda ticket: not ticket.context.get("must_confirm"),
             receive=each(lambda t, now: Done({"confirmed_by": t.signal["by"]}))),
        Step("ticket", do=each(lambda t, now: world.act("ticket", t) or Done())),
    )  # fmt: skip
    stops = {"cancel": Cancel("cancelled")}
    late = {"cancel": apologize, "confirmed": apologize}


def apologies(saga_id: UUID) -> int:
    return SagaInstance.objects.filter(name="apology", subject_id=saga(saga_id).subject_id).count()


@pytest.mark.core
def test_a_signal_for_a_saga_that_is_over_is_answered_by_the_definitions_rule_in_the_same_transaction() -> None:
    trip = begin_one(Insured)
    drive()
    receipt = send(trip, signal_id="late-1", why="rain")
    assert receipt == services.Receipt(accepted=False, duplicate=False, status="COMPLETED")
    (late,) = answered
    row = saga(trip)
    assert (late.saga_id, late.subject_id, late.name, late.signal_id) == (trip, row.subject_id, "cancel", "late-1")
    assert (late.payload, late.status, late.code) == ({"why": "rain"}, "COMPLETED", "")
    assert apologies(trip) == 1
    drive()
    apology = SagaInstance.objects.get(name="apology")
    assert (apology.status, effects(apology.pk)) == (Status.COMPLETED, ["apology"])
    assert saga(trip).updated_at == row.updated_at  # a finished saga is never reopened


def test_a_late_signal_that_is_given_twice_at_once_is_answered_once() -> None:
    trip = begin_one(Insured)
    drive()
    twice = [services.Signal(trip, "late-1"), services.Signal(trip, "late-1")]
    assert [receipt.duplicate for receipt in services.signal_many("cancel", twice)] == [False, True]
    assert len(answered) == 1
    assert dispositions(trip) == [("cancel", "TOO_LATE")]


def test_a_late_signal_is_answered_once_however_often_it_comes() -> None:
    trip = begin_one(Insured)
    drive()
    assert [send(trip).duplicate for _ in range(3)] == [False, True, True]
    assert len(answered) == 1


def test_what_a_rule_raises_leaves_no_signal_behind_so_that_it_may_come_again() -> None:
    trip = begin_one(Insured)
    drive()
    world.plan["late"] = lambda ticket: 1 / 0
    with pytest.raises(ZeroDivisionError):
        send(trip)
    assert SagaSignal.objects.filter(saga_id=trip).count() == 0
    world.plan.clear()
    assert not send(trip).duplicate
    assert apologies(trip) == 1


def test_a_signal_that_nobody_came_to_use_is_answered_when_the_saga_ends() -> None:
    trip = begin_one(Insured)
    flown = take_off()
    assert send(trip, "confirmed", by="them").accepted  # there may be a wait for it
    carry_on(flown)  # there was none
    assert saga(trip).status == Status.COMPLETED
    assert dispositions(trip) == [("confirmed", "TOO_LATE")]
    assert [(late.name, late.status) for late in answered] == [("confirmed", "COMPLETED")]
    assert apologies(trip) == 1


@pytest.mark.core
def test_one_that_comes_while_the_saga_is_undone_is_answered_once_it_is_over() -> None:
    world.plan.update({"ticket": Refused("no_ticket"), "hotel:undo": Retry("busy", timedelta(hours=1))})
    trip = begin_one(Insured)
    drive()
    assert not send(trip).accepted
    make_due(trip)
    drive()
    assert (answered, dispositions(trip)) == ([], [("cancel", "")])
    world.plan["hotel:undo"] = None
    make_due(trip)
    drive()
    assert dispositions(trip) == [("cancel", "TOO_LATE")]
    assert [(late.status, late.code) for late in answered] == [("COMPENSATED", "no_ticket")]
    assert (apologies(trip), saga(trip).pending_signals) == (1, 0)


@committing
def test_a_rule_that_raises_while_a_saga_ends_parks_that_saga_and_no_other() -> None:
    good, bad = begin_one(Insured), begin_one(Insured)
    flown = take_off()
    for trip in (good, bad):
        send(trip, "confirmed", by="them")
    world.plan["late"] = lambda ticket: 1 / 0 if ticket.id == bad else None
    assert flown.flights
    make_due(good, bad)  # their worker is lost; another takes over
    drive()
    assert (saga(good).status, saga(bad).status) == (Status.COMPLETED, Status.NEEDS_ATTENTION)
    assert (apologies(good), apologies(bad)) == (1, 0)
    assert saga(bad).attention == "ZeroDivisionError: division by zero"


def test_a_stop_past_the_pivot_is_answered_there_and_then() -> None:
    class Stamped(SendPostcard):
        name, version = "stamped", 1
        late = {"cancel": apologize}

    card = begin_one(Stamped)
    drive()
    assert saga(card).current_step == "arrival"
    assert not send(card).accepted
    drive()
    assert dispositions(card) == [("cancel", "TOO_LATE")]
    assert [late.status for late in answered] == ["IN_PROGRESS"]
    assert saga(card).current_step == "arrival"


def test_a_rule_that_is_no_function_is_refused() -> None:
    with pytest.raises(DefinitionError, match="what is to be done about a late 'cancel' is no function"):
        type("Odd", (Saga,), {
            "name": "odd", "steps": (Step("a", do=each(lambda t, now: Done())),), "late": {"cancel": "apologize"},
        })  # fmt: skip
    assert definition.find("odd", 1) is None


# --- a receipt tells the truth ----------------------------------------------------------------------------------------


def test_a_stop_is_accepted_up_to_the_pivot_and_not_past_it() -> None:
    world.plan["write"] = Retry("no ink", timedelta(minutes=1))
    card = begin_one(SendPostcard)
    drive()
    assert send(card, signal_id="before").accepted
    drive()
    assert dispositions(card) == [("cancel", "STOPPED")]

    world.plan.clear()
    called = begin_one(SendPostcard)
    take_off()
    assert not send(called).accepted  # the pivot is in flight, and nobody can undo it
    past = begin_one(SendPostcard)
    drive()
    assert not send(past).accepted
    assert send(past, "arrival").accepted


def test_a_stop_of_what_is_being_undone_already_is_not_accepted() -> None:
    world.plan.update({"ticket": Refused("no"), "card:undo": Retry("busy", timedelta(hours=1))})
    trip = begin_one()
    drive()
    assert send(trip) == services.Receipt(accepted=False, duplicate=False, status="COMPENSATING")


def test_the_same_stop_again_is_told_what_became_of_the_first() -> None:
    world.plan["hotel:undo"] = Retry("busy", timedelta(hours=1))
    trip = begin_one()
    flown = take_off()
    assert send(trip).accepted
    carry_on(flown)
    assert (saga(trip).undoing, dispositions(trip)) == (True, [("cancel", "STOPPED")])
    assert send(trip) == services.Receipt(accepted=True, duplicate=True, status="COMPENSATING")
    assert not send(trip, signal_id="another").accepted


@pytest.mark.parametrize(("name", "becomes"), [("cancel", "STOPPED"), ("approval", "RECEIVED")])
def test_a_saga_that_was_left_to_a_person_at_a_wait_can_act_on_what_comes_after_its_time(
    name: str, becomes: str
) -> None:
    trip = begin_one(needs_approval=True)
    drive()
    world.plan["approval"] = Parked("Approved by whom?")
    send(trip, "approval")
    drive()
    world.plan.clear()
    change(trip, wait_until=database_now() - timedelta(seconds=1))
    assert send(trip, name, "later").accepted
    attention.retry(trip, actor="ada", reason="They have said it again.", now=database_now())
    drive()
    assert dispositions(trip) == [("approval", "RECEIVED"), (name, becomes)]


def test_a_signal_for_a_wait_is_accepted_until_the_wait_is_over() -> None:
    trip = begin_one(needs_approval=True)
    assert send(trip, "approval", "early").accepted
    flown = take_off()  # it was taken in, and the hotel is asked
    assert saga(trip).current_step == "hotel"
    assert not send(trip, "approval", "late").accepted
    assert not send(trip, "weather", "1").accepted  # nobody will ever wait for it
    carry_on(flown)


# --- a stop, and a wait that is over ----------------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize(("stop_comes", "wins"), [("before", "cancelled"), ("after", "not_approved")])
def test_a_stop_against_a_wait_that_ran_out_is_won_by_what_came_first(stop_comes: str, wins: str) -> None:
    """Nobody had looked at the saga between the two: what is on its row decides, not who is looked at first."""
    trip = begin_one(needs_approval=True)
    drive()
    if stop_comes == "before":
        assert send(trip).accepted
    change(trip, wait_until=database_now(), due_at=database_now())
    if stop_comes == "after":
        assert not send(trip).accepted
    drive()
    assert (saga(trip).status, saga(trip).cause["code"]) == (Status.COMPENSATED, wins)
    assert dispositions(trip) == [("cancel", "STOPPED" if stop_comes == "before" else "TOO_LATE")]
    assert history(trip) == [
        "seat DONE", "approval STOPPED" if stop_comes == "before" else "approval EXPIRED", "undo seat DONE",
    ]  # fmt: skip


def test_an_approval_in_time_is_not_lost_to_a_stop_that_came_after_the_time() -> None:
    trip = begin_one(needs_approval=True)
    drive()
    send(trip, "approval")
    change(trip, wait_until=database_now(), due_at=database_now())
    send(trip)
    drive()
    assert history(trip) == ["seat DONE", "approval DONE", "hotel STOPPED", "undo seat DONE"]
    assert dispositions(trip) == [("approval", "RECEIVED"), ("cancel", "STOPPED")]


# --- a webhook and the call's own reply -------------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize("order", ["webhook first", "reply first", "webhook, and the reply is lost"])
def test_a_webhook_and_the_calls_own_reply_in_either_order(order: str) -> None:
    trip = begin_one(Insured, must_confirm=True)
    flown = take_off()
    if order != "reply first":
        lease = saga(trip).due_at
        assert send(trip, "confirmed", "event-1", by="webhook").accepted
        assert (saga(trip).due_at, saga(trip).in_flight) == (lease, True)  # it waits, and hurries nobody
    if order == "webhook, and the reply is lost":
        make_due(trip)
        drive()
    else:
        land(flown)
    if order == "reply first":
        assert saga(trip).current_step == "confirmed"
        send(trip, "confirmed", "event-1", by="webhook")
        drive()
    row = saga(trip)
    assert (row.status, row.context["confirmed_by"]) == (Status.COMPLETED, "webhook")
    assert dispositions(trip) == [("confirmed", "RECEIVED")]
    assert world.booked == {f"{trip}:hotel": "booked"}
    assert answered == []


def test_a_webhook_for_a_call_that_is_refused_is_late() -> None:
    trip = begin_one(Insured, must_confirm=True, hotel="refuses")
    flown = take_off()
    send(trip, "confirmed", "event-1", by="webhook")
    carry_on(flown)
    assert (saga(trip).cause["code"], saga(trip).status) == ("hotel_refused", Status.COMPENSATED)
    assert [(late.name, late.code) for late in answered] == [("confirmed", "hotel_refused")]


# --- many at once, and in vain ----------------------------------------------------------------------------------------


@committing
def test_fifty_at_once_with_one_id_are_one_signal(beside: Beside) -> None:
    trip = begin_one(needs_approval=True)
    drive()
    together = Barrier(8)  # as many threads as there are; each comes several times

    def click() -> list[bool]:
        together.wait(60)
        return [send(trip, "approval", "the click").duplicate for _ in range(7)]

    replies = [duplicate for one in [beside(click) for _ in range(8)] for duplicate in one.result(timeout=60)]
    assert len(replies) == 56
    assert replies.count(False) == 1
    assert SagaSignal.objects.filter(saga_id=trip).count() == 1
    assert saga(trip).pending_signals == 1
    drive()
    assert world.times("approval") == 1


@committing
def test_fifty_late_ones_with_one_id_are_answered_once(beside: Beside) -> None:
    trip = begin_one(Insured)
    drive()
    together = Barrier(8)

    def click() -> list[bool]:
        together.wait(60)
        return [send(trip).duplicate for _ in range(7)]

    replies = [duplicate for one in [beside(click) for _ in range(8)] for duplicate in one.result(timeout=60)]
    assert (replies.count(False), len(answered), apologies(trip)) == (1, 1, 1)


@pytest.mark.parametrize("step", ["post"])
def test_stops_past_the_pivot_spend_no_attempts(step: str) -> None:
    """A signal that can't act must not cut the pause short either: ten of them would be ten attempts."""
    world.plan[step] = Retry("busy", timedelta(seconds=100))
    card = begin_one(SendPostcard)
    drive()
    due_at = saga(card).due_at
    for number in range(10):
        assert not send(card, signal_id=str(number)).accepted
    assert saga(card).due_at == due_at
    assert drive() == 0
    assert world.times(step) == 1
    world.plan.clear()
    make_due(card)
    drive()
    assert {disposition for _, disposition in dispositions(card)} == {"TOO_LATE"}
