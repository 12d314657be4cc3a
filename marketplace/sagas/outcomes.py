"""What a handler may answer about one saga, and how a handler of one serves a group.

Three things can become of an action: it was done, it was refused (a final no), or nobody knows. An unknown is never
treated as a failure: the same key is tried again until somebody knows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marketplace.sagas.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Done:
    """It is done. `data` (JSON-able) joins the saga's context, `message` its history."""

    data: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A final no, and nothing was changed: what was done so far is undone. `code` becomes the saga's failure code."""

    code: str
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Back:
    """A final no to this step, after which the saga may yet succeed: back to the wait that the step `returns_to`.

    Nothing was changed; what was done since that wait is undone, as if the saga had just come there. Where a step
    declares no way back, it is a refusal like any other.
    """

    code: str
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retry:
    """It did not happen, but may yet. `after` is the wait before the next attempt; none: the step's own policy."""

    why: str
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether it happened: asked again with the same key, and covered by the undo if it must be."""

    why: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody was there to be asked, and nothing was sent: it says nothing of this saga, so it spends no attempt.

    An answer of calls only. It counts on the breaker that the call's `circuit` names, and the saga stands by. Where it
    names none the call is made again until the saga's deadline; an undo, which has none, spends its attempts.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Parked:
    """Only a person can decide: the saga waits in NEEDS_ATTENTION."""

    why: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Answer of a `prepare`: the intent is written; `request` is handed to `send` outside of any transaction.

    `data` (JSON-able) joins the saga's context at once, with the intent: whatever comes of the call.
    """

    request: Any = None
    data: Mapping[str, Any] = field(default_factory=dict)


Outcome = Done | Refused | Back | Retry | Unknown | Unavailable | Parked
Handler = Callable[..., Sequence[Outcome]]


def each(handler: "Callable[..., Outcome]") -> Handler:
    """Lift a handler of one ticket, `handler(ticket, *, now)`, to one of a group."""

    def group(tickets: "Sequence[Ticket]", *, now: datetime) -> list[Outcome]:
        return [handler(ticket, now=now) for ticket in tickets]

    group.__name__ = getattr(handler, "__name__", "each")
    group.__doc__ = handler.__doc__
    group.__dict__["__wrapped__"] = handler  # what a definition looks at, to see whether it is a function of ours
    return group
