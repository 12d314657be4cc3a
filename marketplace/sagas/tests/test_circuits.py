"""Breakers: what opens one, that exactly one call tries, what closes it, and what becomes of those who stand by."""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction

from marketplace.kernel.clock import database_now
from marketplace.sagas import circuits, standby, tasks
from marketplace.sagas.circuits import Report
from marketplace.sagas.definition import Call, Cancel, RetryPolicy, Saga, Step
from marketplace.sagas.errors import NoSuchCircuit
from marketplace.sagas.models import Circuit, SagaHistory, SagaInstance
from marketplace.sagas.outcomes import Done, Refused, Unavailable, Unknown, each
from marketplace.sagas.services import signal
from marketplace.sagas.tests.driving import (
    begin,
    begin_one,
    change,
    committing,
    drive,
    effects,
    history,
    land,
    make_due,
    saga,
    take_off,
    until_true,
    waiting_for_locks,
    worker,
)
from marketplace.sagas.tests.trip import (
    QUICKLY,
    Agency,
    Gate,
    Provider,
    close,
    give_seat_back,
    run_sql,
    take_seat,
    world,
)
from marketplace.sagas.ticket import Ticket

Beside = Callable[..., Any]
AWAY = Unavailable("Nobody answers.")


class Line(Provider):
    """A provider behind a breaker."""

    def circuits(self, tickets: Sequence[Ticket]) -> Sequence[str]:
        return [ticket.context.get("line", "exchange") for ticket in tickets]


class CallHome(Saga):
    """A seat is taken; home is told by telephone; that can be taken back by telephone too."""

    name, version = "call_home", 1
    workspace = Agency
    steps = (
        Step("seat", do=each(take_seat), undo=each(give_seat_back), retry=QUICKLY),
        Call("ring", do=Line("ring"), undo=Line("ring:undo", undoes="ring"), retry=QUICKLY, undo_retry=QUICKLY),
        Step("thank", do=each(lambda ticket, now: world.act("thank", ticket) or Done())),
    )
    stops = {"cancel": Cancel("cancelled")}
    closing = staticmethod(each(close))


class CallThenWrite(Saga):
    """After the first call there is another, to somebody else."""

    name, version = "call_then_write", 1
    workspace = Agency
    steps = (Call("ring", do=Line("ring"), retry=QUICKLY), Call("write", do=Provider("write"), retry=QUICKLY))


@pytest.fixture(autouse=True)
def _breakers(settings: Any) -> None:
    settings.SAGA_BREAKER_FAILURES = 3
    settings.SAGA_BREAKER_WINDOW_SECONDS = 60.0
    settings.SAGA_BREAKER_PAUSE_SECONDS = 5.0
    settings.SAGA_BREAKER_LONGEST_SECONDS = 60.0
    settings.SAGA_RESUME_RATE = 50.0


def state(name: str = "exchange") -> str:
    found = Circuit.objects.filter(pk=name).first()
    return str(found.state) if found else "none"


def opened(name: str = "exchange") -> None:
    """Let the breaker be found open, and its pause not over for long."""
    now = database_now()
    Circuit.objects.create(name=name, state="OPEN", opened_at=now, probe_at=now + timedelta(hours=1), why="Away.")


def pause_is_over(name: str = "exchange") -> None:
    assert Circuit.objects.filter(pk=name, state="OPEN").update(probe_at=database_now()) == 1


def spent(saga_id: UUID) -> int:
    row = saga(saga_id)
    return row.attempt - row.forgiven


def answers(count: int, failure: str = "") -> list[Report]:
    return [Report("exchange", uuid4(), 1, failure) for _ in range(count)]


# --- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
class TestOpening:
    def test_no_row_is_written_while_all_is_well(self) -> None:
        begin(CallHome, times=3)
        drive()
        assert Circuit.objects.count() == 0

    def test_so_many_failures_in_a_row_open_it(self) -> None:
        circuits.report(answers(2, "Away."))
        assert state() == "CLOSED"
        circuits.report(answers(1, "Still away."))
        row = Circuit.objects.get()
        assert (row.state, row.failures, row.why) == ("OPEN", 3, "Still away.")
        assert row.probe_at is not None
        assert timedelta(seconds=4.5) <= row.probe_at - row.changed_at <= timedelta(seconds=5.5)

    def test_one_answer_in_between_starts_the_count_anew(self) -> None:
        circuits.report(answers(2, "Away."))
        circuits.report(answers(1))
        circuits.report(answers(2, "Away."))
        assert state() == "CLOSED"

    def test_who_answers_some_of_a_group_is_there(self) -> None:
        circuits.report([*answers(9, "Away."), *answers(1)])
        assert (state(), Circuit.objects.get().failures) == ("CLOSED", 0)

    def test_failures_far_apart_are_not_in_a_row(self, settings: Any) -> None:
        circuits.report(answers(2, "Away."))
        Circuit.objects.update(first_failed_at=database_now() - timedelta(seconds=61))
        circuits.report(answers(2, "Away."))
        assert (state(), Circuit.objects.get().failures) == ("CLOSED", 2)

    def test_a_call_nobody_took_spends_no_attempt_and_leaves_the_status_alone(self) -> None:
        world.plan["ring"] = AWAY
        [trip] = begin(CallHome)
        drive()
        row = saga(trip)
        assert (row.status, row.standby, spent(trip)) == ("IN_PROGRESS", "circuit:exchange", 0)
        assert row.due_at is not None
        assert history(trip) == ["seat DONE", "ring UNAVAILABLE"]
        for _ in range(5):  # more often than the policy has attempts
            make_due(trip)
            Circuit.objects.update(state="CLOSED", failures=0)
            drive()
        assert (saga(trip).status, spent(trip)) == ("IN_PROGRESS", 0)

    def test_a_time_out_counts_and_spends_an_attempt(self) -> None:
        world.plan["ring"] = Unknown("No answer within 10 s.")
        trips = begin(CallHome, times=3)
        land(take_off())
        assert [saga(trip).standby for trip in trips] == ["", "", ""]
        assert state() == "none"  # reported by the worker, after it has committed
        for trip in trips:
            assert spent(trip) == 1

    def test_time_outs_open_it(self) -> None:
        world.plan["ring"] = Unknown("No answer within 10 s.")
        begin(CallHome, times=3)
        drive()
        assert state() == "OPEN"

    def test_a_refusal_is_an_answer(self) -> None:
        circuits.report(answers(2, "Away."))
        world.plan["ring"] = Refused("no", "Certainly not.")
        begin(CallHome, times=4)
        drive()
        assert (state(), Circuit.objects.get().failures) == ("CLOSED", 0)

    def test_each_breaker_by_itself(self) -> None:
        opened("other")
        here, there = begin_one(CallHome), begin_one(CallHome, line="other")
        drive()
        assert saga(here).status == "COMPLETED"
        assert (saga(there).standby, world.times("ring", there)) == ("circuit:other", 0)


# --- standing by ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
class TestStandingBy:
    def test_while_it_is_open_nothing_is_sent_prepared_or_spent(self) -> None:
        opened()
        trips = begin(CallHome, times=5)
        drive()
        for trip in trips:
            row = saga(trip)
            assert (row.status, row.standby, row.attempt) == ("IN_PROGRESS", "circuit:exchange", 0)
            assert row.due_at is not None
            assert row.standby_since is not None
            assert row.due_at >= row.standby_since + timedelta(seconds=standby.RECHECK_SECONDS)
            assert history(trip) == ["seat DONE"]
        assert world.times("ring") == world.times("ring:prepare") == 0

    def test_who_looks_again_too_early_goes_on_standing_by_since_then(self) -> None:
        opened()
        trip = begin_one(CallHome)
        drive()
        since = saga(trip).standby_since
        make_due(trip)
        drive()
        row = saga(trip)
        assert (row.standby, row.standby_since, row.attempt) == ("circuit:exchange", since, 0)
        assert history(trip) == ["seat DONE"]

    def test_standing_by_does_not_count_towards_the_deadline(self) -> None:
        opened()
        trip = begin_one(CallHome)
        drive()
        hours = timedelta(hours=5)
        row = saga(trip)
        assert row.deadline_at is not None
        assert row.standby_since is not None
        change(trip, deadline_at=row.deadline_at - hours, standby_since=row.standby_since - hours)
        Circuit.objects.all().delete()
        make_due(trip)
        flown = take_off()
        deadline = saga(trip).deadline_at
        assert deadline is not None
        assert deadline >= row.deadline_at
        world.plan["ring"] = Unknown("The line went dead.")
        land(flown)  # it is not out of time: it may try again
        assert (saga(trip).status, saga(trip).undoing) == ("IN_PROGRESS", False)

    def test_its_history_says_how_long(self) -> None:
        opened()
        trip = begin_one(CallHome)
        drive()
        change(trip, standby_since=database_now() - timedelta(seconds=90))
        Circuit.objects.all().delete()
        make_due(trip)
        drive()
        assert history(trip) == ["seat DONE", "ring STANDBY", "ring DONE", "thank DONE"]
        row = SagaHistory.objects.get(saga_id=trip, status="STANDBY")
        assert 90_000 <= row.duration_ms < 180_000
        assert (saga(trip).standby, saga(trip).standby_since) == ("", None)

    def test_a_cancel_ends_it_and_nothing_is_called(self) -> None:
        opened()
        trip = begin_one(CallHome)
        drive()
        assert signal(trip, "cancel", signal_id="1").accepted
        drive()
        assert (saga(trip).status, saga(trip).standby) == ("COMPENSATED", "")
        assert history(trip) == ["seat DONE", "ring STOPPED", "ring STANDBY", "undo seat DONE"]
        assert world.times("ring") == world.times("ring:undo") == 0

    def test_an_undo_stands_by_too_and_is_not_parked(self) -> None:
        world.plan["thank"] = Refused("rude", "No thanks.")
        opened()
        trip = begin_one(CallHome, line="mended")
        drive_until_undo(trip)
        row = saga(trip)
        assert (row.status, row.standby, row.current_step, spent(trip)) == (
            "COMPENSATING", "circuit:exchange", "ring", 0,
        )  # fmt: skip
        assert effects(trip) == ["seat"]
        Circuit.objects.all().delete()
        make_due(trip)
        drive()
        assert saga(trip).status == "COMPENSATED"
        assert history(trip)[-3:] == ["undo ring STANDBY", "undo ring DONE", "undo seat DONE"]

    def test_a_call_that_found_nobody_for_long_is_made_and_not_only_looked_up(self) -> None:
        class Forgetful(Line):
            def probe(self, request: Any) -> Any:
                raise AssertionError("nothing was ever sent, so there is nothing to look up")

        class Call2(Saga):
            name, version = "call_later", 1
            workspace = Agency
            steps = (
                Call(
                    "ring",
                    do=Forgetful("ring"),
                    undo=Forgetful("ring:undo", undoes="ring"),
                    retry=QUICKLY,
                    undo_retry=QUICKLY,
                    key_window=timedelta(hours=1),
                ),
            )

        world.plan["ring"] = AWAY
        trip = begin_one(Call2)
        drive()
        long_ago = database_now() - timedelta(hours=30)
        SagaHistory.objects.filter(saga_id=trip).update(started_at=long_ago, finished_at=long_ago)
        change(trip, standby_since=long_ago)
        world.plan.clear()
        make_due(trip)
        drive()
        assert history(trip) == ["ring UNAVAILABLE", "ring STANDBY", "ring DONE"]

    def test_the_deadline_does_not_pass_while_it_stands_by(self) -> None:
        opened()
        trip = begin_one(CallHome)
        drive()
        row = saga(trip)
        assert row.deadline_at is not None
        assert row.standby_since is not None
        hours = timedelta(hours=5)
        change(trip, deadline_at=row.deadline_at - hours, standby_since=row.standby_since - hours)
        make_due(trip)
        drive()
        assert (saga(trip).status, saga(trip).standby) == ("IN_PROGRESS", "circuit:exchange")

    def test_a_call_without_a_breaker_is_made_again_until_the_deadline(self) -> None:
        class Shout(Saga):
            name, version = "shout", 1
            workspace = Agency
            steps = (Call("shout", do=Provider("shout"), retry=RetryPolicy(attempts=1, delay=0)),)

        world.plan["shout"] = lambda ticket: AWAY if world.times("shout") < 4 else None
        one = begin_one(Shout)
        drive()
        assert history(one) == ["shout UNAVAILABLE"] * 3 + ["shout DONE"]
        world.plan["shout"] = AWAY
        late = begin_one(Shout)
        change(late, deadline_at=database_now() - timedelta(seconds=1))
        drive()
        assert saga(late).status == "FAILED"


def drive_until_undo(trip: UUID) -> None:
    """Let it ring by a line that works; then, at the refusal, let its line be the broken one."""

    def break_line(ticket: Ticket) -> Any:
        ticket.context["line"] = "exchange"
        return Refused("rude", "No thanks.")

    world.plan["thank"] = break_line
    drive()
    assert world.times("ring", trip) == 1


# --- the one that tries -----------------------------------------------------------------------------------------------


@pytest.mark.django_db
class TestProbe:
    def test_when_the_pause_is_over_exactly_one_of_a_group_tries(self) -> None:
        opened()
        trips = begin(CallHome, times=5)
        drive()
        pause_is_over()
        make_due(*trips)
        flown = take_off()
        assert len(flown.flights) == 1
        assert state() == "HALF_OPEN"
        assert sum(saga(trip).standby == "circuit:exchange" for trip in trips) == 4

    def test_while_it_is_under_way_no_other_tries(self) -> None:
        opened()
        begin(CallHome)
        drive()
        pause_is_over()
        make_due(*SagaInstance.objects.values_list("id", flat=True))
        assert len(take_off().flights) == 1
        later = begin_one(CallHome)
        drive()
        assert (saga(later).standby, world.times("ring", later)) == ("circuit:exchange", 0)

    def test_its_answer_closes_it(self) -> None:
        opened()
        trip = begin_one(CallHome)
        drive()
        pause_is_over()
        make_due(trip)
        drive()
        row = Circuit.objects.get()
        assert (row.state, row.failures, row.probe_saga, row.opened_at) == ("CLOSED", 0, None, None)
        assert saga(trip).status == "COMPLETED"

    def test_its_failure_opens_it_for_twice_as_long_and_so_on_up_to_a_ceiling(self) -> None:
        world.plan["ring"] = AWAY
        opened()
        Circuit.objects.update(trips=0)
        trip = begin_one(CallHome)
        drive()
        for pause in (10, 20, 40, 60, 60):
            pause_is_over()
            make_due(trip)
            drive()
            row = Circuit.objects.get()
            assert row.state == "OPEN"
            assert row.probe_at is not None
            left = (row.probe_at - row.changed_at).total_seconds()
            assert 0.89 * pause < left < 1.11 * pause
        assert spent(trip) == 0
        assert saga(trip).status == "IN_PROGRESS"

    def test_an_answer_to_a_call_made_before_it_opened_does_not_close_it(self) -> None:
        early = begin_one(CallHome)
        flown = take_off()
        opened()
        land(flown)
        assert saga(early).status == "COMPLETED"
        circuits.report([Report("exchange", early, 1)])
        assert state() == "OPEN"

    def test_a_time_out_of_a_call_made_before_does_not_reopen_it(self) -> None:
        opened()
        trip = begin_one(CallHome)
        drive()
        pause_is_over()
        make_due(trip)
        take_off()
        assert state() == "HALF_OPEN"
        circuits.report([Report("exchange", uuid4(), 1, "No answer."), Report("exchange", trip, 99, "No answer.")])
        assert state() == "HALF_OPEN"

    def test_a_lost_probe_is_followed_by_another(self) -> None:
        opened()
        lost, other = begin(CallHome, times=2)
        drive()
        pause_is_over()
        make_due(lost)
        take_off()  # and its worker dies
        tasks.sweep()
        drive()
        assert world.times("ring") == 0
        Circuit.objects.update(probe_until=database_now())
        tasks.sweep()
        drive()
        assert (saga(other).status, state()) == ("COMPLETED", "CLOSED")

    def test_a_lost_probe_that_is_asked_again_may_go_on_trying(self) -> None:
        opened()
        lost = begin_one(CallHome)
        drive()
        pause_is_over()
        make_due(lost)
        take_off()
        make_due(lost)  # its lease is over
        drive()
        assert (saga(lost).status, state()) == ("COMPLETED", "CLOSED")

    def test_one_that_needs_no_call_leaves_it_to_another(self) -> None:
        opened()
        idle, other = begin(CallHome, times=2)
        drive()
        world.plan["ring:prepare"] = lambda ticket: Done() if ticket.id == idle else None
        pause_is_over()
        make_due(idle)
        drive()
        assert (saga(idle).status, state()) == ("COMPLETED", "OPEN")
        tasks.sweep()
        drive()
        assert (saga(other).status, state()) == ("COMPLETED", "CLOSED")

    @pytest.mark.parametrize("second", [None, Done()], ids=["another call", "no call needed"])
    def test_its_answer_counts_although_its_saga_goes_on_to_another_call(self, second: Any) -> None:
        class CallTwice(Saga):
            name, version = "call_twice", 1
            workspace = Agency
            steps = (
                Call("ring", do=Line("ring"), undo=Line("ring:undo", undoes="ring"), retry=QUICKLY),
                Call("again", do=Line("again"), undo=Line("again:undo", undoes="again"), retry=QUICKLY),
            )

        opened()
        one, other = begin(CallTwice, times=2)
        drive()
        world.plan["again:prepare"] = second
        pause_is_over()
        make_due(one)
        drive()
        assert (saga(one).status, state()) == ("COMPLETED", "CLOSED")
        assert (world.times("ring", one), world.times("again", one)) == (1, 0 if second else 1)
        assert history(one)[-1] == "again DONE"
        assert "again STANDBY" not in history(one)
        if saga(other).standby:
            make_due(other)
        drive()
        assert saga(other).status == "COMPLETED"

    def test_the_sweep_sends_the_longest_waiting_one_for_each_breaker(self) -> None:
        opened()
        opened("other")
        first = [begin_one(CallHome, line=line) for line in ("exchange", "other")]
        drive()
        later = begin(CallHome, times=3)
        drive()
        tasks.sweep()
        assert drive() == 0
        pause_is_over()
        pause_is_over("other")
        assert standby.send_probes() == 2
        assert standby.send_probes() == 0
        flown = take_off()
        assert {flight.run.ticket.id for flight in flown.flights} == set(first)
        assert all(saga(one).standby for one in later)

    def test_a_person_may_cut_the_pause_short(self) -> None:
        opened()
        trip = begin_one(CallHome)
        drive()
        circuits.probe_now("exchange")
        tasks.sweep()
        drive()
        assert (saga(trip).status, state()) == ("COMPLETED", "CLOSED")
        circuits.probe_now("exchange")
        with pytest.raises(NoSuchCircuit):
            circuits.probe_now("nowhere")


@committing
def test_of_many_workers_one_probes(beside: Beside) -> None:
    """Eight workers come at the same instant, each with a saga of its own in hand; one call is made."""
    opened()
    begin(CallHome, times=8)
    drive()
    pause_is_over()
    make_due(*SagaInstance.objects.values_list("id", flat=True))
    together = threading.Barrier(8)
    world.plan["ring"] = gate = Gate()

    def claim_one() -> int:
        with transaction.atomic():
            flown = None
            together.wait(60)
            flown = take_off(limit=1)
            together.wait(60)  # nobody commits before all have asked
        return len(flown.flights)

    flights = [one.result() for one in [beside(claim_one) for _ in range(8)]]
    assert sorted(flights) == [0] * 7 + [1]
    gate.open()


@committing
def test_of_many_workers_one_probes_for_real(beside: Beside) -> None:
    """Four workers drive fifty sagas against a place that is down; while one probe is out, no other goes."""
    opened()
    begin(CallHome, times=50)
    drive()
    pause_is_over()
    make_due(*SagaInstance.objects.values_list("id", flat=True))
    world.plan["ring"] = gate = Gate(AWAY)
    drives = [beside(drive) for _ in range(4)]
    gate.await_visitor()
    drive()  # a fifth finds nothing to do
    assert world.times("ring") == 1
    gate.open()
    for one in drives:
        one.result()
    assert world.times("ring") == 1
    assert state() == "OPEN"
    assert not any(row.attempt - row.forgiven for row in SagaInstance.objects.all())


# --- waking -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_who_stands_by_is_woken_at_a_limited_rate_the_longest_waiting_first(settings: Any) -> None:
    settings.SAGA_RESUME_RATE = 0.1
    opened()
    trips = []
    for _ in range(20):
        trips.append(begin_one(CallHome))
        drive()
    pause_is_over()
    make_due(trips[19])
    drive()
    assert state() == "CLOSED"
    rows = {trip: saga(trip) for trip in trips[:19]}
    now = database_now()
    due = [rows[trip].due_at - now for trip in trips[:19] if rows[trip].standby]
    assert due == sorted(due)
    assert len(due) >= 15  # a few were due at once, and driven
    assert {b - a for a, b in pairwise(due)} == {timedelta(seconds=10)}
    make_due(*(trip for trip in trips if saga(trip).standby))
    drive()
    assert {saga(trip).status for trip in trips} == {"COMPLETED"}
    assert {world.times("ring", trip) for trip in trips} == {1}


@pytest.mark.django_db
def test_the_queues_of_those_who_are_woken_are_rung_for() -> None:
    opened()
    trip = begin_one(CallHome)
    drive()
    waiting = begin_one(CallHome)
    drive()
    pause_is_over()
    make_due(trip)
    rung: list[str] = []
    one = worker(on_bell=rung.append)
    one.drive(until=10**9)
    assert "orders" in rung
    assert saga(waiting).status in {"COMPLETED", "IN_PROGRESS"}


@pytest.mark.django_db
def test_operations_sees_each_breaker_and_who_waits_for_it() -> None:
    opened()
    begin(CallHome, times=2)
    drive()
    [view] = circuits.views()
    assert (view.name, view.state, view.waiting, view.why) == ("exchange", "OPEN", 2, "Away.")
    assert view.waiting_since == SagaInstance.objects.order_by("standby_since").values_list("standby_since").first()[0]


@committing
def test_a_report_that_meets_a_deadlock_is_made_again(
    beside: Beside, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it may reach whoever reports: what it has just committed would be taken for rolled back."""
    settings.SAGA_BREAKER_FAILURES = 1
    probe, waits = begin_one(CallHome), begin_one(CallHome)
    now = database_now()
    change(waits, standby=standby.circuit("exchange"), standby_since=now)
    Circuit.objects.create(
        name="exchange", state="HALF_OPEN", opened_at=now, probe_saga=probe, probe_fence=1, probe_until=now
    )
    locked, may_go_on = threading.Event(), threading.Event()
    woken: list[str] = []
    wake = standby.wake

    def the_other_way_round() -> None:
        with transaction.atomic():
            run_sql("SET LOCAL deadlock_timeout = '10min'")  # it is the other one that gives way
            SagaInstance.objects.select_for_update().get(pk=waits)
            locked.set()
            assert may_go_on.wait(60)
            Circuit.objects.select_for_update().get(pk="exchange")

    def wake_when_the_other_waits(reason: str) -> set[str]:
        """So it is the report that closes the circle, and finds out."""
        woken.append(reason)
        may_go_on.set()
        if len(woken) == 1:
            until_true(lambda: waiting_for_locks() == 1)
        return wake(reason)

    monkeypatch.setattr(standby, "wake", wake_when_the_other_waits)
    other = beside(the_other_way_round)
    assert locked.wait(60)
    assert circuits.report([Report("exchange", probe, 1)]) == {saga(waits).queue}
    other.result(60)
    assert (state(), len(woken)) == ("CLOSED", 2)


@committing
def test_no_call_waits_until_another_is_reported(beside: Beside) -> None:
    one = begin_one(CallThenWrite)
    Circuit.objects.create(name="exchange", failures=1, first_failed_at=database_now())
    with transaction.atomic():
        Circuit.objects.select_for_update().get(pk="exchange")
        driving = beside(drive)
        until_true(lambda: waiting_for_locks() == 1)
        until_true(lambda: world.times("write", one) == 1)
    driving.result(60)
    assert (saga(one).status, Circuit.objects.get().failures) == ("COMPLETED", 0)


@committing
def test_a_report_that_gets_no_lock_in_time_is_lost_and_nothing_else_is(beside: Beside) -> None:
    """Whoever reports has calls to make yet, whose intents are committed."""
    Circuit.objects.create(name="exchange")

    def impatient() -> set[str]:
        run_sql("SET lock_timeout = '100ms'")
        return circuits.report([Report("exchange", uuid4(), 1, "Away.")])

    with transaction.atomic():
        Circuit.objects.select_for_update().get(pk="exchange")
        assert beside(impatient).result(60) == set()
    assert Circuit.objects.get().failures == 0
