"""The kinds of step, and what else a definition is written with: policies, exits, calls to the outside, workspaces."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from django.conf import settings

from marketplace.sagas.outcomes import Handler, Outcome, Ready
from marketplace.sagas.ticket import Cause, Ticket

DEFAULT_QUEUE = "orders"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try again; then what.

    Exponential backoff with full jitter: before attempt n+1 wait a random time in [0, delay * 2**(n-1)], at most
    `ceiling` seconds (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). `attempts` and `delay`
    (seconds) default to SAGA_RETRY_ATTEMPTS and SAGA_RETRY_DELAY_SECONDS. When they are spent: `"compensate"` undoes
    the saga with failure code `code`; `"park"` leaves it to a person. `redrive`: a saga parked so is tried again by
    itself after about that time, with all its attempts, at most `redrives` times (see `redrive.py`).

    `lasting`: when the attempts are spent it goes on, about once every `pace`, for so long in all, counted from when
    the saga comes to the step (or comes back to it to undo it), by the clock on the wall: standing by counts, and the
    saga's own deadline does not.
    """

    attempts: int | None = None
    delay: float | None = None
    ceiling: float = 300.0
    spent: Literal["compensate", "park"] = "compensate"
    code: str = "retries_spent"
    message: str = ""
    redrive: timedelta | None = None
    redrives: int = 24
    lasting: timedelta | None = None
    pace: timedelta = timedelta(minutes=30)

    @property
    def most(self) -> int:
        """The number of attempts allowed, the first one included."""
        return settings.SAGA_RETRY_ATTEMPTS if self.attempts is None else self.attempts

    def allows_another(self, tried: int) -> bool:
        """Whether so many attempts leave room for one more; where the policy is about time, they always do."""
        return self.lasting is not None or tried < self.most

    def pause(self, attempt: int) -> timedelta:
        """Draw the wait after the failure of `attempt` (1 for the first)."""
        if self.lasting is not None and attempt >= self.most:
            return self.pace * random.uniform(0.9, 1.1)  # noqa: S311
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
        self.functions = (call,) if probe is None else (call, probe)
        if probe is not None:
            self.probe = probe

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        return [Ready(ticket.snapshot()) for ticket in tickets]  # a call that is given up may still be under way

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
    returns_to: str = ""  # the earlier wait to which an answer `Back` leads


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

    `given`: what the step stands for has happened before the saga begins, so its undo is due from the first moment on.
    """

    name: str
    do: Remote = field(kw_only=True)
    undo: Remote | None = field(default=None, kw_only=True)
    retry: RetryPolicy = field(default=RetryPolicy(), kw_only=True)
    undo_retry: RetryPolicy = field(default=UNDO_POLICY, kw_only=True)
    unless: Callable[[Ticket], bool] | None = field(default=None, kw_only=True)
    given: bool = field(default=False, kw_only=True)
    timeout: float = field(default=30.0, kw_only=True)
    key_window: timedelta | Callable[[Any], timedelta | None] | None = field(default=None, kw_only=True)

    def window(self, request: Any) -> timedelta | None:
        """How long the other side remembers the key of `request`; None: for ever."""
        return self.key_window(request) if callable(self.key_window) else self.key_window


@dataclass(frozen=True, slots=True)
class Wait(_Node):
    """Wait for the signal `signal` (default: the step's name) until `until(ticket)`, then leave by `otherwise`.

    Past the pivot, where there is no way back, a wait that ran out is left to a person, unless it just goes on.

    Where a later step `returns_to` it, what was done since is undone, the handler `returned` (which finds the reason in
    `ticket.cause`) puts our own books right in the transaction that brings the saga back, and it waits anew, whatever
    `unless` says: so nobody can go round in a circle without somebody outside who asks for it, each time.

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
    returned: Handler | None = field(default=None, kw_only=True)

    @property
    def listens_to(self) -> str:
        return self.signal or self.name


Node = Step | Call | Wait


class Workspace:
    """What one transaction has in hand for the sagas of a definition. Subclass it to load and save their subjects.

    The engine makes one for each transaction and definition: `open` before the first handler, `moved` for each change
    of a saga's status, `close` before the sagas' own rows are written, and `finish` after them.
    """

    def open(self, tickets: Sequence[Ticket], *, now: datetime) -> None:
        """Set `ticket.subject` where it is None, for all tickets in a constant number of queries."""

    def moved(self, ticket: Ticket, status: str, *, now: datetime) -> None:
        """`ticket`'s saga has just come to `status` (a `Status`): a place to publish it."""

    def close(self, *, now: datetime) -> None:
        """Write what the handlers left in the subjects, in a constant number of statements."""

    def finish(self, *, now: datetime) -> None:
        """Write what takes a lock that others want for every saga (a counter, say): held only until the commit now."""
