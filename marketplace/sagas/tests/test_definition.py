"""A definition that can't be right is refused when it is made, and the refusal says why."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from marketplace.sagas import definition
from marketplace.sagas.definition import (
    Call,
    Cancel,
    DefinitionError,
    Fail,
    RetryPolicy,
    Saga,
    Step,
    Wait,
    find,
    remote,
)
from marketplace.sagas.outcomes import Done, each
from marketplace.sagas.tests.trip import BookTrip, SendPostcard, closing_time

DO = each(lambda ticket, now: Done())
FAR = remote(lambda ticket: Done())
DAY = timedelta(days=1)
PARKS = RetryPolicy(spent="park")


def far(ticket: Any) -> Any:
    return Done()


async def coroutine(tickets: Any, *, now: Any) -> Any:
    return [Done() for _ in tickets]


def timeless(tickets: Any) -> Any:
    return [Done() for _ in tickets]


def no_ticket() -> Any:
    return None


@pytest.fixture(autouse=True)
def _registry_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition, "_registry", dict(definition._registry))


def define(*steps: Any, **attributes: Any) -> type[Saga]:
    return type("Odd", (Saga,), {"__module__": __name__, "name": "odd", "steps": steps, **attributes})


def wait(name: str = "pause", **options: Any) -> Wait:
    return Wait(name, **{"until": closing_time, "otherwise": Cancel("too_late"), **options})


REFUSED: list[tuple[str, Callable[[], Any], str]] = [
    ("no steps", define, "Odd: a saga needs at least one step"),
    (
        "a name twice",
        lambda: define(Step("a", do=DO), Call("a", do=FAR)),
        "Odd: two steps are called 'a'",
    ),
    (
        "two pivots",
        lambda: define(Step("a", do=DO, pivot=True), Step("b", do=DO, pivot=True)),
        "Odd: there can be only one pivot",
    ),
    (
        "an undo past the pivot",
        lambda: define(Step("a", do=DO, pivot=True), Step("b", do=DO, undo=DO)),
        "Odd: 'b' lies at or after the pivot, so it is never undone: it can't have an undo",
    ),
    (
        "an undo of the pivot itself",
        lambda: define(Step("a", do=DO, undo=DO, pivot=True)),
        "Odd: 'a' lies at or after the pivot, so it is never undone: it can't have an undo",
    ),
    (
        "compensating past the pivot",
        lambda: define(Step("a", do=DO, pivot=True), Call("b", do=FAR)),
        "Odd: 'b' lies after the pivot: when its retries are spent it must park",
    ),
    (
        "a pivot that gives up on an unknown answer",
        lambda: define(Call("a", do=FAR, pivot=True)),
        "Odd: 'a' is a call and the pivot: nobody can undo it, so when its retries are spent it must park",
    ),
    (
        "a way back to nowhere",
        lambda: define(wait(), Call("a", do=FAR, returns_to="b")),
        "Odd: 'a' returns to 'b', and there is no such step",
    ),
    (
        "a way back that leads forward",
        lambda: define(Call("a", do=FAR, returns_to="pause"), wait()),
        "Odd: 'a' can only return to a wait that lies before it, and 'pause' does not",
    ),
    (
        "a way back to no wait",
        lambda: define(Step("b", do=DO, undo=DO), Call("a", do=FAR, returns_to="b")),
        "Odd: 'a' can only return to a wait: 'b' would be done again without anybody asking",
    ),
    (
        "a way back past what is not undone",
        lambda: define(wait(), Step("b", do=DO), Call("a", do=FAR, returns_to="pause")),
        "Odd: 'a' returns past 'b', which has no undo: it would be done twice",
    ),
    (
        "a way back from past the pivot",
        lambda: define(wait(), Step("b", do=DO, pivot=True), Call("a", do=FAR, retry=PARKS, returns_to="pause")),
        "Odd: 'a' lies at or after the pivot: there is no way back to 'pause'",
    ),
    (
        "a way back from the pivot",
        lambda: define(wait(), Call("a", do=FAR, retry=PARKS, pivot=True, returns_to="pause")),
        "Odd: 'a' lies at or after the pivot: there is no way back to 'pause'",
    ),
    (
        "a way back past what was given",
        lambda: define(wait(), Call("a", do=FAR, undo=FAR, given=True, returns_to="pause")),
        "Odd: 'a' returns past what was given before the saga began: that can't be had anew",
    ),
    (
        "a wait to which nobody comes back",
        lambda: define(wait(returned=DO)),
        "Odd: no step returns to 'pause', so what it does when the saga has come back is never done",
    ),
    (
        "what a wait does when one comes back takes no time",
        lambda: define(wait(returned=timeless), Call("a", do=FAR, returns_to="pause")),
        "Odd: 'pause' is decided by 'timeless', which can't be called as timeless(..., now=now)",
    ),
    (
        "no attempt at all",
        lambda: define(Step("a", do=DO, retry=RetryPolicy(attempts=0))),
        "Odd: 'a' must be allowed at least one attempt",
    ),
    (
        "no attempt to undo",
        lambda: define(Step("a", do=DO, undo=DO, undo_retry=RetryPolicy(attempts=0, spent="park"))),
        "Odd: 'a' must be allowed at least one attempt",
    ),
    (
        "a pause before the past",
        lambda: define(Step("a", do=DO, retry=RetryPolicy(delay=-1))),
        "Odd: 'a' can't wait less than no time before it is tried again",
    ),
    (
        "no time to answer",
        lambda: define(Call("a", do=FAR, timeout=0)),
        "Odd: 'a' must be given some time to answer",
    ),
    (
        "all the time in the world to answer",
        lambda: define(Call("a", do=FAR, timeout=float("inf"))),
        "Odd: 'a' must be given some time to answer",
    ),
    (
        "no time for a query",
        lambda: define(Step("a", do=DO, timeout=0)),
        "Odd: 'a' must be given some time for its queries",
    ),
    (
        "a call without its three parts",
        lambda: define(Call("a", do=DO)),  # type: ignore[arg-type]
        "Odd: 'a' is a call: what it does needs prepare, send and record (see `remote`)",
    ),
    (
        "an undo of a call without its three parts",
        lambda: define(Call("a", do=FAR, undo=DO)),  # type: ignore[arg-type]
        "Odd: 'a' is a call: what it does needs prepare, send and record (see `remote`)",
    ),
    (
        "a step that can't be called",
        lambda: define(Step("a", do="reserve")),  # type: ignore[arg-type]
        "Odd: 'a' needs a function for what it does",
    ),
    (
        "a wait for a signal that stops",
        lambda: define(wait("cancel"), stops={"cancel": Cancel("cancelled")}),
        "Odd: 'cancel' waits for the signal 'cancel', which stops the saga",
    ),
    (
        "a step without a name",
        lambda: define(Step("", do=DO)),
        "Odd: '' is no name for a step: it needs 1 to 60 characters",
    ),
    (
        "a name too long for its column",
        lambda: define(Step("a" * 61, do=DO)),
        f"Odd: '{'a' * 61}' is no name for a step: it needs 1 to 60 characters",
    ),
    (
        "a queue that no worker serves",
        lambda: define(Step("a", do=DO, queue="payment")),
        "Odd: 'a' is to run in the queue 'payment', and there is no such queue: there are orders, inventory, payments, "
        "fulfillment",
    ),
    (
        "a wait in a queue that no worker serves",
        lambda: define(wait(queue="waiting_room")),
        "Odd: 'pause' is to run in the queue 'waiting_room', and there is no such queue: there are orders, inventory, "
        "payments, fulfillment",
    ),
    (
        "attempts without end",
        lambda: define(Step("a", do=DO, retry=RetryPolicy(attempts=float("inf")))),  # type: ignore[arg-type]
        "Odd: 'a' would be tried for ever: its attempts must be a whole number, at most 1000",
    ),
    (
        "more attempts than anybody lives to see",
        lambda: define(Call("a", do=FAR, undo=FAR, undo_retry=RetryPolicy(attempts=10**9, spent="park"))),
        "Odd: 'a' would be tried for ever: its attempts must be a whole number, at most 1000",
    ),
    (
        "a pause without end",
        lambda: define(Step("a", do=DO, retry=RetryPolicy(delay=float("inf")))),
        "Odd: 'a' would never be tried again: its delay must be a number of seconds",
    ),
    (
        "a ceiling as high as the sky",
        lambda: define(Step("a", do=DO, retry=RetryPolicy(ceiling=float("inf")))),
        "Odd: 'a' would wait too long, or not at all: its ceiling must be above 0, and at most 86400 seconds",
    ),
    (
        "a ceiling on the floor",
        lambda: define(Step("a", do=DO, retry=RetryPolicy(ceiling=0))),
        "Odd: 'a' would wait too long, or not at all: its ceiling must be above 0, and at most 86400 seconds",
    ),
    (
        "redrives without end",
        lambda: define(Step("a", do=DO, retry=RetryPolicy(spent="park", redrive=DAY, redrives=None))),  # type: ignore[arg-type]
        "Odd: 'a' would be redriven for ever: its redrives must be a whole number from 1 to 1000",
    ),
    (
        "a redrive without a pause",
        lambda: define(Step("a", do=DO, retry=RetryPolicy(spent="park", redrive=timedelta()))),
        "Odd: 'a' is redriven at once: that is what attempts are for, a redrive takes at least a second",
    ),
    (
        "a redrive of what is undone",
        lambda: define(Step("a", do=DO, retry=RetryPolicy(spent="compensate", redrive=DAY))),
        "Odd: 'a' is undone when its retries are spent, so there is nothing to redrive: it must park",
    ),
    (
        "a builtin",
        lambda: define(Step("a", do=len)),  # type: ignore[arg-type]
        "Odd: 'a' is done by 'len', which is no function of this project",
    ),
    (
        "a library's function",
        lambda: define(Step("a", do=httpx.get)),  # type: ignore[arg-type]
        "Odd: 'a' is done by 'get', which is no function of this project",
    ),
    (
        "a library's function in a partial",
        lambda: define(Step("a", do=partial(httpx.get, "https://example.org"))),
        "Odd: 'a' is done by 'get', which is no function of this project",
    ),
    (
        "a builtin that was lifted",
        lambda: define(Step("a", do=each(print))),
        "Odd: 'a' is done by 'print', which is no function of this project",
    ),
    (
        "a class",
        lambda: define(Step("a", do=DO, undo=dict)),  # type: ignore[arg-type]
        "Odd: 'a' is done by 'dict', which is no function of this project",
    ),
    (
        "a builtin as a call",
        lambda: define(Call("a", do=remote(print))),  # type: ignore[arg-type]
        "Odd: 'a' is done by 'print', which is no function of this project",
    ),
    (
        "a coroutine",
        lambda: define(Step("a", do=coroutine)),  # type: ignore[arg-type]
        "Odd: 'a' is done by 'coroutine', which is a coroutine or a generator: nobody would run it",
    ),
    (
        "a handler without the time",
        lambda: define(Step("a", do=timeless)),
        "Odd: 'a' is done by 'timeless', which can't be called as timeless(..., now=now)",
    ),
    (
        "a deadline that takes no ticket",
        lambda: define(wait(until=no_ticket)),
        "Odd: 'pause' is decided by 'no_ticket', which can't be called as no_ticket(...)",
    ),
    (
        "a builtin for an end",
        lambda: define(Step("a", do=DO), closing=staticmethod(print)),
        "Odd: its closing is done by 'print', which is no function of this project",
    ),
    (
        "a key window without a probe",
        lambda: define(Call("a", do=FAR, key_window=DAY)),
        "Odd: 'a' has a key window: what it does, and its undo, need a probe for the time after it",
    ),
    (
        "an undo without a probe",
        lambda: define(Call("a", do=remote(far, probe=far), undo=FAR, key_window=DAY)),
        "Odd: 'a' has a key window: what it does, and its undo, need a probe for the time after it",
    ),
    (
        "no key window at all",
        lambda: define(Call("a", do=remote(far, probe=far), key_window=timedelta())),
        "Odd: 'a' needs a key window longer than no time",
    ),
    (
        "somebody else's name",
        lambda: define(Step("a", do=DO), name="book_trip"),
        "Odd: 'book_trip' version 1 is already marketplace.sagas.tests.trip.BookTrip",
    ),
]


@pytest.mark.core
@pytest.mark.parametrize(("make", "why"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_definition_that_cannot_be_right_is_refused_and_not_registered(make: Callable[[], Any], why: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        make()
    assert str(refusal.value) == why
    assert find("odd", 1) is None
    assert find("book_trip", 1) is BookTrip


def test_a_definition_is_known_by_its_name_and_version() -> None:
    assert find("book_trip", 1) is BookTrip
    assert find("book_trip", 2) is None
    second = define(Step("a", do=DO), name="book_trip", version=2)
    assert find("book_trip", 2) is second
    assert find("book_trip", 1) is BookTrip


def test_the_same_module_may_be_imported_again() -> None:
    first = define(Step("a", do=DO))
    again = define(Step("a", do=DO))
    assert first is not again
    assert find("odd", 1) is again


def test_a_base_class_without_a_name_is_no_definition() -> None:
    class Abstract(Saga):
        pass

    assert Abstract not in definition._registry.values()


def test_pivot_is_past_the_end_where_there_is_none() -> None:
    assert BookTrip.pivot() == len(BookTrip.steps)
    assert SendPostcard.pivot() == 1


def test_the_pivot_of_our_own_database_may_compensate() -> None:
    define(Step("a", do=DO, pivot=True, retry=RetryPolicy(spent="compensate")), Call("b", do=FAR, retry=PARKS))
    assert find("odd", 1) is not None


def test_the_pause_is_drawn_from_the_whole_range_and_the_range_doubles() -> None:
    policy = RetryPolicy(delay=4, ceiling=30)
    for attempt, most in ((1, 4), (2, 8), (3, 16), (4, 30), (5, 30)):
        drawn = [policy.pause(attempt).total_seconds() for _ in range(400)]
        assert 0 <= min(drawn) < most * 0.1  # full jitter: also almost at once
        assert most * 0.9 < max(drawn) <= most


def test_the_pause_of_a_very_high_attempt_is_the_ceiling_still() -> None:
    assert RetryPolicy(delay=5.0, ceiling=60).pause(30_000) <= timedelta(seconds=60)


def test_the_settings_fill_in_what_a_policy_leaves_open(settings: Any) -> None:
    settings.SAGA_RETRY_ATTEMPTS = 7
    settings.SAGA_RETRY_DELAY_SECONDS = 0.0
    assert RetryPolicy().most == 7
    assert RetryPolicy().pause(1) == timedelta(0)
    assert RetryPolicy(attempts=2).most == 2


def test_an_exit_takes_a_more_exact_reason_from_the_signal() -> None:
    exit_ = Cancel("cancelled", "Somebody decided to stop.")
    assert exit_.cause().as_json() == {
        "kind": "cancelled",
        "code": "cancelled",
        "message": "Somebody decided to stop.",
        "data": {},
    }
    exact = exit_.cause({"code": "cancelled_by_buyer", "message": "Changed my mind.", "actor": "user-1"})
    assert (exact.kind, exact.code, exact.message) == ("cancelled", "cancelled_by_buyer", "Changed my mind.")
    assert exact.data == {"code": "cancelled_by_buyer", "message": "Changed my mind.", "actor": "user-1"}
    assert Fail("no_funds").cause().kind == "failed"


def test_a_wait_listens_to_its_own_name_or_another() -> None:
    assert wait("pause").listens_to == "pause"
    assert wait("pause", signal="paid").listens_to == "paid"


class Clerk:
    """Does a step as an object, and as a method."""

    def __call__(self, tickets: Any, *, now: Any) -> Any:
        return [Done() for _ in tickets]

    def work(self, tickets: Any, *, now: Any, slowly: bool = False) -> Any:
        return [Done() for _ in tickets]


@pytest.mark.parametrize(
    "handler", [Clerk(), Clerk().work, partial(Clerk().work, slowly=True), DO, lambda tickets, now: []]
)
def test_a_function_of_ours_may_come_in_many_guises(handler: Any) -> None:
    define(Step("a", do=handler))
    assert find("odd", 1) is not None


@pytest.mark.parametrize("attempts", [1, 1000])
def test_a_policy_at_its_limits_is_a_policy(attempts: int) -> None:
    policy = RetryPolicy(attempts=attempts, delay=0, ceiling=86_400, spent="park", redrive=DAY, redrives=1000)
    define(Step("a", do=DO, retry=policy))
    assert find("odd", 1) is not None
