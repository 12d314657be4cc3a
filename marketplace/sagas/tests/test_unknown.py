"""Unknown outcomes: the same key again, only looked for once the other side may have forgotten it, and every order in
which an answer, an undo, a stop and a lost worker can arrive."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from marketplace.kernel.clock import database_now
from marketplace.sagas import attention, services
from marketplace.sagas.definition import Call, Cancel, RetryPolicy, Saga, Step, Wait, remote
from marketplace.sagas.models import SagaHistory, Status
from marketplace.sagas.outcomes import Back, Done, Outcome, Refused, Retry, Unknown, each
from marketplace.sagas.stepping import Pass
from marketplace.sagas.tests.driving import (
    begin,
    begin_one,
    change,
    committing,
    dispositions,
    drive,
    history,
    land,
    lose_worker,
    make_due,
    saga,
    take_off,
)
from marketplace.sagas.tests.trip import (
    NOT_KNOWN,
    Agency,
    BookTrip,
    Gate,
    Provider,
    SendPostcard,
    closing_time,
    take_seat,
    world,
)
from marketplace.sagas.ticket import Ticket

pytestmark = pytest.mark.django_db

Beside = Callable[..., "Future[Any]"]

DAY = timedelta(hours=24)
PATIENT = RetryPolicy(attempts=3, delay=0, spent="compensate", code="no_answer")


class Forgetful(Provider):
    """A provider that forgets keys after a day; one can ask it what became of one."""

    def probe(self, request: tuple[Ticket, str]) -> Outcome:
        ticket, key = request
        planned = world.act(f"{self.name}:probe", ticket)
        if planned is not None:
            return planned
        wanted = "cancelled" if self.undoes else "booked"
        found = world.booked.get(ticket.key_of(self.undoes) if self.undoes else key) == wanted
        return Done({self.name: "found"}) if found else Refused("never_heard_of_it", "Nothing under this key.")


class Stay(Saga):
    """One night in a hotel that forgets."""

    name, version = "stay", 1
    workspace = Agency
    steps = (
        Step("seat", do=each(take_seat), undo=each(lambda t, now: Done())),
        Call("hotel", do=Forgetful("hotel"), undo=Forgetful("hotel:undo", undoes="hotel"), key_window=DAY,
             retry=PATIENT, undo_retry=RetryPolicy(attempts=3, delay=0, spent="park")),
        Step("ticket", do=each(lambda t, now: world.act("ticket", t) or Done())),
    )  # fmt: skip
    stops = {"cancel": Cancel("cancelled")}


def let_pass(saga_id: UUID, time: timedelta) -> None:
    """Put all that has happened to the saga back by `time`; what it waits for is due."""
    for entry in SagaHistory.objects.filter(saga_id=saga_id):
        moved = {"started_at": entry.started_at - time, "finished_at": entry.finished_at - time}
        SagaHistory.objects.filter(pk=entry.pk).update(**moved)
    row = saga(saga_id)
    began = row.step_started_at - time if row.step_started_at else None
    change(saga_id, step_started_at=began)
    if row.status != Status.NEEDS_ATTENTION:
        make_due(saga_id)


def booked_but_unanswered(ticket: Ticket) -> Unknown:
    world.book(ticket.key)
    return NOT_KNOWN


def asked(saga_id: UUID, what: str = "hotel") -> tuple[int, int]:
    """How often it was sent, and how often it was probed."""
    return world.times(what, saga_id), world.times(f"{what}:probe", saga_id)


# --- past the key's window --------------------------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize(("ago", "sent", "probed"), [(DAY - timedelta(minutes=1), 2, 0), (DAY, 1, 1)])
def test_past_the_window_of_its_key_a_call_is_only_probed(ago: timedelta, sent: int, probed: int) -> None:
    world.plan["hotel"] = booked_but_unanswered
    one = begin_one(Stay)
    land(take_off())
    let_pass(one, ago)
    world.plan.clear()
    drive()
    assert saga(one).status == Status.COMPLETED
    assert asked(one) == (sent, probed)
    assert history(one) == ["seat DONE", "hotel UNKNOWN", "hotel DONE", "ticket DONE"]
    assert world.booked == {f"{one}:hotel": "booked"}


@pytest.mark.core
def test_what_is_not_found_past_the_window_is_what_the_probe_says() -> None:
    world.plan["hotel"] = NOT_KNOWN
    one = begin_one(Stay)
    land(take_off())
    let_pass(one, DAY)
    world.plan.clear()
    drive()
    assert (saga(one).status, saga(one).cause["code"]) == (Status.COMPENSATED, "never_heard_of_it")
    assert asked(one) == (1, 1)
    assert history(one) == ["seat DONE", "hotel UNKNOWN", "hotel REFUSED", "undo seat DONE"]
    assert world.booked == {}


def test_a_probe_that_finds_out_nothing_is_repeated_and_never_turns_into_a_call() -> None:
    world.plan["hotel"] = NOT_KNOWN
    one = begin_one(Stay)
    land(take_off())
    let_pass(one, DAY)
    world.plan.update({"hotel": None, "hotel:probe": Retry("closed")})
    drive()
    assert saga(one).cause["code"] == "no_answer"
    assert asked(one) == (1, 2)
    assert history(one)[1:] == ["hotel UNKNOWN", "hotel RETRY", "hotel RETRY", "undo hotel DONE", "undo seat DONE"]
    assert world.booked == {f"{one}:hotel": "cancelled"}


def test_the_window_begins_with_the_first_attempt_not_with_the_latest() -> None:
    world.plan["hotel"] = NOT_KNOWN
    one = begin_one(Stay)
    land(take_off())
    for _ in range(2):
        let_pass(one, timedelta(hours=13))
        if saga(one).attempt == 1:
            land(take_off())
    world.plan.clear()
    drive()
    assert asked(one) == (2, 1)


def test_the_attempt_of_a_lost_worker_counts_too() -> None:
    """It is not in the history yet when it is decided how to ask again."""
    one = begin_one(Stay)
    take_off()
    let_pass(one, DAY)
    world.book(f"{one}:hotel")
    drive()
    assert asked(one) == (0, 1)
    assert saga(one).status == Status.COMPLETED
    assert history(one)[1] == "hotel UNKNOWN"


class StayAnywhere(Saga):
    """Who can't pay for one hotel may choose another."""

    name, version = "stay_anywhere", 1
    workspace = Agency
    steps = (
        Wait("choice", until=closing_time, otherwise=Cancel("too_late"), unless=lambda ticket: True),
        Call("hotel", do=Forgetful("hotel"), undo=Forgetful("hotel:undo", undoes="hotel"), key_window=DAY,
             retry=PATIENT, undo_retry=RetryPolicy(attempts=3, delay=0, spent="park")),
        Step("pay", do=each(lambda t, now: Back("no_money")), returns_to="choice"),
    )  # fmt: skip


def test_an_undo_on_the_way_back_to_a_wait_keeps_its_window_when_a_person_has_all_of_it_undone() -> None:
    def cancelled_but_unanswered(ticket: Ticket) -> Unknown:
        world.cancel(ticket.key_of("hotel"))
        return NOT_KNOWN

    world.plan["hotel:undo"] = cancelled_but_unanswered
    one = begin_one(StayAnywhere)
    drive()
    assert (saga(one).status, asked(one, "hotel:undo")) == (Status.NEEDS_ATTENTION, (3, 0))
    let_pass(one, DAY)
    world.plan.clear()
    attention.compensate(one, actor="ada", reason="Enough.", now=database_now())
    drive()
    assert asked(one, "hotel:undo") == (3, 1)  # the key is the same: sent again, it might be done again
    assert saga(one).status == Status.COMPENSATED


def test_an_undo_is_probed_past_its_own_window() -> None:
    world.plan.update({"ticket": Refused("no_ticket"), "hotel:undo": NOT_KNOWN})
    one = begin_one(Stay)
    land(land(take_off()))
    let_pass(one, DAY)
    world.cancel(f"{one}:hotel")
    world.plan["hotel:undo"] = None
    drive()
    assert saga(one).status == Status.COMPENSATED
    assert asked(one, "hotel:undo") == (1, 1)
    assert asked(one) == (1, 0)


def test_the_window_of_an_undo_does_not_begin_with_what_it_undoes() -> None:
    world.plan["hotel"] = booked_but_unanswered
    one = begin_one(Stay)
    land(take_off())
    let_pass(one, 2 * DAY)
    services.signal(one, "cancel", signal_id="1")
    drive()
    assert saga(one).status == Status.COMPENSATED
    assert asked(one, "hotel:undo") == (1, 0)


def test_a_persons_retry_does_not_reopen_the_window() -> None:
    class Asking(Stay):
        name, version = "asking", 1
        steps = (
            Stay.steps[0],
            Call("hotel", do=Forgetful("hotel"), undo=Forgetful("hotel:undo", undoes="hotel"), key_window=DAY,
                 retry=RetryPolicy(attempts=1, spent="park")),
        )  # fmt: skip

    world.plan["hotel"] = booked_but_unanswered
    one = begin_one(Asking)
    drive()
    let_pass(one, DAY)
    attention.retry(one, actor="ada", reason="The line is up again.", now=database_now())
    world.plan.clear()
    drive()
    assert saga(one).status == Status.COMPLETED
    assert asked(one) == (1, 1)


@committing
def test_a_call_of_a_saga_that_was_parked_before_it_was_on_record_is_remembered_too() -> None:
    """Its worker is lost, and asking again raises: the entry that says so is all that the history has of the call."""
    one = begin_one(Stay)
    take_off()
    world.book(f"{one}:hotel")
    let_pass(one, DAY)
    world.plan["hotel:prepare"] = lambda ticket: 1 / 0
    drive()
    assert history(one) == ["seat DONE", "hotel PARKED"]
    world.plan.clear()
    attention.retry(one, actor="ada", reason="Mended.", now=database_now())
    drive()
    assert asked(one) == (0, 1)


def test_the_window_may_depend_on_who_is_asked() -> None:
    windows = {"short": timedelta(hours=1), "endless": None}

    class Choosy(Saga):
        name, version = "choosy", 1
        workspace = Agency
        steps = (
            Call("hotel", do=Forgetful("hotel"), retry=PATIENT,
                 key_window=lambda request: windows[request[0].context["hotel_chain"]]),
        )  # fmt: skip

    world.plan["hotel"] = booked_but_unanswered
    short, endless = begin_one(Choosy, hotel_chain="short"), begin_one(Choosy, hotel_chain="endless")
    land(take_off())
    for one in (short, endless):
        let_pass(one, 30 * DAY)
    world.plan.clear()
    drive()
    assert (asked(short), asked(endless)) == ((1, 1), (2, 0))


def test_a_call_made_for_the_first_time_asks_no_history(django_assert_num_queries: Any) -> None:
    begin(Stay, times=2)
    begin_one(BookTrip)
    with django_assert_num_queries(100, exact=False) as queries:
        take_off()
    assert not [query for query in queries if "min(started_at)" in query["sql"]]


def test_a_function_can_be_lifted_with_its_probe() -> None:
    class Lifted(Saga):
        name, version = "lifted", 1
        steps = (
            Call("ask", do=remote(lambda t: NOT_KNOWN, probe=lambda t: Done({"seen": True})), key_window=DAY,
                 retry=PATIENT),
        )  # fmt: skip

    one = begin_one(Lifted)
    land(take_off())
    let_pass(one, DAY)
    drive()
    assert (saga(one).status, saga(one).context) == (Status.COMPLETED, {"seen": True})


# --- each order of arrival --------------------------------------------------------------------------------------------


@pytest.mark.core
def test_an_undo_whose_worker_died_is_made_again_with_the_same_key() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    one = begin_one(Stay)
    undoing = land(take_off())  # the undo is in flight; its worker dies here
    assert [flight.run.undoing for flight in undoing.flights] == [True]
    make_due(one)
    drive()
    assert saga(one).status == Status.COMPENSATED
    assert history(one)[2:] == ["ticket REFUSED", "undo hotel UNKNOWN", "undo hotel DONE", "undo seat DONE"]
    assert (saga(one).undone, world.times("hotel:undo")) == (2, 1)


def test_the_answer_to_an_undo_of_a_worker_that_was_overtaken_is_discarded() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    one = begin_one(Stay)
    overtaken = land(take_off())
    make_due(one)
    drive()
    before = (history(one), saga(one).undone, saga(one).status)
    with pytest.raises(AssertionError, match="nothing was in flight"):
        land(overtaken)
    assert (history(one), saga(one).undone, saga(one).status) == before


def test_the_answer_to_the_action_does_not_pass_for_the_answer_to_its_undo() -> None:
    """The worker with the action's answer comes back while the undo is in flight: its fence is old."""
    one = begin_one(Stay)
    action = take_off()
    services.signal(one, "cancel", signal_id="1")
    make_due(one)
    undo = take_off()
    assert (saga(one).undoing, saga(one).in_flight, saga(one).fence) == (True, True, 2)
    with pytest.raises(AssertionError, match="nothing was in flight"):
        land(action)
    assert saga(one).in_flight
    land(undo)
    drive()
    assert saga(one).status == Status.COMPENSATED
    assert history(one)[1:] == ["hotel UNKNOWN", "hotel STOPPED", "undo hotel DONE", "undo seat DONE"]
    assert world.booked == {f"{one}:hotel": "cancelled"}


def test_workers_that_keep_dying_in_an_undo_leave_it_to_a_person_with_what_remains() -> None:
    world.plan["ticket"] = Refused("no_ticket")
    one = begin_one(Stay)
    land(take_off())
    for _ in range(20):
        if saga(one).status == Status.NEEDS_ATTENTION:
            break
        lose_worker(one)
        make_due(one)
        take_off()
    row = saga(one)
    assert (row.status, row.in_flight, row.due_at) == (Status.NEEDS_ATTENTION, False, None)
    assert "Still to be undone: hotel, seat." in row.attention
    assert world.booked == {f"{one}:hotel": "booked"}


@pytest.mark.parametrize(
    "answer", [None, NOT_KNOWN, Retry("busy"), Refused("no")], ids=["done", "unknown", "retry", "no"]
)
@pytest.mark.parametrize("order", ["stop, answer", "stop, lost", "lost, stop", "answer, stop"])
def test_a_stop_and_the_end_of_a_call_in_either_order_leave_nothing_booked(order: str, answer: Any) -> None:
    world.plan["hotel"] = answer
    world.plan["ticket"] = Refused("no_ticket")  # so that it is undone even where the stop comes too late
    one = begin_one(Stay)
    flown: Pass | None = take_off()
    for event in order.split(", "):
        if event == "stop":
            services.signal(one, "cancel", signal_id="1")
        elif event == "lost":
            flown = None
            make_due(one)
        elif flown is not None:
            flown = land(flown)
    while flown is not None and flown.flights:
        flown = land(flown)
    make_due(one) if saga(one).due_at else None
    drive()
    assert saga(one).status in {Status.COMPENSATED, Status.FAILED}
    assert "booked" not in world.booked.values()
    assert [line for line in history(one) if line == "undo hotel DONE"] == (
        [] if "hotel REFUSED" in history(one) else ["undo hotel DONE"]
    )
    assert dispositions(one)[0][1] in {"STOPPED", "TOO_LATE"}


@committing
def test_an_action_that_lands_after_its_undo_finds_the_key_cancelled(beside: Beside) -> None:
    one = begin_one(Stay)
    gate = Gate()
    world.plan["hotel"] = lambda ticket: gate() if world.times("hotel") == 1 else None
    late = beside(drive)
    gate.await_visitor()
    services.signal(one, "cancel", signal_id="1")
    make_due(one)
    drive()
    assert saga(one).status == Status.COMPENSATED
    gate.open()
    late.result()
    assert world.booked == {f"{one}:hotel": "cancelled"}
    assert world.times("ticket") == 0


def test_a_pivot_whose_answer_is_lost_is_found_out_before_the_stop_is_answered() -> None:
    card = begin_one(SendPostcard)
    take_off()
    receipt = services.signal(card, "cancel", signal_id="1")
    assert not receipt.accepted
    make_due(card)
    drive()
    assert history(card)[:3] == ["write DONE", "stamp UNKNOWN", "stamp DONE"]
    assert dispositions(card) == [("cancel", "TOO_LATE")]
