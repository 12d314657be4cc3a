"""A no that is not the end: back to an earlier wait, with all undone that was done since, and on from there anew."""

from typing import Any
from uuid import UUID

import pytest

from marketplace.kernel.clock import database_now
from marketplace.sagas import attention, errors, rows, selectors, services
from marketplace.sagas.definition import Call, Cancel, Saga, Step, Wait
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.outcomes import Back, Done, Parked, Ready, Refused, each
from marketplace.sagas.tests.driving import (
    begin_one,
    carry_on,
    dispositions,
    drive,
    effects,
    events,
    history,
    land,
    lose_worker,
    make_due,
    saga,
    take_off,
)
from marketplace.sagas.tests.trip import (
    NOT_KNOWN,
    QUICKLY,
    Agency,
    Provider,
    close,
    closing_time,
    give_seat_back,
    issue_ticket,
    needs_no_approval,
    take_seat,
    world,
)
from marketplace.sagas.ticket import Cause, Ticket

pytestmark = pytest.mark.django_db

NO = Back("card_refused", "Not with this card.")


def take_in(ticket: Ticket, *, now: Any) -> Any:
    planned = world.act("verdict", ticket)
    return planned or Done()


def come_back(ticket: Ticket, *, now: Any) -> Any:
    assert (ticket.undoing, ticket.cause) == (True, Cause("returned", NO.code, NO.message, {}, ticket.cause.step))
    return world.act("came back", ticket) or Done({"refused_by": ticket.cause.step}, "Another card, please.")


class PayForTrip(Saga):
    """The traveller may try one card after another, while the seat is held."""

    name, version = "pay_for_trip", 1
    workspace = Agency
    steps = (
        Step("seat", do=each(take_seat), undo=each(give_seat_back), retry=QUICKLY),
        Wait(
            "choice",
            until=closing_time,
            otherwise=Cancel("too_late"),
            unless=needs_no_approval,
            returned=each(come_back),
        ),
        Call(
            "card",
            do=Provider("card"),
            undo=Provider("card:undo", undoes="card"),
            retry=QUICKLY,
            undo_retry=QUICKLY,
            returns_to="choice",
            queue="payments",
        ),
        Wait(
            "verdict",
            until=closing_time,
            otherwise=Cancel("no_verdict"),
            receive=each(take_in),
            returns_to="choice",
            queue="payments",
        ),
        Step("ticket", do=each(issue_ticket)),
    )
    stops = {"cancel": Cancel("cancelled")}
    closing = staticmethod(each(close))


def send(saga_id: UUID, name: str, signal_id: str = "1", **payload: Any) -> services.Receipt:
    return services.signal(saga_id, name, signal_id=signal_id, payload=payload)


def refuse_once(step: str) -> None:
    """The first time, `step` is refused; then it works."""
    answers = [NO]
    world.plan[step] = lambda ticket: answers.pop() if answers else None


def at_verdict() -> UUID:
    one = begin_one(PayForTrip)
    drive()
    assert saga(one).current_step == "verdict"
    return one


def test_a_refused_step_leads_back_to_the_wait_and_on_from_there() -> None:
    refuse_once("card")
    one = begin_one(PayForTrip)
    drive()
    row = saga(one)
    assert (row.status, row.current_step, row.undoing, row.undone, row.cause) == (
        "IN_PROGRESS",
        "choice",
        False,
        0,
        None,
    )
    assert row.wait_until is not None
    assert history(one) == ["seat DONE", "card REFUSED", "undo choice RETURNED"]
    assert row.context["refused_by"] == "card"

    send(one, "choice")
    drive()
    send(one, "verdict")
    drive()
    assert history(one)[3:] == ["choice DONE", "card DONE", "verdict DONE", "ticket DONE"]
    assert (saga(one).status, effects(one)) == ("COMPLETED", ["seat", "ticket"])
    assert events(one) == ["COMPLETED"]  # nobody was told of an undoing


def test_what_was_done_since_the_wait_is_undone_and_has_new_keys_when_it_is_done_again() -> None:
    one = at_verdict()
    refuse_once("verdict")
    send(one, "verdict")
    drive()
    assert history(one)[-3:] == ["verdict REFUSED", "undo card DONE", "undo choice RETURNED"]
    assert world.booked == {f"{one}:card": "cancelled"}
    assert effects(one) == ["seat"]

    send(one, "choice")
    drive()
    assert world.booked == {f"{one}:card": "cancelled", f"{one}:card:2": "booked"}
    send(one, "cancel")
    drive()
    assert world.booked == {f"{one}:card": "cancelled", f"{one}:card:2": "cancelled"}
    assert (saga(one).status, effects(one)) == ("COMPENSATED", ["seat", "seat given back", "closed as cancelled"])


def test_nobody_goes_round_in_a_circle_by_himself() -> None:
    """The wait is one that `unless` would pass by: who comes back to it waits nevertheless."""
    world.plan["card"] = NO
    one = begin_one(PayForTrip)
    for times in (1, 2, 3):
        drive()
        assert (world.times("card"), saga(one).current_step) == (times, "choice")
        send(one, "choice", signal_id=str(times))
    assert saga(one).context["_rounds"] == {"card": 4}


def test_only_the_time_spent_waiting_is_not_counted() -> None:
    refuse_once("card")
    one = begin_one(PayForTrip)
    drive()
    before = saga(one).deadline_at
    SagaInstance.objects.filter(pk=one).update(wait_until=database_now())
    make_due(one)
    drive()
    assert before is not None
    assert (saga(one).status, saga(one).cause["code"]) == ("COMPENSATED", "too_late")


def test_a_cancel_on_the_way_back_waits_until_the_saga_is_back_and_is_not_lost() -> None:
    one = at_verdict()
    refuse_once("verdict")
    send(one, "verdict")
    flown = take_off()  # the undo of the card is in flight
    receipt = send(one, "cancel")
    assert receipt.accepted
    land(flown)
    drive()
    assert history(one)[-2:] == ["choice STOPPED", "undo seat DONE"]
    assert (saga(one).status, saga(one).cause["code"]) == ("COMPENSATED", "cancelled")
    assert ("cancel", "STOPPED") in dispositions(one)


def test_a_worker_lost_on_the_way_back_loses_nothing() -> None:
    one = at_verdict()
    refuse_once("verdict")
    send(one, "verdict")
    take_off()
    lose_worker(one)
    drive()
    assert history(one)[-3:] == ["undo card UNKNOWN", "undo card DONE", "undo choice RETURNED"]
    assert (saga(one).current_step, world.booked) == ("choice", {f"{one}:card": "cancelled"})


def test_the_wait_of_another_queue_is_reached_by_its_own_workers() -> None:
    one = at_verdict()
    refuse_once("verdict")
    send(one, "verdict")
    drive(["payments"])
    row = saga(one)
    assert (row.current_step, row.undoing, row.queue, row.wait_until) == ("choice", True, "orders", None)
    drive(["orders"])
    assert (saga(one).current_step, saga(one).undoing) == ("choice", False)


def test_an_undo_on_the_way_back_that_fails_is_left_to_a_person_who_is_told_only_of_what_is_to_be_undone() -> None:
    one = at_verdict()
    refuse_once("verdict")
    world.plan["card:undo"] = Refused("closed", "The bank is closed.")
    send(one, "verdict")
    drive()
    row = saga(one)
    assert (row.status, row.current_step) == ("NEEDS_ATTENTION", "card")
    assert "Still to be undone: card." in row.attention
    assert selectors.remains(one).remaining == ("card",)

    world.plan.pop("card:undo")
    assert attention.retry(one, actor="ada", reason="It has opened.", now=database_now()).status == "IN_PROGRESS"
    drive()
    assert (saga(one).status, saga(one).current_step) == ("IN_PROGRESS", "choice")


def test_a_person_may_have_all_of_it_undone_instead() -> None:
    one = at_verdict()
    refuse_once("verdict")
    world.plan["card:undo"] = Refused("closed", "The bank is closed.")
    send(one, "verdict")
    drive()
    world.plan.pop("card:undo")
    assert [undo.step for undo in attention.undos_ahead(one)] == ["card", "seat"]
    attention.compensate(one, actor="ada", reason="Enough.", now=database_now())
    drive()
    assert (saga(one).status, saga(one).cause["code"]) == ("COMPENSATED", "cancelled_by_staff")
    assert effects(one)[-2:] == ["seat given back", "closed as cancelled_by_staff"]


def test_an_undo_done_by_hand_leads_back_too() -> None:
    one = at_verdict()
    refuse_once("verdict")
    world.plan["card:undo"] = Refused("closed", "The bank is closed.")
    send(one, "verdict")
    drive()
    attention.resolve(one, actor="ada", reason="I went there.", now=database_now())
    drive()
    assert (saga(one).status, saga(one).current_step) == ("IN_PROGRESS", "choice")


def test_books_that_can_not_be_put_right_are_left_to_a_person_and_nothing_else_is_undone() -> None:
    refuse_once("card")
    world.plan["came back"] = Parked("The ledger is shut.")
    one = begin_one(PayForTrip)
    drive()
    assert (saga(one).status, saga(one).current_step, effects(one)) == ("NEEDS_ATTENTION", "choice", ["seat"])
    with pytest.raises(errors.NotByHand):
        attention.resolve(one, actor="ada", reason="No.", now=database_now())
    world.plan.pop("came back")
    attention.retry(one, actor="ada", reason="Open again.", now=database_now())
    drive()
    assert (saga(one).status, saga(one).wait_until is not None) == ("IN_PROGRESS", True)


def test_where_no_way_back_is_declared_it_is_a_refusal() -> None:
    world.plan["ticket"] = NO
    one = at_verdict()
    send(one, "verdict")
    drive()
    assert (saga(one).status, saga(one).cause["code"]) == ("COMPENSATED", "card_refused")


def test_a_key_is_as_old_as_its_own_first_call_and_not_as_that_of_the_round_before() -> None:
    refuse_once("card")
    one = begin_one(PayForTrip)
    drive()
    send(one, "choice")
    world.plan["card"] = NOT_KNOWN
    land(take_off())
    row = saga(one)
    make_due(one)
    runs, _ = rows.claim(["payments"], 1)
    asked = rows.first_asked(runs, "card")[one]
    [first, second] = row.history.filter(step="card").order_by("id")
    assert (first.status, second.status) == ("REFUSED", "UNKNOWN")
    assert asked == second.started_at > first.started_at


def test_what_is_written_with_the_intent_is_remembered_whatever_becomes_of_the_call() -> None:
    world.plan["card:prepare"] = lambda ticket: Ready((ticket, ticket.key), data={"asked": True})
    world.plan["card"] = NO
    one = begin_one(PayForTrip)
    drive()
    assert saga(one).context["asked"] is True


def test_what_is_asked_for_on_the_way_back_to_its_wait_is_accepted_and_acted_on() -> None:
    one = at_verdict()
    refuse_once("verdict")
    send(one, "verdict")
    flown = take_off()  # the undo of the card is in flight
    assert send(one, "choice").accepted
    assert not send(one, "nothing of the kind").accepted
    carry_on(flown)
    assert ("choice", "RECEIVED") in dispositions(one)
    assert history(one)[-3:] == ["undo choice RETURNED", "choice DONE", "card DONE"]
