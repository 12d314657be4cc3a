"""The vocabulary in which a saga is written down. A definition is a page: no loops, no branches.

    class BookTrip(Saga):
        name, version = "book_trip", 1
        steps = (
            Step("reserve_seat", do=seats.reserve, undo=seats.release),
            Wait("approval", until=closing_time, otherwise=Cancel("not_approved")),
            Call("charge_card", do=card.charge, undo=card.refund),
            Step("issue_ticket", do=tickets.issue),
        )

A definition that can't be right is refused when its module is imported, with a `DefinitionError` that says why.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Protocol

from django.conf import settings

from marketplace.sagas.outcomes import Done, Handler, Outcome, Ready, Refused, Unknown
from marketplace.sagas.ticket import Cause, LateSignal, Ticket

DEFAULT_QUEUE = "orders"
LONGEST_NAME = 60  # characters, as the column has it


class DefinitionError(TypeError):
    """A saga's definition contradicts itself."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try again; then what.

    Exponential backoff with full jitter: before attempt n+1 wait a random time in [0, delay * 2**(n-1)], at most
    `ceiling` seconds (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). `attempts` and `delay`
    (seconds) default to SAGA_RETRY_ATTEMPTS and SAGA_RETRY_DELAY_SECONDS. When they are spent: `"compensate"` undoes
    the saga with failure code `code`; `"park"` leaves it to a person. `redrive`: a saga parked so is tried again by
    itself after about that time, with all its attempts, at most `redrives` times (see `redrive.py`).
    """

    attempts: int | None = None
    delay: float | None = None
    ceiling: float = 300.0
    spent: Literal["compensate", "park"] = "compensate"
    code: str = "retries_spent"
    message: str = ""
    redrive: timedelta | None = None
    redrives: int = 24

    @property
    def most(self) -> int:
        """The number of attempts allowed, the first one included."""
        return settings.SAGA_RETRY_ATTEMPTS if self.attempts is None else self.attempts

    def pause(self, attempt: int) -> timedelta:
        """Draw the wait after the failure of `attempt` (1 for the first)."""
        delay = settings.SAGA_RETRY_DELAY_SECONDS if self.delay is None else self.delay
        doublings = min(attempt - 1, 60)  # far beyond any ceiling, and still a number
        return timedelta(seconds=random.uniform(0, min(self.ceiling, delay * 2**doublings)))  # noqa: S311

    def next_redrive(self) -> timedelta | None:
        """Draw the wait of a saga that was parked; None where only a person lets it go on.

        Within a tenth of `redrive`, so that those that were parked together don't all come back at once.
        """
        return None if self.redrive is None else self.redrive * random.uniform(0.9, 1.1)  # noqa: S311


UNDO_POLICY = RetryPolicy(attempts=8, spent="park")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a `Wait` ends when its time has passed, or a saga when a signal stops it."""

    kind: Literal["failed", "cancelled"]
    code: str
    message: str = ""

    def cause(self, data: dict[str, Any] | None = None) -> Cause:
        """The reason on record; a signal's payload may carry a more exact `code` and a `message`."""
        data = data or {}
        return Cause(self.kind, str(data.get("code", self.code)), str(data.get("message", self.message)), data)


def Cancel(code: str, message: str = "") -> Exit:  # noqa: N802 - reads as a word of the definition's vocabulary
    """Somebody, or time, decided to stop."""
    return Exit("cancelled", code, message)


def Fail(code: str, message: str = "") -> Exit:  # noqa: N802
    """It was wanted and couldn't be had."""
    return Exit("failed", code, message)


@dataclass(frozen=True, slots=True)
class GoOn:
    """How a `Wait` ends whose time has passed, where that decides nothing: the next step finds out what to do."""

    message: str = ""


class Remote(Protocol):
    """An action outside of our database, in its three parts. `prepare` and `record` take groups, `send` one request."""

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """In our transaction, before the call: write the intent under `ticket.key`; `Ready(request)`, or skip it."""

    def send(self, request: Any) -> Any:
        """Outside of any transaction, perhaps in a thread: make the call; an exception counts as unknown."""

    # It may also have `circuits(tickets) -> names`: the breaker before each call (`circuits`), for example its gateway.
    # It is asked only while something is wrong, before `prepare` or after `record`, and may use a query.

    def record(self, tickets: Sequence[Ticket], replies: Sequence[Any], *, now: datetime) -> Sequence[Outcome]:
        """In our transaction, after the call: write down what was answered; a reply may be an `Unknown`."""


class Probing(Remote, Protocol):
    """A `Remote` that can look without touching: needed where the other side forgets keys (`Call.key_window`)."""

    def probe(self, request: Any) -> Any:
        """Like `send`, but only find out what became of the key. The reply goes to `record` like one of `send`.

        Where nothing is found, `record` says what that means: `Refused` if it never happened and never will, `Retry` if
        it may be looked for again.
        """


class _Simple:
    """A `Remote` made of one function `call(ticket) -> Outcome` that needs nothing of ours written."""

    def __init__(self, call: Callable[[Ticket], Outcome], probe: Callable[[Ticket], Outcome] | None) -> None:
        self._call = call
        if probe is not None:
            self.probe = probe

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        return [Ready(ticket) for ticket in tickets]

    def send(self, request: Any) -> Any:
        return self._call(request)

    def record(self, tickets: Sequence[Ticket], replies: Sequence[Any], *, now: datetime) -> Sequence[Outcome]:
        return list(replies)


def remote(call: Callable[[Ticket], Outcome], *, probe: Callable[[Ticket], Outcome] | None = None) -> Remote:
    """Lift `call(ticket) -> Outcome` to a `Remote`: for calls whose whole memory is the saga's own history."""
    return _Simple(call, probe)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    queue: str = DEFAULT_QUEUE
    pivot: bool = False


@dataclass(frozen=True, slots=True)
class Step(_Node):
    """Work in our own database, in the transaction that moves the saga on: it happens exactly once.

    `timeout` (seconds; default SAGA_STEP_TIMEOUT_SECONDS) is the longest that one of its queries may take, waiting for
    locks included. A group shares one transaction, so a query that hangs holds up everybody in it: it is cancelled, the
    group is run again one by one, and for whom it hangs again that was an attempt, of which nothing happened.
    """

    name: str
    do: Handler = field(kw_only=True)
    undo: Handler | None = field(default=None, kw_only=True)
    retry: RetryPolicy = field(default=RetryPolicy(spent="park"), kw_only=True)
    undo_retry: RetryPolicy = field(default=UNDO_POLICY, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Call(_Node):
    """Work outside: the intent is committed, then the call is made, then the outcome is recorded.

    `timeout` (seconds) is the longest that a worker waits for one answer; after it the outcome is unknown.

    `key_window` is how long the other side remembers a key (a function of the prepared request where that depends on
    who it is). When the first attempt under a key lies further back, sending it again could make it happen twice: then
    it is never sent again, only probed. Needs a `probe` of what is done, and of its undo.

    `unless(ticket)`: there is nothing to call for, so the step is passed by without a trace.
    """

    name: str
    do: Remote = field(kw_only=True)
    undo: Remote | None = field(default=None, kw_only=True)
    retry: RetryPolicy = field(default=RetryPolicy(), kw_only=True)
    undo_retry: RetryPolicy = field(default=UNDO_POLICY, kw_only=True)
    unless: Callable[[Ticket], bool] | None = field(default=None, kw_only=True)
    timeout: float = field(default=30.0, kw_only=True)
    key_window: timedelta | Callable[[Any], timedelta | None] | None = field(default=None, kw_only=True)

    def window(self, request: Any) -> timedelta | None:
        """How long the other side remembers the key of `request`; None: for ever."""
        return self.key_window(request) if callable(self.key_window) else self.key_window


@dataclass(frozen=True, slots=True)
class Wait(_Node):
    """Wait for the signal `signal` (default: the step's name) until `until(ticket)`, then leave by `otherwise`.

    Past the pivot, where there is no way back, a wait that ran out is left to a person, unless it just goes on.

    `unless(ticket)`: the wait is over before it began. `receive` takes in the signal's payload (`ticket.signal`), in
    our transaction: `Done` goes on, `Refused` ends the saga, `Parked` leaves it to a person, and with `Retry` or
    `Unknown` that signal was not the one, and it waits on.
    """

    name: str
    until: Callable[[Ticket], datetime] = field(kw_only=True)
    otherwise: Exit | GoOn = field(kw_only=True)
    signal: str = field(default="", kw_only=True)
    unless: Callable[[Ticket], bool] | None = field(default=None, kw_only=True)
    receive: Handler | None = field(default=None, kw_only=True)

    @property
    def listens_to(self) -> str:
        return self.signal or self.name


Node = Step | Call | Wait


class Workspace:
    """What one transaction has in hand for the sagas of a definition. Subclass it to load and save their subjects.

    The engine makes one for each transaction and definition: `open` before the first handler, `moved` for each change
    of a saga's status, `close` before the sagas' own rows are written.
    """

    def open(self, tickets: Sequence[Ticket], *, now: datetime) -> None:
        """Set `ticket.subject` where it is None, for all tickets in a constant number of queries."""

    def moved(self, ticket: Ticket, status: str, *, now: datetime) -> None:
        """`ticket`'s saga has just come to `status` (a `Status`): a place to publish it."""

    def close(self, *, now: datetime) -> None:
        """Write what the handlers left in the subjects, in a constant number of statements."""


LateRule = Callable[[LateSignal], None]
"""What a definition does about a signal that came too late: start another saga, for one.

Called once for each signal, in the transaction that tells it so: that which stores it, where the saga is over; that
which ends the saga, where it came earlier and nobody could use it; for a stop, that which finds the saga past its
pivot. It may read and write, takes no part in what the saga itself does, and what it raises undoes that transaction.
"""


def nothing_to_close(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """The default for `Saga.closing`."""
    return [Done() for _ in tickets]


class Saga:
    """A definition: subclass it, and the engine knows it by (`name`, `version`)."""

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    steps: ClassVar[tuple[Node, ...]] = ()
    workspace: ClassVar[type[Workspace]] = Workspace
    stops: ClassVar[dict[str, Exit]] = {}  # signals that stop the saga wherever it is before its pivot
    late: ClassVar[dict[str, LateRule]] = {}  # what becomes of signals that come when it is too late for them
    closing: ClassVar[Handler] = staticmethod(nothing_to_close)  # runs last, once all is undone

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.name:
            check(cls)
            _registry[cls.name, cls.version] = cls

    @classmethod
    def pivot(cls) -> int:
        """The position of the pivot; past the last step where there is none."""
        return next((at for at, node in enumerate(cls.steps) if node.pivot), len(cls.steps))

    @classmethod
    def may_turn_back(cls, position: int, attempt: int) -> bool:
        """Whether a saga at `position`, its step tried `attempt` times, can still be stopped.

        Up to the pivot it can; but a pivot that was called already may have happened, and nobody can undo it.
        """
        pivot = cls.pivot()
        called = position == pivot < len(cls.steps) and isinstance(cls.steps[pivot], Call) and attempt > 0
        return position <= pivot and not called


_registry: dict[tuple[str, int], type[Saga]] = {}


def find(name: str, version: int) -> type[Saga] | None:
    """The definition known by that name and version, if any."""
    return _registry.get((name, version))


def registered() -> list[type[Saga]]:
    """Every definition known here, in the order in which they were written down."""
    return list(_registry.values())


def stopped_by(signal: str) -> list[tuple[str, int, int]]:
    """Of every definition known here its name and version, and the last position at which that signal stops it."""
    return [(*known, saga.pivot() if signal in saga.stops else -1) for known, saga in _registry.items()]


def known() -> dict[str, tuple[Node, ...]]:
    """The name of every definition known here, with the steps of all its versions, each name once."""
    found: dict[str, dict[str, Node]] = {}
    for (name, _), saga in sorted(_registry.items()):
        found.setdefault(name, {}).update({node.name: node for node in saga.steps})
    return {name: tuple(steps.values()) for name, steps in found.items()}


def check(saga: type[Saga]) -> None:
    """Raise `DefinitionError` with one sentence if the definition contradicts itself."""
    why = next(_contradictions(saga), None)
    if why is not None:
        raise DefinitionError(f"{saga.__name__}: {why}")


def _contradictions(saga: type[Saga]) -> Iterator[str]:
    names = [node.name for node in saga.steps]
    if not names:
        yield "a saga needs at least one step"
    for name in names:
        if not 1 <= len(name) <= LONGEST_NAME:
            yield f"{name!r} is no name for a step: it needs 1 to {LONGEST_NAME} characters"
        if names.count(name) > 1:
            yield f"two steps are called {name!r}"
    if sum(node.pivot for node in saga.steps) > 1:
        yield "there can be only one pivot"
    for at, node in enumerate(saga.steps):
        if isinstance(node, Wait):
            if node.listens_to in saga.stops:
                yield f"{node.name!r} waits for the signal {node.listens_to!r}, which stops the saga"
            continue
        yield from _contradictions_of(node)
        if at >= saga.pivot() and node.undo is not None:
            yield f"{node.name!r} lies at or after the pivot, so it is never undone: it can't have an undo"
        if at > saga.pivot() and node.retry.spent == "compensate":
            yield f"{node.name!r} lies after the pivot: when its retries are spent it must park"
        if node.pivot and isinstance(node, Call) and node.retry.spent == "compensate":
            yield (
                f"{node.name!r} is a call and the pivot: nobody can undo it, so when its retries are spent it must park"
            )
    yield from (
        f"what is to be done about a late {at!r} is no function" for at in saga.late if not callable(saga.late[at])
    )
    known = _registry.get((saga.name, saga.version))
    if known is not None and (known.__module__, known.__qualname__) != (saga.__module__, saga.__qualname__):
        yield f"{saga.name!r} version {saga.version} is already {known.__module__}.{known.__qualname__}"


def _contradictions_of(node: Step | Call) -> Iterator[str]:
    """What is wrong with a step by itself, wherever it stands."""
    for policy in (node.retry, node.undo_retry):
        if policy.attempts is not None and policy.attempts < 1:
            yield f"{node.name!r} must be allowed at least one attempt"
        if (policy.delay or 0) < 0:
            yield f"{node.name!r} can't wait less than no time before it is tried again"
    for action in (node.do, node.undo):
        if action is None:
            continue
        if isinstance(node, Call) and not all(hasattr(action, part) for part in ("prepare", "send", "record")):
            yield f"{node.name!r} is a call: what it does needs prepare, send and record (see `remote`)"
        if isinstance(node, Call) and node.key_window is not None and not hasattr(action, "probe"):
            yield f"{node.name!r} has a key window: what it does, and its undo, need a probe for the time after it"
        if isinstance(node, Step) and not callable(action):
            yield f"{node.name!r} needs a function for what it does"
    if isinstance(node, Call) and isinstance(node.key_window, timedelta) and node.key_window <= timedelta():
        yield f"{node.name!r} needs a key window longer than no time"
    if node.timeout is not None and not 0 < node.timeout < math.inf:
        yield f"{node.name!r} must be given some time {'to answer' if isinstance(node, Call) else 'for its queries'}"


__all__ = [
    "Call",
    "Cancel",
    "DefinitionError",
    "Exit",
    "Fail",
    "GoOn",
    "Probing",
    "Refused",
    "Remote",
    "RetryPolicy",
    "Saga",
    "Step",
    "Unknown",
    "Wait",
    "Workspace",
    "find",
    "registered",
    "remote",
    "stopped_by",
]
