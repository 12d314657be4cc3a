"""The deadline of a whole saga is acted on when it passes, by the database's clock and by the policy of its step."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.db.models import F

from marketplace.kernel.clock import database_now
from marketplace.sagas import attention, services, timeouts
from marketplace.sagas.definition import Call, RetryPolicy, Saga, Step, Workspace
from marketplace.sagas.models import SagaHistory, Status
from marketplace.sagas.outcomes import Done, Refused, Retry, Unknown, each
from marketplace.sagas.tests.driving import (
    begin_one,
    carry_on,
    change,
    committing,
    dispositions,
    drive,
    effects,
    events,
    history,
    land,
    make_due,
    one_round,
    saga,
    take_off,
    worker,
)
from marketplace.sagas.tests.trip import (
    NOT_KNOWN,
    BookTrip,
    Provider,
    SendPostcard,
    effect,
    give_seat_back,
    run_sql,
    take_seat,
    world,
)
from marketplace.sagas.ticket import Ticket

pytestmark = pytest.mark.django_db

LATER = Retry("busy", timedelta(seconds=100))


class Relay(Saga):
    """Slow from house to house: each step has workers of its own."""

    name, version = "relay_race", 1
    workspace = BookTrip.workspace
    steps = (
        Step("seat", do=each(take_seat), undo=each(give_seat_back), queue="inventory"),
        Step(
            "stamp", do=each(lambda t, now: world.act("stamp", t) or Done()), queue="payments",
            retry=RetryPolicy(spent="compensate", code="too_slow", message="It took too long."),
        ),
        Step("thank", do=each(lambda t, now: world.act("thank", t) or Done()), queue="orders"),
    )  # fmt: skip


class Careful(Saga):
    """A call that a person is asked about when it can't be made."""

    name, version = "careful_call", 1
    workspace = BookTrip.workspace
    steps = (
        Step("seat", do=each(take_seat), undo=each(give_seat_back)),
        Call("hotel", do=Provider("hotel"), undo=Provider("hotel:undo", undoes="hotel"),
             retry=RetryPolicy(attempts=3, delay=0, spent="park")),
    )  # fmt: skip


def book(ticket: Any, *, now: Any) -> Done:
    """Write into a table that somebody else may have locked."""
    world.act("book", ticket)
    if ticket.context.get("slow"):
        run_sql("SELECT pg_sleep(%s)", [ticket.context["slow"]])
    effect(ticket, "booked")
    return Done()


class Hasty(Saga):
    """Its second step is given a second for each of its queries: enough for one that does not hang."""

    name, version = "hasty", 1
    workspace = BookTrip.workspace
    steps = (
        Step("seat", do=each(take_seat), undo=each(give_seat_back)),
        Step("book", do=each(book), timeout=1.0,
             retry=RetryPolicy(attempts=2, delay=0, spent="compensate", code="stuck")),
    )  # fmt: skip


@pytest.fixture
def patience(settings: Any, monkeypatch: pytest.MonkeyPatch) -> float:
    """Each step is given a fifth of a second, and only who hangs (`hang`) is kept to it.

    The server would keep all others to it, too, and on a busy machine a query that does not hang may take as long. That
    the server is told is seen elsewhere.
    """
    settings.SAGA_STEP_TIMEOUT_SECONDS = 0.2
    monkeypatch.setattr(timeouts, "written", lambda seconds: "60s")
    return 0.2


def hang(ticket: Any = None) -> None:
    """Have the server cancel a query because it takes longer than it may."""
    run_sql("SET LOCAL statement_timeout = '250ms'")
    run_sql("SELECT pg_sleep(60)")


class Bookkeeping(Workspace):
    """Enters at the very end what a step has left to it; some entries take long."""

    def __init__(self) -> None:
        self._left: list[bool] = []  # whether it takes long

    def open(self, tickets: Sequence[Ticket], *, now: datetime) -> None:
        for ticket in tickets:
            ticket.subject = self._left

    def finish(self, *, now: datetime) -> None:
        for slow in self._left:
            if slow:
                hang()


def enter(ticket: Ticket, *, now: datetime) -> Done:
    ticket.subject.append(ticket.context.get("slow", False))
    return Done()


class Bookkept(Saga):
    """Its second step leaves something to the end of the transaction."""

    name, version = "bookkept", 1
    workspace = Bookkeeping
    steps = (
        Step("look", do=each(lambda t, now: Done())),
        Step("enter", do=each(enter), retry=RetryPolicy(attempts=2, delay=0, spent="park")),
    )


class BookkeptAndSeen(Saga):
    """What its first step leaves to the end of the transaction comes after its second."""

    name, version = "bookkept_and_seen", 1
    workspace = Bookkeeping
    steps = (
        Step("enter", do=each(enter), retry=RetryPolicy(attempts=2, delay=0, spent="park")),
        Step("look", do=each(lambda t, now: Done())),
    )


def overdue(saga_id: UUID, *, by: timedelta = timedelta(seconds=1)) -> None:
    """Let the saga's whole time be up since `by`."""
    change(saga_id, deadline_at=database_now() - by)


@pytest.mark.core
def test_a_saga_between_two_attempts_is_undone_when_its_time_is_up() -> None:
    world.plan["hotel"] = LATER
    trip = begin_one()
    drive()
    overdue(trip)
    make_due(trip)
    drive()
    row = saga(trip)
    assert row.status == Status.COMPENSATED
    assert row.cause["code"] == "retries_spent"
    assert world.times("hotel") == 1  # not asked again
    assert history(trip) == ["seat DONE", "hotel RETRY", "hotel EXPIRED", "undo hotel DONE", "undo seat DONE"]
    entry = SagaHistory.objects.get(saga_id=trip, status="EXPIRED")
    assert entry.message == "The saga's time was up before hotel could be tried again."


def test_between_two_attempts_it_is_due_before_its_time_is_up() -> None:
    world.plan["hotel"] = LATER
    trip = begin_one()
    drive()
    row = saga(trip)
    assert database_now() < row.due_at <= row.deadline_at


def test_a_pause_that_would_outlast_the_time_is_not_waited_for() -> None:
    world.plan["hotel"] = Retry("busy", timedelta(hours=2))
    trip = begin_one()
    drive()
    assert saga(trip).status == Status.COMPENSATED
    assert history(trip) == ["seat DONE", "hotel RETRY", "undo hotel DONE", "undo seat DONE"]


@pytest.mark.core
def test_a_saga_that_moves_slowly_from_step_to_step_is_undone_by_the_policy_of_the_step_it_came_to() -> None:
    one = begin_one(Relay)
    worker(["inventory"]).drive(until=1e12)
    overdue(one)
    for queue in ("payments", "inventory", "orders"):
        worker([queue]).drive(until=1e12)
    row = saga(one)
    assert (row.status, row.cause["code"], row.cause["message"]) == ("COMPENSATED", "too_slow", "It took too long.")
    assert history(one) == ["seat DONE", "stamp EXPIRED", "undo seat DONE"]
    assert world.times("stamp") == 0
    assert effects(one) == ["seat", "seat given back"]


def test_where_the_policy_is_to_park_a_person_is_asked() -> None:
    one = begin_one(Relay)
    for queue in ("inventory", "payments"):
        worker([queue]).drive(until=1e12)
    overdue(one)
    drive()
    row = saga(one)
    assert (row.status, row.due_at, row.undoing) == (Status.NEEDS_ATTENTION, None, False)
    assert row.attention == "The saga's time was up before thank could be begun."
    assert history(one) == ["seat DONE", "stamp DONE", "thank EXPIRED"]
    assert (world.times("thank"), events(one)) == (0, ["NEEDS_ATTENTION"])
    attention.retry(one, actor="ada", reason="It is only late.", now=database_now())
    drive()
    assert saga(one).status == Status.COMPLETED


def test_a_call_that_a_person_is_asked_about_is_not_asked_again_by_itself() -> None:
    world.plan["hotel"] = Unknown("no line")
    one = begin_one(Careful)
    land(take_off())
    overdue(one)
    drive()
    assert saga(one).attention == "The saga's time was up before hotel could be tried again."
    assert (world.times("hotel"), saga(one).in_flight) == (1, False)


def test_past_the_pivot_there_is_no_way_back_from_a_deadline_either() -> None:
    card = begin_one(SendPostcard)
    flown = land(take_off())  # stamped, and the post is asked
    assert saga(card).current_step == "post"
    change(card, in_flight=False, due_at=database_now())
    overdue(card)
    drive()
    row = saga(card)
    assert (row.status, row.undoing, row.undone) == (Status.NEEDS_ATTENTION, False, 0)
    assert history(card) == ["write DONE", "stamp DONE", "post EXPIRED"]
    assert len(flown.flights) == 1


@pytest.mark.core
def test_an_answer_that_comes_after_the_deadline_counts_and_no_further_call_is_begun() -> None:
    trip = begin_one()
    flown = take_off()
    overdue(trip)
    carry_on(flown)
    assert saga(trip).status == Status.COMPENSATED
    assert history(trip) == ["seat DONE", "hotel DONE", "card EXPIRED", "undo hotel DONE", "undo seat DONE"]
    assert world.booked == {f"{trip}:hotel": "cancelled"}
    assert world.times("card:prepare") == 0


def test_what_follows_from_a_late_answer_in_the_same_transaction_is_still_done() -> None:
    """The last call was answered, all the rest is ours: to throw that away would help nobody."""
    trip = begin_one()
    flown = land(take_off())
    overdue(trip)
    land(flown)
    assert saga(trip).status == Status.COMPLETED
    assert effects(trip) == ["seat", "ticket"]


def test_a_lost_worker_and_a_deadline_that_has_passed_undo_the_call_in_flight() -> None:
    trip = begin_one()
    take_off()
    overdue(trip)
    make_due(trip)
    drive()
    assert saga(trip).status == Status.COMPENSATED
    assert history(trip) == ["seat DONE", "hotel UNKNOWN", "hotel EXPIRED", "undo hotel DONE", "undo seat DONE"]
    assert (world.times("hotel"), world.booked) == (0, {f"{trip}:hotel": "cancelled"})


def test_only_those_whose_time_is_up_leave_the_group() -> None:
    world.plan["hotel"] = Retry("busy", timedelta())
    late, early = begin_one(), begin_one()
    land(take_off())
    overdue(late)
    world.plan.clear()
    drive()
    assert (saga(late).status, saga(early).status) == (Status.COMPENSATED, Status.COMPLETED)
    assert (world.times("hotel", late), world.times("hotel", early)) == (1, 2)


def test_a_stop_beats_the_deadline() -> None:
    """Both turn the saga back; that somebody wanted it is the better reason."""
    world.plan["hotel"] = LATER
    trip = begin_one()
    drive()
    services.signal(trip, "cancel", signal_id="1")
    overdue(trip)
    drive()
    assert saga(trip).cause["kind"] == "cancelled"
    assert dispositions(trip) == [("cancel", "STOPPED")]


def test_a_wait_has_a_deadline_of_its_own() -> None:
    trip = begin_one(needs_approval=True)
    drive()
    overdue(trip, by=timedelta(seconds=-30))  # thirty seconds are left ...
    change(trip, step_started_at=F("step_started_at") - timedelta(minutes=40))  # ... and it has waited long
    services.signal(trip, "approval", signal_id="1")
    drive()
    assert saga(trip).status == Status.COMPLETED
    overdue_at_its_wait = begin_one(needs_approval=True)
    drive()
    overdue(overdue_at_its_wait)
    make_due(overdue_at_its_wait)
    drive()
    row = saga(overdue_at_its_wait)
    assert (row.status, row.current_step, row.due_at) == (Status.IN_PROGRESS, "approval", row.wait_until)


def test_the_way_back_takes_the_time_it_needs() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    world.plan["card:undo"] = NOT_KNOWN
    trip = begin_one()
    drive()
    overdue(trip, by=timedelta(hours=1))
    world.plan["card:undo"] = None
    make_due(trip)
    drive()
    assert saga(trip).status == Status.COMPENSATED
    assert "EXPIRED" not in " ".join(history(trip))


def test_the_deadline_is_the_databases_not_the_workers(monkeypatch: Any) -> None:
    """A worker whose own clock is a day ahead finds nothing to be late."""
    world.plan["hotel"] = LATER
    trip = begin_one()
    drive()
    monkeypatch.setattr("time.time", lambda: 4_000_000_000.0)
    make_due(trip)
    world.plan.clear()
    drive()
    assert saga(trip).status == Status.COMPLETED


# --- a step's own time ------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_a_query_that_hangs_holds_up_its_own_saga_and_no_other() -> None:
    good, hangs = begin_one(Hasty), begin_one(Hasty, slow=60)
    began = time.monotonic()
    drive()
    assert time.monotonic() - began < 55
    assert saga(good).status == Status.COMPLETED
    assert saga(hangs).status == Status.COMPENSATED
    assert saga(hangs).cause["code"] == "stuck"
    assert history(hangs) == ["seat DONE", "book RETRY", "book RETRY", "undo seat DONE"]
    entry = SagaHistory.objects.filter(saga_id=hangs, step="book").earliest("id")
    assert entry.message == "book took longer than the 1 s it may take; nothing of it happened."
    assert effects(good) == ["seat", "booked"]
    assert effects(hangs) == ["seat", "seat given back"]


def test_a_lock_that_is_refused_costs_attempts_and_no_person_s_time() -> None:
    """Of a `lock_timeout` that is shorter than the step's own, say."""
    refused = "DO $$ BEGIN RAISE lock_not_available; END $$"
    world.plan["seat"] = lambda ticket: run_sql(refused) and None if ticket.context.get("locked") else None
    good, one = begin_one(), begin_one(locked=True)
    drive()
    assert history(one)[:3] == ["seat RETRY"] * 3
    entry = SagaHistory.objects.filter(saga_id=one).earliest("id")
    assert entry.message == "seat waited in vain for what somebody else has locked; nothing of it happened."
    assert (saga(one).status, saga(one).cause["code"]) == (Status.COMPENSATED, "retries_spent")
    assert saga(good).status == Status.COMPLETED


def test_what_was_done_before_the_step_that_hangs_is_kept() -> None:
    one = begin_one(Hasty, slow=60)
    one_round(worker())
    row = saga(one)
    assert (row.current_step, row.attempt, row.status) == ("book", 1, Status.IN_PROGRESS)
    change(one, context={"seat": "12A"})
    drive()
    assert saga(one).status == Status.COMPLETED
    assert effects(one) == ["seat", "booked"]
    assert world.times("book") == 3  # in the group, alone, and again


@committing
def test_a_lock_that_somebody_never_lets_go_of_is_not_waited_for_for_ever(beside: Any) -> None:
    """Somebody stands in a transaction and has locked the table: no worker is stuck behind that for good."""
    one = begin_one(Hasty)
    with transaction.atomic():
        run_sql("LOCK TABLE trips_effect IN EXCLUSIVE MODE")
        change(one, name="hasty")  # (nobody is let at it yet: the row is ours)
        driving = beside(drive)
        assert driving.result(timeout=60) == 0
    world.plan["seat"] = Done()  # the first step leaves the table alone
    with transaction.atomic():
        run_sql("LOCK TABLE trips_effect IN EXCLUSIVE MODE")
        beside(drive).result(timeout=60)
        assert saga(one).attention == ""
        assert history(one)[:3] == ["seat DONE", "book RETRY", "book RETRY"]
    drive()
    assert saga(one).cause["code"] == "stuck"


def test_the_limit_of_a_step_is_not_that_of_the_next() -> None:
    class Mixed(Saga):
        name, version = "mixed_pace", 1
        steps = (
            Step("quick", do=each(lambda t, now: Done()), timeout=0.1),
            Step("slow", do=each(lambda t, now: run_sql("SELECT pg_sleep(0.3)") and Done())),
        )

    one = begin_one(Mixed)
    drive()
    assert saga(one).status == Status.COMPLETED


def test_every_step_has_a_limit_that_the_server_knows(settings: Any) -> None:
    settings.SAGA_STEP_TIMEOUT_SECONDS = 77.0
    told: dict[str, Any] = {}
    for place in ("workspace:open", "seat", "hotel:prepare", "hotel:record", "ticket"):
        world.plan[place] = lambda ticket, place=place: told.update({place: run_sql("SHOW statement_timeout")})
    begin_one()
    drive()
    assert list(told.values()) == [[("77s",)]] * 5


def test_a_step_that_is_over_its_limit_each_time_has_spent_its_attempts(patience: float) -> None:
    trip = begin_one()
    world.plan["seat"] = hang
    drive()
    assert saga(trip).status == Status.COMPENSATED
    assert history(trip) == ["seat RETRY", "seat RETRY", "seat RETRY", "undo seat DONE"]
    assert effects(trip) == ["closed as retries_spent"]


def test_what_a_step_leaves_to_the_end_of_the_transaction_is_a_part_of_it(patience: float) -> None:
    good, hangs = begin_one(Bookkept), begin_one(Bookkept, slow=True)
    drive()
    assert (saga(good).status, history(good)) == (Status.COMPLETED, ["look DONE", "enter DONE"])
    assert history(hangs) == ["look DONE", "enter RETRY", "enter RETRY"]
    assert saga(hangs).attention == (
        "enter was tried 2 times: enter took longer than the 0.2 s it may take; nothing of it happened."
    )


def test_what_an_earlier_step_leaves_to_the_end_is_not_the_trouble_of_the_last(patience: float) -> None:
    hangs = begin_one(BookkeptAndSeen, slow=True)
    drive()
    assert history(hangs) == ["enter RETRY", "enter RETRY"]
    assert saga(hangs).attention.startswith("enter was tried 2 times")


def test_a_way_back_that_hangs_like_the_way_there_has_attempts_of_its_own(patience: float) -> None:
    """Both want what somebody else has locked; the last attempt there and the first one back are in one transaction."""
    trip = begin_one()
    for prepare in ("hotel:prepare", "hotel:undo:prepare"):
        world.plan[prepare] = hang
    drive()
    assert history(trip) == ["seat DONE", *["hotel RETRY"] * 3, "undo hotel RETRY"]
    assert (saga(trip).status, saga(trip).attempt, saga(trip).attention) == (Status.COMPENSATING, 1, "")
    world.plan.clear()
    make_due(trip)
    drive()
    assert saga(trip).status == Status.COMPENSATED


def test_a_call_that_cannot_be_prepared_in_time_is_tried_again(patience: float) -> None:
    trip = begin_one()
    world.plan["hotel:prepare"] = hang
    drive()
    assert history(trip)[:4] == ["seat DONE", *["hotel RETRY"] * 3]
    assert (saga(trip).status, saga(trip).cause["code"]) == (Status.COMPENSATED, "retries_spent")
    assert world.times("hotel") == 0


def test_an_answer_that_cannot_be_written_down_in_time_is_asked_for_again(patience: float) -> None:
    good, trip = begin_one(), begin_one(slow=True)
    world.plan["hotel:record"] = lambda ticket: hang() if ticket.context.get("slow") else None
    one_round(worker())
    assert saga(good).attention == saga(trip).attention == ""
    assert history(trip) == ["seat DONE", "hotel UNKNOWN"]
    entry = SagaHistory.objects.get(saga_id=trip, step="hotel")
    assert entry.message == "Writing down the answer took longer than the 0.2 s it may take; asking again."
    world.plan.clear()
    make_due(trip)
    drive()
    assert saga(good).status == saga(trip).status == Status.COMPLETED
    assert (world.times("hotel", trip), world.booked[f"{trip}:hotel"]) == (2, "booked")  # with the same key


def test_what_a_saga_is_about_that_cannot_be_loaded_in_time_is_no_fault_of_the_saga(patience: float) -> None:
    """Somebody is changing that table, say: nothing was begun, and nobody has to decide."""
    good, one = begin_one(), begin_one()
    world.plan["workspace:open"] = lambda ticket: hang() if ticket.id == one else None
    before = database_now()
    one_round(worker())
    assert saga(good).status == Status.COMPLETED
    row = saga(one)
    assert (row.status, row.attention, row.attempt, history(one)) == (Status.STARTED, "", 0, [])
    assert before < row.due_at < database_now() + timedelta(seconds=10)
    world.plan.clear()
    make_due(one)
    drive()
    assert saga(one).status == Status.COMPLETED


def test_an_answer_that_meets_what_cannot_be_loaded_in_time_is_asked_for_again(patience: float) -> None:
    one = begin_one()
    world.plan["hotel"] = lambda ticket: world.plan.update({"workspace:open": hang})
    one_round(worker())
    assert (saga(one).status, saga(one).attention, saga(one).in_flight) == (Status.IN_PROGRESS, "", True)
    world.plan.clear()
    make_due(one)
    drive()
    assert history(one) == ["seat DONE", "hotel UNKNOWN", "hotel DONE", "card DONE", "ticket DONE"]
    assert world.booked[f"{one}:hotel"] == "booked"  # by the same key


def test_an_answer_that_can_never_be_written_down_spends_the_attempts(patience: float) -> None:
    world.plan["hotel:record"] = hang
    trip = begin_one()
    drive()
    assert (saga(trip).status, saga(trip).cause["code"]) == (Status.COMPENSATED, "retries_spent")
    assert history(trip) == ["seat DONE", *["hotel UNKNOWN"] * 3, "undo hotel DONE", "undo seat DONE"]
    assert world.booked == {f"{trip}:hotel": "cancelled"}
