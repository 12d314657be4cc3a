"""A person decides: on record, under the row's lock, one of two at once, and never against what may have happened."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from redis import Redis

from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import Conflict
from marketplace.kernel.ids import new_id
from marketplace.sagas import attention, errors, runner, services
from marketplace.sagas.attention import Undo
from marketplace.sagas.definition import Saga, Step
from marketplace.sagas.models import SagaHistory, SagaInstance, Status
from marketplace.sagas.outcomes import Parked, Refused, Retry, each
from marketplace.sagas.tests.driving import (
    begin_one,
    change,
    committing,
    dispositions,
    drive,
    effects,
    events,
    history,
    land,
    run_sql,
    saga,
    take_off,
    until_true,
    waiting_for_locks,
)
from marketplace.sagas.tests.trip import NOT_KNOWN, BookTrip, SendPostcard, take_seat, world

pytestmark = pytest.mark.django_db

Beside = Callable[..., "Future[Any]"]
DECISIONS = (attention.retry, attention.compensate, attention.resolve, attention.ignore)


class Careful(Saga):
    """A trip whose steps park when their tries are spent."""

    name, version = "careful_trip", 1
    workspace = BookTrip.workspace
    steps = tuple(
        node if not hasattr(node, "retry") else type(node)(
            node.name,
            do=node.do,
            undo=node.undo,
            retry=type(node.retry)(attempts=2, delay=0, spent="park"),
            undo_retry=type(node.retry)(attempts=2, delay=0, spent="park"),
        )
        for node in BookTrip.steps
    )  # fmt: skip
    stops = BookTrip.stops
    closing = BookTrip.closing


def decide(how: Callable[..., Any], saga_id: UUID, *, actor: str = "ada", reason: str = "The bank is back.") -> Any:
    return how(saga_id, actor=actor, reason=reason, now=database_now())


def parked_at(step: str, answer: Any = None, definition: type[Saga] = Careful) -> UUID:
    """A saga that has come to `step` (or `step:undo`) and is parked there."""
    world.plan[step] = answer if answer is not None else Parked("Only a person knows.")
    one = begin_one(definition)
    drive()
    assert saga(one).status == Status.NEEDS_ATTENTION
    del world.plan[step]
    return one


def records(saga_id: UUID) -> list[tuple[str, str, str, str]]:
    rows = SagaHistory.objects.filter(saga_id=saga_id).exclude(actor="").order_by("id")
    return list(rows.values_list("step", "status", "actor", "reason"))


# --- what all have in common ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", DECISIONS)
def test_a_decision_is_on_record_and_needs_who_and_why(how: Any) -> None:
    one = parked_at("card")
    before = history(one)
    for actor, reason in (("ada", " \n"), ("", "because"), ("  ", "because")):
        with pytest.raises(errors.ReasonRequired) as refused:
            decide(how, one, actor=actor, reason=reason)
        assert refused.value.code == "reason_required"
    assert (history(one), saga(one).status) == (before, Status.NEEDS_ATTENTION)
    decide(how, one, reason="  I asked the bank.  ")
    result = {"retry": "RETRIED", "compensate": "STOPPED", "resolve": "RESOLVED", "ignore": "IGNORED"}[how.__name__]
    assert records(one) == [("card", result, "ada", "I asked the bank.")]
    assert "I asked the bank." not in str(list(SagaHistory.objects.values_list("message", flat=True)))


@pytest.mark.parametrize("how", DECISIONS)
def test_only_a_saga_that_needs_a_person_is_decided_about(how: Any) -> None:
    with pytest.raises(errors.NoSuchSaga):
        decide(how, new_id())
    fresh = begin_one()
    with pytest.raises(errors.NotParked) as refused:
        decide(how, fresh)
    assert (refused.value.code, refused.value.data) == ("saga_not_parked", {"status": "STARTED"})
    drive()
    with pytest.raises(errors.NotParked):
        decide(how, fresh)
    assert records(fresh) == []
    assert saga(fresh).status == Status.COMPLETED


@committing
@pytest.mark.parametrize("second", DECISIONS)
@pytest.mark.parametrize("first", DECISIONS)
def test_of_two_who_decide_at_once_one_is_heard(beside: Beside, first: Any, second: Any) -> None:
    one = parked_at("card")
    with transaction.atomic():
        run_sql("SELECT 1 FROM sagas_sagainstance FOR UPDATE")
        coming = [beside(decide, first, one, actor="ada")]
        until_true(lambda: waiting_for_locks() == 1)
        coming.append(beside(decide, second, one, actor="bob"))
        until_true(lambda: waiting_for_locks() == 2)
    assert coming[0].exception(timeout=60) is None
    lost = coming[1].exception(timeout=60)
    if first is attention.ignore and second is not attention.ignore:
        assert lost is None  # what was acknowledged may still be decided
        assert [actor for _, _, actor, _ in records(one)] == ["ada", "bob"]
    else:
        assert isinstance(lost, Conflict)
        assert lost.code == ("saga_already_acknowledged" if first is attention.ignore else "saga_not_parked")
        assert [actor for _, _, actor, _ in records(one)] == ["ada"]


@committing
@pytest.mark.parametrize("how", [attention.retry, attention.compensate, attention.resolve])
def test_a_decision_rings_once_it_is_committed(redis: "Redis[bytes]", how: Any) -> None:
    one = parked_at("card")
    redis.flushdb()
    with transaction.atomic():
        decide(how, one)
        assert redis.llen("orders") == 0
    assert redis.llen("orders") == 1
    row = saga(one)
    assert (row.attention, row.in_flight) == ("", False)
    assert row.due_at <= database_now()


@pytest.mark.parametrize("how", DECISIONS[:3])
def test_nothing_is_carried_out_by_who_decides(how: Any) -> None:
    one = parked_at("card")
    before, log = effects(one), list(world.log)
    decide(how, one)
    assert effects(one) == before
    assert [what for what, _ in world.log[len(log) :] if not what.startswith("workspace")] == []


@pytest.mark.parametrize("how", DECISIONS[:3])
@pytest.mark.parametrize("changed", [{"name": "gone"}, {"version": 9}, {"steps": ["seat", "card"]}])
def test_without_its_definition_a_saga_can_only_be_acknowledged(how: Any, changed: dict[str, Any]) -> None:
    one = parked_at("card")
    change(one, **changed)
    with pytest.raises(errors.DefinitionChanged) as refused:
        decide(how, one)
    assert refused.value.code == "saga_definition_changed"
    assert (records(one), saga(one).status) == ([], Status.NEEDS_ATTENTION)
    decide(attention.ignore, one)


@pytest.mark.parametrize("elsewhere", [{"current_step": "train"}, {"position": 1}, {"position": 9}])
def test_a_step_that_no_longer_exists_is_left_to_a_person(elsewhere: dict[str, Any]) -> None:
    one, other = begin_one(), begin_one()
    take_off()
    change(one, **elsewhere)
    SagaInstance.objects.update(in_flight=False, due_at=database_now())
    log = len(world.log)
    drive()
    assert (saga(one).status, saga(other).status) == (Status.NEEDS_ATTENTION, Status.COMPLETED)
    assert saga(one).attention.startswith("'book_trip' version 1 has no step ")
    assert [what for what, of in world.log[log:] if of == one] == ["workspace:open", "workspace:moved"]
    assert history(one)[-1].endswith(" PARKED")


# --- retry ------------------------------------------------------------------------------------------------------------


def test_a_retry_has_all_its_attempts_again_and_the_same_key() -> None:
    one = parked_at("card", NOT_KNOWN)
    assert world.times("card", one) == 2
    change(one, deadline_at=database_now() - timedelta(hours=1))
    world.plan["card"] = NOT_KNOWN
    assert decide(attention.retry, one) == attention.Decided(one, "IN_PROGRESS", "card")
    drive()
    assert saga(one).status == Status.NEEDS_ATTENTION
    assert (world.times("card", one), saga(one).attempt) == (4, 4)
    del world.plan["card"]
    decide(attention.retry, one)
    drive()
    assert saga(one).status == Status.COMPLETED
    assert [key for key in world.booked if "card" in key] == [f"{one}:card"]
    assert events(one).count("NEEDS_ATTENTION") == 2
    assert saga(one).forgiven == 0


def test_a_cancel_after_a_retry_still_undoes_the_call_that_may_have_happened() -> None:
    one = parked_at("card", NOT_KNOWN)
    services.signal(one, "cancel", signal_id="cancel")
    decide(attention.retry, one)
    drive()
    assert saga(one).status == Status.COMPENSATED
    assert world.times("card", one) == 2  # not asked a third time
    assert world.booked[f"{one}:card"] == "cancelled"
    assert dispositions(one) == [("cancel", "STOPPED")]


def test_a_stop_does_not_act_on_a_pivot_that_was_called_before_the_retry() -> None:
    one = parked_at("stamp", NOT_KNOWN, SendPostcard)
    services.signal(one, "cancel", signal_id="cancel")
    decide(attention.retry, one)
    drive()
    assert dispositions(one) == [("cancel", "TOO_LATE")]
    assert world.booked[f"{one}:stamp"] == "booked"


def test_an_undo_is_retried_as_an_undo() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    one = parked_at("card:undo", Retry("Busy."))
    assert world.times("card:undo", one) == 2
    assert decide(attention.retry, one) == attention.Decided(one, "COMPENSATING", "card")
    drive()
    assert saga(one).status == Status.COMPENSATED
    assert events(one) == ["COMPENSATING", "NEEDS_ATTENTION", "COMPENSATED"]
    assert effects(one) == ["seat", "seat given back", "closed as no_ticket"]


def test_a_closing_is_retried() -> None:
    world.plan["seat"] = Refused("no_seat")
    one = parked_at("closing", Parked("The books are locked."))
    assert decide(attention.retry, one).status == "IN_PROGRESS"
    drive()
    assert saga(one).status == Status.FAILED
    assert effects(one) == ["closed as no_seat"]


def test_a_wait_that_ran_out_waits_anew() -> None:
    one = begin_one(SendPostcard)
    drive()
    past = database_now() - timedelta(seconds=1)
    change(one, wait_until=past, due_at=past)
    drive()
    assert saga(one).status == Status.NEEDS_ATTENTION
    decide(attention.retry, one)
    drive()
    assert saga(one).status == Status.IN_PROGRESS
    assert saga(one).wait_until > database_now()


# --- compensate -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [NOT_KNOWN, Parked("?"), Retry("Busy.")])
def test_compensating_covers_the_step_it_stands_at(answer: Any) -> None:
    one = parked_at("card", answer)
    assert attention.undos_ahead(one) == (Undo("card", True), Undo("hotel", True), Undo("seat", False))
    assert decide(attention.compensate, one) == attention.Decided(one, "COMPENSATING", "card")
    drive()
    row = saga(one)
    assert (row.status, row.undone) == (Status.COMPENSATED, 3)
    assert row.cause == {"kind": "cancelled", "code": "cancelled_by_staff", "message": "", "data": {"actor": "ada"}}
    assert [line for line in history(one) if line.startswith("undo")] == [
        "undo card DONE", "undo hotel DONE", "undo seat DONE",
    ]  # fmt: skip
    assert world.booked[f"{one}:card"] == "cancelled"
    assert events(one) == ["NEEDS_ATTENTION", "COMPENSATING", "COMPENSATED"]


def test_what_the_handler_raised_for_is_undone_too() -> None:
    one = parked_at("card:record", lambda ticket: 1 / 0)
    assert world.booked[f"{one}:card"] == "booked"
    decide(attention.compensate, one)
    drive()
    assert saga(one).status == Status.COMPENSATED
    assert world.booked[f"{one}:card"] == "cancelled"


def test_past_the_pivot_there_is_no_way_back() -> None:
    called = parked_at("stamp", NOT_KNOWN, SendPostcard)
    past = parked_at("post", NOT_KNOWN, SendPostcard)
    for one, why in ((called, "may have happened"), (past, "is done")):
        for how in (lambda: attention.undos_ahead(one), lambda: decide(attention.compensate, one)):  # noqa: B023
            with pytest.raises(errors.PastPivot, match=why) as refused:
                how()
            assert (refused.value.code, refused.value.data) == ("saga_past_pivot", {"pivot": "stamp"})
        assert (records(one), saga(one).status) == ([], Status.NEEDS_ATTENTION)


def test_a_pivot_that_was_never_called_can_be_turned_back_from() -> None:
    one = parked_at("stamp:prepare", lambda ticket: 1 / 0, SendPostcard)
    assert saga(one).attempt == 0
    decide(attention.compensate, one)
    drive()
    assert saga(one).status == Status.COMPENSATED
    assert world.times("stamp", one) == 0


def test_what_is_being_undone_is_not_turned_back_again() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    one = parked_at("hotel:undo")
    assert attention.undos_ahead(one) == (Undo("hotel", True), Undo("seat", False))
    with pytest.raises(errors.AlreadyCompensating):
        decide(attention.compensate, one)
    assert saga(one).cause["code"] == "no_ticket"


def test_where_nothing_can_be_undone_it_is_closed() -> None:
    class Bare(Saga):
        name, version = "bare", 1
        workspace = BookTrip.workspace
        steps = (Step("seat", do=each(take_seat)),)
        closing = BookTrip.closing

    one = parked_at("seat", definition=Bare)
    assert attention.undos_ahead(one) == ()
    decide(attention.compensate, one)
    drive()
    assert (saga(one).status, effects(one)) == (Status.FAILED, ["closed as cancelled_by_staff"])


def test_asking_what_would_be_undone_changes_nothing() -> None:
    one = parked_at("card")
    before = SagaInstance.objects.filter(pk=one).values().get()
    attention.undos_ahead(one)
    assert SagaInstance.objects.filter(pk=one).values().get() == before
    assert history(one)[-1] == "card PARKED"


# --- resolve ----------------------------------------------------------------------------------------------------------


def test_what_is_done_by_hand_is_not_done_again_but_undone_if_need_be() -> None:
    one = parked_at("card", NOT_KNOWN)
    asked = world.times("card", one)
    world.plan["ticket"] = Refused("no_ticket")
    assert decide(attention.resolve, one) == attention.Decided(one, "IN_PROGRESS", "ticket")
    drive()
    assert world.times("card", one) == asked
    assert history(one)[-5:] == [
        "card RESOLVED", "ticket REFUSED", "undo card DONE", "undo hotel DONE", "undo seat DONE",
    ]  # fmt: skip
    assert saga(one).status == Status.COMPENSATED


def test_an_undo_done_by_hand_leads_to_the_next_undo() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    one = parked_at("card:undo")
    asked = world.times("card:undo", one)
    assert decide(attention.resolve, one) == attention.Decided(one, "COMPENSATING", "hotel")
    drive()
    row = saga(one)
    assert (row.status, row.undone, world.times("card:undo", one)) == (Status.COMPENSATED, 3, asked)
    assert events(one) == ["COMPENSATING", "NEEDS_ATTENTION", "COMPENSATED"]


def test_the_last_undo_done_by_hand_leads_to_the_closing() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    one = parked_at("seat:undo")
    assert decide(attention.resolve, one) == attention.Decided(one, "COMPENSATING", "")
    assert effects(one) == ["seat"]
    drive()
    assert effects(one) == ["seat", "closed as no_ticket"]
    assert saga(one).status == Status.COMPENSATED


def test_a_saga_does_not_end_without_our_own_work() -> None:
    one = parked_at("ticket")
    with pytest.raises(errors.NotByHand, match="ticket is work in our own database, and the last step"):
        decide(attention.resolve, one)
    world.plan["seat"] = Refused("no_seat")
    closing = parked_at("closing", Parked("The books are locked."))
    with pytest.raises(errors.NotByHand, match="only the closing is left") as refused:
        decide(attention.resolve, closing)
    assert refused.value.code == "saga_not_by_hand"
    assert records(one) == records(closing) == []


# --- ignore -----------------------------------------------------------------------------------------------------------


def test_what_is_acknowledged_stays_a_case_and_can_still_be_decided() -> None:
    one = parked_at("card")
    why = saga(one).attention
    assert decide(attention.ignore, one) == attention.Decided(one, "NEEDS_ATTENTION", "card")
    row = saga(one)
    assert (row.status, row.attention, row.due_at) == (Status.NEEDS_ATTENTION, why, None)
    assert row.acknowledged_at is not None
    assert drive() == 0
    world.plan["card"] = Parked("Again.")
    decide(attention.retry, one)
    drive()
    assert (saga(one).status, saga(one).acknowledged_at) == (Status.NEEDS_ATTENTION, None)  # it alerts anew


# --- against the workers ----------------------------------------------------------------------------------------------


def test_the_answer_of_a_worker_from_before_is_discarded() -> None:
    one = begin_one(Careful)
    flown = take_off()
    runner.park(one, ZeroDivisionError("oops"))
    decide(attention.retry, one)
    with pytest.raises(AssertionError, match="nothing was in flight"):
        land(flown)
    assert saga(one).current_step == "hotel"
    drive()
    assert saga(one).status == Status.COMPLETED
    assert history(one).count("hotel DONE") == 1
