"""What a sentence says of a definition's steps, and how it is put in the place of their handlers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict, cast
from uuid import UUID

from marketplace.sagas.definition import Call, Node, Saga, Step, Wait
from marketplace.sagas.outcomes import Done, Outcome, Parked, Ready, Refused, Retry, Unknown
from marketplace.sagas.testing.interception import Handle, Intend, Interceptor, Place, Record, Send
from marketplace.sagas.ticket import Ticket


class Event(TypedDict, total=False):
    """What may happen at a step. A sentence says one of these at a time.

    The first six happen in place of what a step would do; of a call, `prepare` runs as ever, and nothing is sent. The
    next three are of calls alone, the last two of waits.
    """

    answers: Mapping[str, Any]  # it is done, and this joins the saga's context
    refuses: str | Refused  # a final no, with this code
    retries: str  # it did not happen, and this is why
    is_unknown: str  # nobody knows whether it happened, and this is why
    parks: str  # only a person can decide, and this is why
    raises: Exception  # something unforeseen; of a call, while it is made
    times_out: bool  # no answer within the call's timeout, for which nobody waits
    loses_its_answer: bool  # the call is made for real, and its answer is lost
    replies: Send  # this is asked instead of `send`, and `record` sees what it returns
    hears: Mapping[str, Any]  # the signal that is waited for comes, with this payload
    runs_out: bool  # it doesn't come, and the time is over


INSTEAD: Final = ("answers", "refuses", "retries", "is_unknown", "parks", "raises")
OF_CALLS: Final = ("times_out", "loses_its_answer", "replies")
OF_WAITS: Final = ("hears", "runs_out")
SIGNALLED: Final = "is signalled"
_POSSIBLE: Final[dict[type[Node], tuple[str, ...]]] = {
    Step: INSTEAD,
    Call: (*INSTEAD, *OF_CALLS, SIGNALLED),
    Wait: (*OF_WAITS, "refuses", "parks", "raises", SIGNALLED),
}


@dataclass(slots=True)
class Clause:
    """One thing that a sentence says: `what` happens at `place`, `times` times (None: every time)."""

    place: Place
    what: str
    value: Any
    times: int | None = None
    happened: set[Any] = field(default_factory=set, init=False)

    def happens(self, occasion: Any) -> bool:
        """Whether it happens on that occasion; asked again about the same one, it answers the same."""
        if self.times is None or len(self.happened) < self.times:
            self.happened.add(occasion)
        return occasion in self.happened

    def __str__(self) -> str:
        if self.what == SIGNALLED:
            return f"when_signalled({self.value[0]!r}, during={str(self.place)!r})"
        return f"when{'_undoing' * self.place.undoing}({self.place.step!r}, {self.what}={self.value!r})"


def clause_of(definition: type[Saga], place: Place, event: Event, *, times: int | None) -> Clause:
    """Check one `when(…)` against the definition; raises `ValueError` for what can't happen there."""
    if len(event) != 1:
        raise ValueError(f"say one thing at a time about {place.step}; said was {', '.join(event) or 'nothing'}")
    [(what, value)] = cast(dict[str, Any], event).items()
    check(definition, place, what)
    return Clause(place, what, value, times or 1 if what in OF_WAITS else times)


def named(definition: type[Saga], step: str) -> Node:
    """The step of that name; raises `ValueError` if there is none."""
    for node in definition.steps:
        if node.name == step:
            return node
    names = ", ".join(node.name for node in definition.steps)
    raise ValueError(f"{definition.__name__} has no step {step!r}; it has {names}")


def check(definition: type[Saga], place: Place, what: str) -> None:
    """Raise `ValueError` if there is no such place in the definition, or `what` can't happen there."""
    node = named(definition, place.step)
    if place.undoing and getattr(node, "undo", None) is None:
        raise ValueError(f"{place.step} of {definition.__name__} has no undo")
    possible = _POSSIBLE[type(node)]
    if what not in possible:
        raise ValueError(f"{place.step} is a {type(node).__name__}: {what!r} can't happen, but {', '.join(possible)}")


class Script(Interceptor):
    """Plays what is said about one saga; all other sagas meet the definition as it is."""

    def __init__(self, saga_id: UUID, definition: type[Saga]) -> None:
        self.saga_id = saga_id
        self.clauses: list[Clause] = []
        self.chapter = 0  # a person's decision begins a new one, in which attempts are counted anew
        self._timeouts = {node.name: node.timeout for node in definition.steps if isinstance(node, Call)}
        self._attempt = 0
        self._recording: Outcome | None = None

    def find(self, place: Place, whats: Sequence[str], *, occasion: Any) -> Clause | None:
        """What is said to happen at `place` on that occasion, of the kinds `whats`, if anything."""
        about = (clause for clause in self.clauses if clause.place == place and clause.what in whats)
        return next((clause for clause in about if clause.happens(occasion)), None)

    def handle(self, place: Place, tickets: Sequence[Ticket], go: Handle) -> Sequence[Outcome]:
        def ours(ticket: Ticket) -> Outcome | None:
            clause = self.find(place, INSTEAD, occasion=(self.chapter, ticket.attempt))
            return _outcome(clause) if clause else None

        return self._split(tickets, go, ours)

    def intend(self, place: Place, tickets: Sequence[Ticket], go: Intend) -> Sequence[Outcome | Ready]:
        self._attempt = next((ticket.attempt for ticket in tickets if ticket.id == self.saga_id), self._attempt)
        return go(tickets)

    def call(self, place: Place, saga_id: UUID, request: Any, go: Send) -> Any:
        occasion = (self.chapter, self._attempt)
        clause = self.find(place, INSTEAD + OF_CALLS, occasion=occasion) if saga_id == self.saga_id else None
        if saga_id == self.saga_id:
            self._recording = None
        if clause is None:
            return go(request)
        match clause.what:
            case "loses_its_answer":
                go(request)
                return Unknown("The answer was lost.")
            case "times_out":
                return Unknown(f"no answer within {self._timeouts[place.step]:g} s")
            case "is_unknown":
                return Unknown(clause.value)  # for the call's own `record` to see, as a real one would be
            case "replies":
                return clause.value(request)
        self._recording = _outcome(clause)
        return None

    def record(self, place: Place, tickets: Sequence[Ticket], replies: Sequence[Any], go: Record) -> Sequence[Outcome]:
        mine = [ticket for ticket in tickets if ticket.id == self.saga_id]
        if not mine or self._recording is None:
            return go(tickets, replies)
        outcome = self._recording  # and stays: the transaction may be run again
        reply_to = dict(zip((ticket.id for ticket in tickets), replies, strict=True))
        return self._split(tickets, lambda some: go(some, [reply_to[one.id] for one in some]), lambda _: outcome)

    def _split(
        self, tickets: Sequence[Ticket], go: Handle, ours: Callable[[Ticket], Outcome | None]
    ) -> Sequence[Outcome]:
        """Let `ours` answer for the saga that this is about, and `go` for all others, and where it has no answer."""
        said = {ticket.id: ours(ticket) for ticket in tickets if ticket.id == self.saga_id}
        others = [ticket for ticket in tickets if said.get(ticket.id) is None]
        theirs = iter(go(others) if others else ())
        return [said.get(ticket.id) or next(theirs) for ticket in tickets]


def _outcome(clause: Clause) -> Outcome:
    match clause.what, clause.value:
        case "answers", data:
            return Done(dict(data))
        case "refuses", Refused() as refused:
            return refused
        case "refuses", code:
            return Refused(code)
        case "retries", why:
            return Retry(why)
        case "is_unknown", why:
            return Unknown(why)
        case "parks", why:
            return Parked(why)
    error: Exception = clause.value
    raise error
