"""The places at which a worker may die, for tests: between two lines of the engine, so that no line has to know of it.

`watched(reached)` calls `reached(place, boundary)` each time a worker of this process comes past one. What it does
there (kill the process, raise, take a note) is the test's affair.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import wraps
from typing import Any
from uuid import UUID

from marketplace.sagas import doorbell
from marketplace.sagas.definition import Saga, registered
from marketplace.sagas.outcomes import Outcome, Ready
from marketplace.sagas.runner import Worker
from marketplace.sagas.stepping import Pass
from marketplace.sagas.testing.interception import Handle, Intend, Interceptor, Place, Record, Send, intercepted
from marketplace.sagas.ticket import Ticket

CLOSING = Place("closing", undoing=True)  # what a definition does once all is undone


class Boundary(StrEnum):
    """Where in a step's life something can happen to the worker that is at it."""

    BEFORE_EFFECT = "before the effect"  # of a call: its intent is committed, and it is not made
    AFTER_EFFECT = "after the effect"  # of a call: it is made, and nobody here knows
    BEFORE_COMMIT = "before the commit"  # everything is written
    AFTER_COMMIT = "after the commit"  # and nobody is told: no bell is rung, no call made
    BEFORE_ACKNOWLEDGEMENT = "before the acknowledgement"  # of the ring that the worker has answered


Reached = Callable[[Place, Boundary], None]


class _Watch(Interceptor):
    """Knows at which steps the transaction under way is, and the bell that is being answered."""

    def __init__(self, reached: Reached) -> None:
        self._reached = reached
        self.moving: list[Place] = []
        self.moved: list[Place] = []

    def handle(self, place: Place, tickets: Sequence[Ticket], go: Handle) -> Sequence[Outcome]:
        self._reached(place, Boundary.BEFORE_EFFECT)
        outcomes = go(tickets)
        self._reached(place, Boundary.AFTER_EFFECT)
        self.moving.append(place)
        return outcomes

    def intend(self, place: Place, tickets: Sequence[Ticket], go: Intend) -> Sequence[Outcome | Ready]:
        answers = go(tickets)
        if not all(isinstance(answer, Ready) for answer in answers):
            self.moving.append(place)  # where there is nothing to call for, the step is over
        return answers

    def call(self, place: Place, saga_id: UUID, request: Any, go: Send) -> Any:
        self._reached(place, Boundary.BEFORE_EFFECT)
        reply = go(request)
        self._reached(place, Boundary.AFTER_EFFECT)
        return reply

    def record(self, place: Place, tickets: Sequence[Ticket], replies: Sequence[Any], go: Record) -> Sequence[Outcome]:
        self.moving.append(place)
        return go(tickets, replies)

    def close(self, tickets: Sequence[Ticket], go: Handle) -> Sequence[Outcome]:
        return self.handle(CLOSING, tickets, go)

    def begins(self) -> None:
        self.moving = []

    def written(self) -> None:
        self._all_reached(self.moving, Boundary.BEFORE_COMMIT)

    def committed(self) -> None:
        self.moved += self.moving
        self._all_reached(self.moving, Boundary.AFTER_COMMIT)

    def answered(self) -> None:
        moved, self.moved = self.moved, []
        self._all_reached(moved, Boundary.BEFORE_ACKNOWLEDGEMENT)

    def _all_reached(self, places: Sequence[Place], boundary: Boundary) -> None:
        for place in dict.fromkeys(places):
            self._reached(place, boundary)


@contextmanager
def watched(reached: Reached, *, definitions: Sequence[type[Saga]] | None = None) -> Iterator[None]:
    """Call `reached` at every boundary of every step of `definitions` (default: all), for the length of a block.

    It is called in whichever thread is there: that of a call before and after its effect, else the worker's own.
    """
    watch = _Watch(reached)
    with ExitStack() as stack:
        for definition in registered() if definitions is None else definitions:
            stack.enter_context(intercepted(definition, watch))
        stack.enter_context(_before(Worker, "_move_now", watch.begins))
        stack.enter_context(_after(Pass, "write", watch.written))
        stack.enter_context(_before(Worker, "_committed", watch.committed))
        stack.enter_context(_before(doorbell, "_drop", watch.answered))
        yield


@contextmanager
def _before(owner: Any, name: str, look: Callable[[], None]) -> Iterator[None]:
    original = getattr(owner, name)

    @wraps(original)
    def looked(*arguments: Any, **named: Any) -> Any:
        look()
        return original(*arguments, **named)

    with _replaced(owner, name, looked):
        yield


@contextmanager
def _after(owner: Any, name: str, look: Callable[[], None]) -> Iterator[None]:
    original = getattr(owner, name)

    @wraps(original)
    def looked(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        look()
        return result

    with _replaced(owner, name, looked):
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
