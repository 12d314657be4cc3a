"""Standing between the engine and a definition's handlers, for a test: the engine stays the real one.

`intercepted(definition, interceptor)` lets an `Interceptor` see, hold up or replace every handler of a definition for
the length of a block, in this process. The engine reads a definition's steps anew for each transaction, so no code of
it is touched, and the definition is what it was afterwards.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from marketplace.sagas.definition import Call, Node, Remote, Saga, Wait
from marketplace.sagas.outcomes import Done, Outcome, Ready
from marketplace.sagas.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Place:
    """A step on the way forward, or its undo on the way back. Reads `authorize_payment`, or `-authorize_payment`."""

    step: str
    undoing: bool = False

    def __str__(self) -> str:
        return f"-{self.step}" if self.undoing else self.step

    @classmethod
    def of(cls, text: str) -> "Place":
        """The place that reads `text`."""
        return cls(text.removeprefix("-"), text.startswith("-"))


Handle = Callable[[Sequence[Ticket]], Sequence[Outcome]]
Intend = Callable[[Sequence[Ticket]], Sequence[Outcome | Ready]]
Send = Callable[[Any], Any]
Record = Callable[[Sequence[Ticket], Sequence[Any]], Sequence[Outcome]]


class Interceptor:
    """Passes everything on. Subclass it; `go` is the definition's own handler, to be called with any of the tickets."""

    def handle(self, place: Place, tickets: Sequence[Ticket], go: Handle) -> Sequence[Outcome]:
        """A `Step`'s handler, or what a `Wait` does with its signal. In the transaction that moves the sagas."""
        return go(tickets)

    def intend(self, place: Place, tickets: Sequence[Ticket], go: Intend) -> Sequence[Outcome | Ready]:
        """A `Call`'s `prepare`. In the transaction before the call."""
        return go(tickets)

    def call(self, place: Place, saga_id: UUID, request: Any, go: Send) -> Any:
        """A `Call`'s `send` or `probe`. Outside of any transaction, in a thread of the worker's."""
        return go(request)

    def record(self, place: Place, tickets: Sequence[Ticket], replies: Sequence[Any], go: Record) -> Sequence[Outcome]:
        """A `Call`'s `record`. In the transaction after the call."""
        return go(tickets, replies)

    def close(self, tickets: Sequence[Ticket], go: Handle) -> Sequence[Outcome]:
        """What a definition does once all is undone. In the transaction that ends the sagas."""
        return go(tickets)


@contextmanager
def intercepted(definition: type[Saga], interceptor: Interceptor) -> Iterator[None]:
    """Let `interceptor` stand between the engine and the handlers of `definition`, in this process."""
    steps, closing = definition.steps, vars(definition).get("closing")
    close = definition.closing

    def closed(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
        return interceptor.close(tickets, lambda some: close(some, now=now))

    definition.steps = tuple(_wrapped(node, interceptor) for node in steps)
    definition.closing = staticmethod(closed)
    try:
        yield
    finally:
        definition.steps = steps
        if closing is None:
            del definition.closing
        else:
            definition.closing = closing


def _wrapped(node: Node, interceptor: Interceptor) -> Node:
    forward = Place(node.name)
    if isinstance(node, Wait):
        receive, returned = node.receive or _take_note, node.returned or _take_note
        back = Place(node.name, undoing=True)
        handlers = [_Handler(forward, receive, interceptor), _Handler(back, returned, interceptor)]
        return replace(node, receive=handlers[0], returned=handlers[1])
    back = Place(node.name, undoing=True)
    if isinstance(node, Call):
        undo_call = _Remote(back, node.undo, interceptor) if node.undo is not None else None
        window = (lambda request: node.window(_plain(request))) if callable(node.key_window) else node.key_window
        return replace(node, do=_Remote(forward, node.do, interceptor), undo=undo_call, key_window=window)
    undo = _Handler(back, node.undo, interceptor) if node.undo is not None else None
    return replace(node, do=_Handler(forward, node.do, interceptor), undo=undo)


def _take_note(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    return [Done() for _ in tickets]


class _Handler:
    """A step's handler with an interceptor before it."""

    def __init__(self, place: Place, inner: Any, interceptor: Interceptor) -> None:
        self._place = place
        self._inner = inner
        self._interceptor = interceptor

    def __call__(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
        return self._interceptor.handle(self._place, tickets, lambda some: self._inner(some, now=now))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@dataclass(frozen=True, slots=True)
class _Addressed:
    """A request that knows whose it is."""

    saga_id: UUID
    request: Any


class _Remote:
    """A call's three parts with an interceptor before each, and whatever else the call's own object can do."""

    def __init__(self, place: Place, inner: Remote, interceptor: Interceptor) -> None:
        self._place = place
        self._inner = inner
        self._interceptor = interceptor

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        answers = self._interceptor.intend(self._place, tickets, lambda some: self._inner.prepare(some, now=now))
        return [
            replace(answer, request=_Addressed(ticket.id, answer.request)) if isinstance(answer, Ready) else answer
            for ticket, answer in zip(tickets, answers, strict=True)
        ]

    def send(self, request: Any) -> Any:
        return self._call("send", request)

    def record(self, tickets: Sequence[Ticket], replies: Sequence[Any], *, now: datetime) -> Sequence[Outcome]:
        def go(some: Sequence[Ticket], theirs: Sequence[Any]) -> Sequence[Outcome]:
            return self._inner.record(some, theirs, now=now)

        return self._interceptor.record(self._place, tickets, replies, go)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)  # raises where the call can't do that, as it would without us
        if name == "probe":
            return lambda request: self._call(name, request)
        if not callable(found):
            return found
        return lambda *arguments, **named: found(*map(_plain, arguments), **named)

    def _call(self, part: str, request: Any) -> Any:
        ask: Send = getattr(self._inner, part)
        return self._interceptor.call(self._place, request.saga_id, request.request, ask)


def _plain(argument: Any) -> Any:
    return argument.request if isinstance(argument, _Addressed) else argument
