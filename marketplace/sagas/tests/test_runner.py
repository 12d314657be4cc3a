"""Workers in threads of their own, with connections of their own; interleavings are told by gates, not hoped for."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction
from django.db.backends.signals import connection_created
from django.db.models import F

from marketplace.celery import _be_patient_only_so_long, _wait_for_no_lock_for_ever
from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.sagas import attention, rows, runner
from marketplace.sagas.definition import Call, RetryPolicy, Saga, Step, remote
from marketplace.sagas.models import SagaHistory, SagaInstance, Status
from marketplace.sagas.outcomes import Done, Outcome, Refused, Unknown, each
from marketplace.sagas.runner import NOT_MADE, Airborne
from marketplace.sagas.stepping import Pass
from marketplace.sagas.tests.driving import (
    QUEUES,
    Shift,
    begin,
    begin_one,
    change,
    committing,
    drive,
    effects,
    events,
    history,
    make_due,
    run_sql,
    saga,
    take_off,
    until_true,
    waiting_for_locks,
    worker,
)
from marketplace.sagas.tests.trip import Agency, Gate, Provider, SplitTrip, close, world
from marketplace.sagas.ticket import Ticket

pytestmark = committing

Beside = Callable[..., "Future[Any]"]

BOOKED = ["seat DONE", "hotel DONE", "card DONE", "ticket DONE"]


class Patient(Saga):
    """The same call, with time enough."""

    name, version = "patient_call", 1
    workspace = Agency
    steps = (Call("ask", do=Provider("ask"), retry=RetryPolicy(attempts=1, spent="park")),)


class Impatient(Saga):
    """A call that is given a fifth of a second, once."""

    name, version = "impatient", 1
    workspace = Agency
    steps = (Call("ask", do=Provider("ask"), timeout=0.2, retry=RetryPolicy(attempts=1, spent="park")),)


def dial(ticket: Ticket) -> Outcome:
    planned: Outcome | None = world.act("dial", ticket)
    return planned or Done()


def hang_up(ticket: Ticket) -> Outcome:
    world.act("hang up", ticket)
    return Done()


class Slowly(Saga):
    """Calls by a function of the ticket, once."""

    name, version = "slowly", 1
    workspace = Agency
    steps = (Call("dial", do=remote(dial), undo=remote(hang_up), retry=RetryPolicy(attempts=1)),)
    closing = staticmethod(each(close))


class SoonGivenUp(Saga):
    """Only its second call is given up soon: what comes before, and the way back, have time enough."""

    name, version = "soon_given_up", 1
    workspace = Agency
    steps = (
        Call("pick up", do=remote(lambda ticket: Done()), undo=remote(hang_up)),
        Call("dial", do=remote(dial), timeout=0.2, retry=RetryPolicy(attempts=1)),
    )
    closing = staticmethod(each(close))


def raise_for(*bad: UUID, error: BaseException | None = None) -> Callable[[Any], Any]:
    """A plan that raises for these sagas and leaves the others alone."""

    def plan(ticket: Any) -> None:
        if ticket.id in bad:
            raise error or ZeroDivisionError("nobody thought of that")

    return plan


def no_more_threads(thread: threading.Thread) -> None:
    """What starting a thread comes to where the system allows no more of them."""
    raise RuntimeError("can't start new thread")


# --- something unforeseen ---------------------------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize(
    ("where", "left_done"),
    [
        ("seat", []),
        ("hotel:prepare", []),
        ("workspace:open", []),
        ("hotel:record", ["seat DONE"]),
        ("ticket", ["seat DONE", "hotel DONE", "card DONE"]),  # what the card's call has answered is kept
    ],
)
def test_one_bad_saga_parks_itself_and_no_other(where: str, left_done: list[str]) -> None:
    trips = begin(times=5)
    bad = trips[2]
    world.plan[where] = raise_for(bad)
    drive()
    for trip in trips:
        if trip != bad:
            assert history(trip) == BOOKED
            assert effects(trip) == ["seat", "ticket"]
            assert events(trip) == ["COMPLETED"]
    row = saga(bad)
    assert (row.status, row.due_at, row.in_flight) == (Status.NEEDS_ATTENTION, None, False)
    assert row.attention == "ZeroDivisionError: nobody thought of that"
    assert history(bad)[:-1] == left_done
    last = SagaHistory.objects.filter(saga_id=bad).latest("id")
    assert (last.status, last.message) == ("PARKED", "ZeroDivisionError: nobody thought of that")
    assert last.error.startswith("Traceback")
    assert "raise error or ZeroDivisionError" in last.error
    # The workspace that can't open this saga's subject can't publish either; it is on record all the same.
    assert events(bad) == ([] if where == "workspace:open" else ["NEEDS_ATTENTION"])
    assert effects(bad) == (["seat"] if left_done else [])


def test_a_workspace_that_cannot_publish_parks_the_saga_all_the_same() -> None:
    good, bad = begin(times=2)
    world.plan["workspace:moved"] = raise_for(bad)
    drive()
    assert saga(good).status == Status.COMPLETED
    assert saga(bad).status == Status.NEEDS_ATTENTION
    assert events(bad) == []
    assert history(bad) == ["seat DONE", "hotel DONE", "card DONE", "ticket PARKED"]
    assert effects(bad) == ["seat"]


def test_a_group_that_fails_once_is_run_again_one_by_one_and_nothing_is_doubled() -> None:
    trips = begin(times=4)
    hiccup = iter([ZeroDivisionError("once")])

    def once(ticket: Any) -> None:
        error = next(hiccup, None)
        if error:
            raise error

    world.plan["seat"] = once
    drive()
    for trip in trips:
        assert history(trip) == BOOKED
        assert effects(trip) == ["seat", "ticket"]
    assert not SagaInstance.objects.filter(status=Status.NEEDS_ATTENTION).exists()


def test_parking_is_told_in_the_transaction_that_parks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies right after it cannot leave a parked saga of which nobody was told."""
    trip = begin_one()
    world.plan["seat"] = raise_for(trip)
    seen: list[tuple[str, list[str]]] = []
    original = runner._tell

    def look(row: Any, **kwargs: Any) -> None:
        original(row, **kwargs)
        assert connection.in_atomic_block
        seen.append((saga(trip).status, events(trip)))

    monkeypatch.setattr(runner, "_tell", look)
    drive()
    assert seen == [("NEEDS_ATTENTION", ["NEEDS_ATTENTION"])]


def test_a_saga_is_not_parked_from_under_another_worker(monkeypatch: pytest.MonkeyPatch, beside: Beside) -> None:
    """From the moment that a saga fails alone until it is parked, nobody else gets hold of it."""
    trip = begin_one()
    failures = iter([ZeroDivisionError("in the group"), ZeroDivisionError("alone")])

    def plan(ticket: Any) -> None:
        error = next(failures, None)
        if error:
            raise error

    world.plan["seat"] = plan
    original = runner.park

    def park(saga_id: UUID, error: BaseException) -> None:
        assert beside(drive).result(timeout=60) == 0
        original(saga_id, error)

    monkeypatch.setattr(runner, "park", park)
    drive()
    assert world.times("seat") == 2
    assert world.times("hotel") == 0
    assert saga(trip).attention == "ZeroDivisionError: alone"
    assert history(trip) == ["seat PARKED"]


def test_what_the_database_notices_at_the_commit_only_parks_that_saga_too() -> None:
    """Django's foreign keys are checked at the commit: the handler has long returned when that fails."""
    trips = begin(times=3)

    def orphan(ticket: Any) -> None:
        if ticket.id == trips[1]:
            run_sql(
                "INSERT INTO sagas_sagasignal (saga_id, name, signal_id, payload, received_at, disposition)"
                " VALUES (%s, 'x', 'x', '{}', now(), '')",
                [new_id()],
            )

    world.plan["seat"] = orphan
    drive()
    assert [saga(trip).status for trip in trips] == [Status.COMPLETED, Status.NEEDS_ATTENTION, Status.COMPLETED]
    assert saga(trips[1]).attention.startswith("IntegrityError")
    assert run_sql("SELECT count(*) FROM sagas_sagasignal") == [(0,)]


def test_an_error_with_a_text_that_no_column_takes_still_parks() -> None:
    good, bad = begin(times=2)
    world.plan["seat"] = raise_for(bad, error=ValueError("a NUL \x00 and half a pair \ud83d"))
    drive()
    assert saga(good).status == Status.COMPLETED
    assert saga(bad).status == Status.NEEDS_ATTENTION
    assert saga(bad).attention == "ValueError: a NUL \\x00 and half a pair \\ud83d"


def test_what_the_last_undo_has_answered_is_kept_whatever_the_closing_raises() -> None:
    one = begin_one(Slowly)
    world.plan["dial"] = Unknown("The line went dead.")
    world.plan["closing"] = raise_for(one)
    drive()
    assert history(one) == ["dial UNKNOWN", "undo dial DONE", "undo  PARKED"]
    assert (saga(one).status, saga(one).undone, saga(one).current_step) == (Status.NEEDS_ATTENTION, 1, "")

    del world.plan["closing"]
    attention.retry(one, actor="anna", reason="repaired", now=database_now())
    drive()
    assert (saga(one).status, world.times("hang up")) == (Status.COMPENSATED, 1)


def test_an_answer_that_cannot_be_written_parks_that_saga_only() -> None:
    good, bad = begin(times=2)
    world.plan["hotel"] = lambda ticket: Done({"room": object()}) if ticket.id == bad else None
    drive()
    assert saga(good).status == Status.COMPLETED
    assert saga(bad).status == Status.NEEDS_ATTENTION
    assert saga(bad).attention == "TypeError: object can't be written as JSON"


def test_what_a_later_version_has_more_to_say_of_a_saga_stops_nobody() -> None:
    """While that is being deployed, or taken back, its sagas are claimed by this one too, together with all others."""
    theirs, ours = begin(times=2)
    change(theirs, cause={"kind": "failed", "code": "x", "message": "", "data": {}, "severity": 3})
    drive()
    assert [saga(trip).status for trip in (theirs, ours)] == [Status.COMPLETED] * 2


def test_parking_what_is_over_changes_nothing() -> None:
    trip = begin_one()
    drive()
    runner.park(trip, ZeroDivisionError("too late"))
    assert saga(trip).status == Status.COMPLETED
    assert history(trip) == BOOKED


def test_a_handler_whose_query_takes_too_long_is_that_sagas_trouble() -> None:
    trips = begin(times=3)

    def dawdle(ticket: Any) -> None:
        if ticket.id == trips[0]:
            run_sql("SET LOCAL statement_timeout = '20ms'")
            run_sql("SELECT pg_sleep(5)")

    world.plan["seat"] = dawdle
    drive()
    assert [saga(trip).status for trip in trips] == [Status.NEEDS_ATTENTION, Status.COMPLETED, Status.COMPLETED]
    assert saga(trips[0]).attention.startswith("OperationalError: canceling statement due to statement timeout")


def test_a_handler_that_misuses_its_cursor_is_that_sagas_trouble() -> None:
    good, bad = begin(times=2)

    def use_it_closed(ticket: Any) -> None:
        if ticket.id == bad:
            with connection.cursor() as cursor:
                pass
            cursor.execute("SELECT 1")

    world.plan["seat"] = use_it_closed
    drive()
    assert saga(good).status == Status.COMPLETED
    assert saga(bad).attention == "InterfaceError: the cursor is closed"


# --- the database in trouble ------------------------------------------------------------------------------------------


def cut_the_line(ticket: Any) -> None:
    run_sql("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.mark.core
def test_a_lost_connection_loses_nothing_and_parks_nobody() -> None:
    trips = begin(times=3)
    world.plan["seat"] = cut_the_line
    with pytest.raises(OperationalError):
        drive()
    connection.close()
    assert [saga(trip).status for trip in trips] == [Status.STARTED] * 3
    world.plan.clear()
    drive()
    for trip in trips:
        assert history(trip) == BOOKED
        assert effects(trip) == ["seat", "ticket"]


def test_a_connection_lost_while_recording_answers_asks_again_by_the_same_key() -> None:
    trips = begin(times=3)
    world.plan["hotel:record"] = cut_the_line
    with pytest.raises(OperationalError):
        drive()
    connection.close()
    assert all(saga(trip).in_flight for trip in trips)
    world.plan.clear()
    assert drive() == 0  # their leases run
    make_due(*trips)
    drive()
    for trip in trips:
        assert history(trip) == ["seat DONE", "hotel UNKNOWN", "hotel DONE", "card DONE", "ticket DONE"]
        assert world.times("hotel", trip) == 2
    assert len(world.booked) == 6  # by key: nothing is booked twice


def test_the_victim_of_a_deadlock_is_run_again(beside: Beside) -> None:
    """Two workers lock two flights in opposite order. PostgreSQL kills one transaction; both sagas get their seats."""
    run_sql("INSERT INTO trips_flight VALUES ('A', 10), ('B', 10)")
    first, second = begin(times=2)
    both_hold_one = threading.Barrier(2)
    met: set[UUID] = set()

    def embrace(ticket: Any) -> None:
        flights = ["A", "B"] if ticket.id == first else ["B", "A"]
        for flight in flights:
            run_sql("SELECT 1 FROM trips_flight WHERE flight = %s FOR UPDATE", [flight])
            if ticket.id not in met:
                met.add(ticket.id)
                both_hold_one.wait(60)

    world.plan["seat"] = embrace
    change(second, due_at=database_now() + timedelta(hours=1))
    one = beside(drive)
    until_true(lambda: world.times("seat", first) == 1)
    make_due(second)
    other = beside(drive)
    one.result()
    other.result()
    assert world.times("seat") == 3
    for trip in (first, second):
        assert history(trip) == BOOKED
        assert effects(trip) == ["seat", "ticket"]


# --- leases and late answers ------------------------------------------------------------------------------------------


@pytest.mark.core
def test_the_answer_of_a_worker_that_was_overtaken_is_discarded(beside: Beside) -> None:
    trip = begin_one()
    gate = Gate(Done({"hotel": "from the one thought dead"}))
    world.plan["hotel"] = lambda ticket: gate() if world.times("hotel") == 1 else None
    thought_dead = beside(drive)
    gate.await_visitor()
    make_due(trip)  # its lease has ended
    drive()  # another worker takes over, and is done
    assert saga(trip).status == Status.COMPLETED
    before = (history(trip), effects(trip), saga(trip).context, saga(trip).fence, events(trip))
    gate.open()
    thought_dead.result()
    assert (history(trip), effects(trip), saga(trip).context, saga(trip).fence, events(trip)) == before
    assert before[0] == ["seat DONE", "hotel UNKNOWN", "hotel DONE", "card DONE", "ticket DONE"]
    assert before[1] == ["seat", "ticket"]
    assert world.times("card") == 1
    assert saga(trip).context["hotel"] == f"{trip}:hotel"


def test_an_answer_that_waits_behind_its_successor_is_discarded(beside: Beside) -> None:
    """The late answer queues for the row's lock while the other worker is taking the saga over."""
    trip = begin_one()
    gate = Gate()
    world.plan["hotel"] = gate
    late = beside(drive)
    gate.await_visitor()
    make_due(trip)
    with transaction.atomic():
        (run,), now = rows.claim(QUEUES, 10)
        assert now is not None
        step = Pass(now=now, queues=frozenset(QUEUES))
        step.claimed([run])
        step.write()
        gate.open()
        until_true(lambda: waiting_for_locks() == 1)
    late.result()
    row = saga(trip)
    assert (row.in_flight, row.fence, row.attempt, row.current_step) == (True, 2, 2, "hotel")
    assert history(trip) == ["seat DONE", "hotel UNKNOWN"]
    assert world.times("card:prepare") == 0


def test_a_late_answer_to_a_call_that_is_being_undone_changes_nothing(beside: Beside) -> None:
    """The action lands after its undo: by key, the world outside keeps it cancelled."""
    trip = begin_one()
    gate = Gate()
    world.plan["hotel"] = lambda ticket: gate() if world.times("hotel") == 1 else Unknown("no line")
    late = beside(drive)
    gate.await_visitor()
    make_due(trip)
    drive()
    assert saga(trip).status == Status.COMPENSATED
    told = history(trip)
    gate.open()
    late.result()
    assert history(trip) == told
    assert saga(trip).status == Status.COMPENSATED
    assert world.booked == {f"{trip}:hotel": "cancelled"}


def as_a_worker_s_process() -> None:
    """Have this thread a connection such as the processes of Celery's workers have."""
    _wait_for_no_lock_for_ever()
    try:
        connection.close()
        connection.ensure_connection()
    finally:
        connection_created.disconnect(_be_patient_only_so_long)


@pytest.mark.parametrize(
    "limit",
    [
        as_a_worker_s_process,
        lambda: run_sql("SET lock_timeout = '1s'"),
        lambda: run_sql("SET statement_timeout = '2s'"),
    ],
    ids=["ours", "lock_timeout", "statement_timeout"],
)
def test_an_answer_whose_row_is_not_to_be_had_in_time_keeps_no_other_from_being_recorded(
    beside: Beside, settings: Any, limit: Callable[[], Any]
) -> None:
    """Somebody stands in a transaction with one saga's row, longer than we or the database's people wait for that."""
    settings.SAGA_STEP_TIMEOUT_SECONDS = 2.0  # of each statement, those of the others too
    trips = begin(times=3)
    held, *others = trips
    gate = Gate()
    world.plan["hotel"] = gate

    def impatient() -> int:
        limit()
        return drive()

    driving = beside(impatient)
    gate.await_visitor()
    with transaction.atomic():
        SagaInstance.objects.select_for_update().get(pk=held)
        gate.open()
        driving.result(timeout=60)
    for trip in others:
        assert (history(trip), world.times("hotel", trip)) == (BOOKED, 1)
    assert (saga(held).attention, saga(held).in_flight, history(held)) == ("", True, ["seat DONE"])
    make_due(held)  # its lease has ended
    drive()
    assert history(held) == ["seat DONE", "hotel UNKNOWN", *BOOKED[1:]]
    assert world.booked[f"{held}:hotel"] == "booked"  # by the same key


def test_leases_are_renewed_also_of_calls_that_still_queue_for_a_thread(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Well before they end: a little more than a third of the time has passed."""
    lease = timedelta(seconds=600)
    settings.SAGA_CALL_CONCURRENCY = 2
    trips = begin(times=6)
    gate = Gate()
    world.plan["hotel"] = gate
    one = worker()
    try:
        assert one._claim(10) == 6
        gate.await_visitor()
        SagaInstance.objects.update(due_at=F("due_at") - lease * 0.9)
        almost_over = max(saga(trip).due_at for trip in trips)
        with monkeypatch.context() as clock:
            clock.setattr(Airborne, "overdue", False)  # it is the lease that matters
            assert not one._settle(0)
            assert max(saga(trip).due_at for trip in trips) == almost_over  # not at every look
            clock.setattr(runner, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 0.34 * 600))
            assert not one._settle(0)
        assert min(saga(trip).due_at for trip in trips) > almost_over + lease * 0.5
        assert drive() == 0  # nobody can overtake it
        until_true(lambda: world.times("hotel") == 2)
    finally:
        gate.open()
    assert one.drive(until=time.monotonic() + 60)
    for trip in trips:
        assert history(trip) == BOOKED
        assert world.times("hotel", trip) == 1
        assert saga(trip).fence == 2


def test_a_call_whose_lease_ended_while_it_queued_is_not_made() -> None:
    trip = begin_one()
    (flight,) = take_off().flights
    assert Airborne(flight, lease_ends=time.monotonic() - 0.001).send() is NOT_MADE
    assert world.times("hotel") == 0
    assert Airborne(flight, lease_ends=time.monotonic() + 1000).send().data == {"hotel": f"{trip}:hotel"}


def test_a_call_that_was_not_made_spends_no_attempt_of_the_policy(settings: Any) -> None:
    """A worker that is late every time is our trouble: the saga must not be undone for it."""
    settings.SAGA_LEASE_SECONDS = 0.0
    trip = begin_one()
    late = worker()
    for _ in range(3):
        assert late._claim(10) == 1
        until_true(lambda: late._settle(0.1) or not late._in_the_air)
    assert world.times("hotel") == 0
    assert (saga(trip).undoing, saga(trip).attempt) == (False, 3)
    settings.SAGA_LEASE_SECONDS = 600.0
    drive()
    assert saga(trip).status == Status.COMPLETED
    assert world.times("hotel") == 1


def test_our_idea_of_a_lease_ends_before_the_databases(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """The steady clock is read before the database looks at its own."""
    trip = begin_one()
    read: list[float] = []
    claim = rows.claim

    def slow_claim(*arguments: Any) -> Any:
        answer = claim(*arguments)
        read.append(time.monotonic())
        return answer

    monkeypatch.setattr(rows, "claim", slow_claim)
    ends: list[float] = []
    send = Airborne.send

    def note(self: Airborne) -> Any:
        ends.append(self.lease_ends)
        return send(self)

    monkeypatch.setattr(Airborne, "send", note)
    drive()
    assert saga(trip).status == Status.COMPLETED
    assert ends[0] < read[0] + settings.SAGA_LEASE_SECONDS


# --- calls ------------------------------------------------------------------------------------------------------------


def test_no_transaction_is_open_and_no_row_locked_during_a_call() -> None:
    trip = begin_one()
    seen: list[str] = []

    def nobody_is_in_a_transaction() -> bool:
        found = run_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in %%'"
        )
        return found == [(0,)]

    def look(ticket: Any) -> None:
        try:
            with transaction.atomic():
                run_sql("SELECT 1 FROM sagas_sagainstance WHERE id = %s FOR UPDATE NOWAIT", [trip])
            until_true(nobody_is_in_a_transaction)  # its worker goes on claiming, now and then
            seen.append("free")
        finally:
            connection.close()

    world.plan["hotel"] = world.plan["card"] = look
    drive()
    assert seen == ["free", "free"]
    assert saga(trip).status == Status.COMPLETED


def test_calls_run_side_by_side_but_not_more_than_allowed(settings: Any) -> None:
    settings.SAGA_CALL_CONCURRENCY = 3
    trips = begin(times=7)
    together = threading.Barrier(3)  # nobody goes on before three are there at once
    inside, most, lock = [0], [0], threading.Lock()
    tail = threading.Event()

    def meet(ticket: Any) -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            number = world.times("hotel")
        if number <= 6:
            together.wait(60)
        tail.set()
        with lock:
            inside[0] -= 1

    world.plan["hotel"] = meet
    drive()
    assert most[0] == 3
    assert [history(trip) for trip in trips] == [BOOKED] * 7


def test_a_call_that_raises_is_an_unknown() -> None:
    answers = iter([ConnectionResetError("by peer"), None])

    def plan(ticket: Any) -> None:
        error = next(answers)
        if error:
            raise error

    world.plan["hotel"] = plan
    trip = begin_one()
    drive()
    assert history(trip) == ["seat DONE", "hotel UNKNOWN", *BOOKED[1:]]
    unknown = SagaHistory.objects.get(saga_id=trip, status="UNKNOWN")
    assert unknown.message == "ConnectionResetError: by peer"


def test_whatever_a_call_raises_can_be_written_down() -> None:
    errors = iter([ValueError("a NUL \x00 and half a pair \ud83d")])

    def plan(ticket: Any) -> None:
        for error in errors:
            raise error

    world.plan["hotel"] = plan
    trip = begin_one()
    drive()
    assert history(trip) == ["seat DONE", "hotel UNKNOWN", *BOOKED[1:]]
    unknown = SagaHistory.objects.get(saga_id=trip, status="UNKNOWN")
    assert unknown.message == "ValueError: a NUL \\x00 and half a pair \\ud83d"


def test_a_call_for_which_the_system_has_no_thread_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will ever make it: so its lease must end, and somebody else may ask again."""
    trip = begin_one()
    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", no_more_threads)
        drive()
    assert (history(trip), saga(trip).in_flight, world.times("hotel")) == (["seat DONE"], True, 0)
    make_due(trip)
    drive()
    assert history(trip) == ["seat DONE", "hotel UNKNOWN", *BOOKED[1:]]


def test_a_call_that_does_not_answer_in_time_is_an_unknown_and_its_late_answer_is_ignored() -> None:
    gate = Gate(Done({"ask": "much later"}))
    world.plan["ask"] = gate
    one = begin_one(Impatient)
    drive()
    row = saga(one)
    assert row.status == Status.NEEDS_ATTENTION
    assert row.attention == "ask was tried once: no answer within 0.2 s"
    gate.open()
    assert history(one) == ["ask UNKNOWN"]
    assert saga(one).context == {}


def test_a_call_that_is_given_up_still_goes_by_the_ticket_it_was_made_with(beside: Beside) -> None:
    """It may yet reach the other side: then under the key of its own step, and not under that of where its saga is."""
    one = begin_one(SoonGivenUp)
    gate = Gate()
    keys = []

    def slow(ticket: Any) -> None:
        gate(ticket)
        keys.append((ticket.key, ticket.attempt, ticket.undoing))

    world.plan["dial"] = slow
    try:
        beside(drive).result(timeout=60)
        assert history(one) == ["pick up DONE", "dial UNKNOWN", "undo pick up DONE"]
        assert saga(one).status == Status.COMPENSATED
    finally:
        gate.open()
    until_true(lambda: keys)
    assert keys == [(f"{one}:dial", 1, False)]


def test_calls_that_hang_do_not_keep_others_from_being_made(settings: Any, beside: Beside) -> None:
    """All threads hang in calls that never come back; those who queue behind them are served all the same."""
    settings.SAGA_CALL_CONCURRENCY = 2
    hanging = begin(Impatient, times=4)
    first = saga(hanging[0]).due_at - timedelta(minutes=1)
    SagaInstance.objects.filter(pk__in=hanging).update(due_at=first)  # and so they come first in their queue
    gate = Gate()
    world.plan["ask"] = lambda ticket: gate() if ticket.id in hanging else None
    try:
        others = begin(Patient, times=3)
        beside(drive).result(timeout=60)
        assert [saga(one).status for one in others] == [Status.COMPLETED] * 3
        assert [saga(one).status for one in hanging] == [Status.NEEDS_ATTENTION] * 4
        assert world.times("ask") == 7
    finally:
        gate.open()


# --- the shift --------------------------------------------------------------------------------------------------------


def test_a_drive_never_ends_with_calls_in_flight(beside: Beside) -> None:
    trip, later = begin(times=2)
    change(later, due_at=database_now() + timedelta(hours=1))
    gate, shift = Gate(), Shift()
    world.plan["hotel"] = gate
    driving = beside(worker().drive, until=shift)
    gate.await_visitor()
    shift.end()
    time.sleep(0.2)
    assert not driving.done()
    make_due(later)
    gate.open()
    assert driving.result() is False  # the time was up: something may be left
    assert saga(trip).status == Status.COMPLETED


def test_one_slow_call_holds_up_nobody_else_also_after_the_shift(
    monkeypatch: pytest.MonkeyPatch, beside: Beside
) -> None:
    monkeypatch.setattr(runner, "SLOW_SECONDS", 0.05)
    monkeypatch.setattr(runner, "OVERTIME_SECONDS", 600.0)
    slow = begin_one(Patient)
    gate, shift = Gate(), Shift()
    world.plan["ask"] = lambda ticket: gate() if ticket.id == slow else None
    driving = beside(worker().drive, until=shift)
    gate.await_visitor()
    shift.end()
    for _ in range(3):
        other = begin_one()
        until_true(lambda other=other: saga(other).status == Status.COMPLETED)
    assert not driving.done()
    assert saga(slow).in_flight
    gate.open()
    assert driving.result() is False
    assert saga(slow).status == Status.COMPLETED


def test_calls_that_queue_for_a_thread_hold_up_nobody_else_either(
    monkeypatch: pytest.MonkeyPatch, settings: Any, beside: Beside
) -> None:
    """None of them takes long, but the worker has to wait for the last of them anyway."""
    monkeypatch.setattr(runner, "SLOW_SECONDS", 1000.0)
    monkeypatch.setattr(runner, "OVERTIME_SECONDS", 600.0)
    settings.SAGA_CALL_CONCURRENCY = 1
    gate, shift, one = Gate(), Shift(), worker()
    world.plan["hotel"] = gate
    begin(times=2)
    driving = beside(one.drive, until=shift)
    gate.await_visitor()
    until_true(lambda: len(one._in_the_air) == 2)
    for queueing in [airborne for airborne in one._in_the_air if airborne.started is None]:
        queueing.launched -= 2000.0  # long ago; it is to be made yet
    shift.end()
    other = begin_one()
    until_true(lambda: saga(other).in_flight)
    gate.open()
    driving.result()
    assert saga(other).status == Status.COMPLETED


def test_a_slow_call_does_not_prolong_the_shift_for_ever(monkeypatch: pytest.MonkeyPatch, beside: Beside) -> None:
    monkeypatch.setattr(runner, "SLOW_SECONDS", 0.01)
    monkeypatch.setattr(runner, "OVERTIME_SECONDS", 0.0)
    slow = begin_one()
    gate, shift, one = Gate(), Shift(), worker()
    world.plan["hotel"] = gate
    rounds: list[float] = []
    settle = one._settle
    monkeypatch.setattr(one, "_settle", lambda patience: rounds.append(patience) or settle(patience))
    driving = beside(one.drive, until=shift)
    gate.await_visitor()
    shift.end()
    so_far = len(rounds)
    until_true(lambda: len(rounds) >= so_far + 2)  # it has looked at the clock since
    other = begin_one()
    so_far = len(rounds)
    until_true(lambda: len(rounds) >= so_far + 2)
    gate.open()
    assert driving.result() is False
    assert saga(slow).status == Status.COMPLETED
    assert saga(other).status == Status.STARTED


def test_a_full_batch_calls_in_another_worker(settings: Any) -> None:
    settings.SAGA_BATCH_SIZE = 2
    called: list[str] = []
    begin(times=5)
    one = worker(on_full=lambda: called.append("full"))
    assert one.drive(until=time.monotonic() + 60)
    assert len(called) >= 1
    assert one.moved == 5 + 10  # five claims; five hotels and five cards answered
    called.clear()
    begin_one()
    one.drive(until=time.monotonic() + 60)
    assert called == []


def test_no_queue_waits_behind_another_for_ever(settings: Any) -> None:
    settings.SAGA_BATCH_SIZE = 2
    begin(SplitTrip, times=6)  # of "inventory"
    begin(times=6)  # of "orders"
    one = worker(["inventory", "orders"])
    seats: list[str] = []
    world.plan["seat"] = lambda ticket: seats.append(saga(ticket.id).name)
    for _ in range(4):
        one._claim(2)
    assert sorted(seats) == ["book_trip"] * 4 + ["split_trip"] * 4
    assert one.drive(until=time.monotonic() + 60)  # what it has begun is not left to the next test


def test_an_empty_drive_costs_one_claim(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(4):  # begin, claim, what is closed, commit
        drive()


# --- together ---------------------------------------------------------------------------------------------------------


def test_four_workers_share_the_work_and_do_nothing_twice(settings: Any, beside: Beside) -> None:
    settings.SAGA_BATCH_SIZE = 7
    run_sql("INSERT INTO trips_flight VALUES ('XY1', 30)")
    trips = begin(times=60, flight="XY1")
    world.plan["card"] = lambda ticket: Refused("declined") if ticket.id.int % 3 == 0 else None
    for one in [beside(drive) for _ in range(4)]:
        one.result(timeout=90)
    drive()  # what was locked by somebody when the last one looked
    ended = {trip: saga(trip) for trip in trips}
    flying = [trip for trip, row in ended.items() if row.status == Status.COMPLETED]
    declined = [trip for trip, row in ended.items() if row.cause and row.cause["code"] == "declined"]
    full = [trip for trip, row in ended.items() if row.cause and row.cause["code"] == "flight_full"]
    assert len(flying) + len(declined) + len(full) == 60
    assert run_sql("SELECT free FROM trips_flight") == [(30 - len(flying),)]
    for trip in flying:
        assert history(trip) == BOOKED
        assert events(trip) == ["COMPLETED"]
    for trip in declined:
        assert history(trip) == ["seat DONE", "hotel DONE", "card REFUSED", "undo hotel DONE", "undo seat DONE"]
        assert effects(trip) == ["seat", "seat given back", "closed as declined"]
    for trip in full:
        assert history(trip) == ["seat REFUSED"]
    assert {world.times("hotel", trip) for trip in flying + declined} <= {1}


def test_a_definition_of_one_step_alone_is_a_saga_too() -> None:
    class Errand(Saga):
        name, version = "lone_errand", 1
        steps = (Step("only", do=lambda tickets, now: [Done() for _ in tickets]),)

    one = begin_one(Errand)
    assert drive() == 1
    assert (saga(one).status, history(one)) == (Status.COMPLETED, ["only DONE"])
