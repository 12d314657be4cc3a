"""`given(…).when(…).expect_…`: a test of a definition in one sentence."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self, Unpack, cast
from uuid import UUID

from django.db import transaction

from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.sagas import attention, services
from marketplace.sagas.definition import Saga, Wait
from marketplace.sagas.models import TERMINAL, SagaInstance, Status
from marketplace.sagas.runner import Airborne, Worker
from marketplace.sagas.testing.clock import let_come
from marketplace.sagas.testing.interception import Place, intercepted
from marketplace.sagas.testing.script import OF_WAITS, SIGNALLED, Clause, Event, Script, check, clause_of, named
from marketplace.sagas.testing.story import Story

MOST_DRIVES = 200  # of one sentence: whoever needs more does not come to rest
DRIVE_SECONDS = 30.0
_DECISIONS = {
    "retry": attention.retry,
    "compensate": attention.compensate,
    "resolve": attention.resolve,
    "ignore": attention.ignore,
}


class Subject(Protocol):
    """Whatever a saga is about, such as an order: it has an id."""

    @property
    def id(self) -> UUID: ...


def given(definition: type[Saga], subject: Subject | UUID, **context: Any) -> "Sentence":
    """Begin a sentence about the saga of `definition` for `subject`.

    If the subject has one already (placing an order starts its saga), that is meant; else one is started, with
    `context`. Nothing moves before the first expectation.
    """
    subject_id = subject if isinstance(subject, UUID) else subject.id
    saga_id = SagaInstance.objects.filter(name=definition.name, subject_id=subject_id).values_list("id", flat=True)
    if saga_id and context:
        raise ValueError(f"{definition.__name__} of {subject_id} is started already: its context is what it is")
    if saga_id:
        return Sentence(definition, saga_id[0])
    start = services.Start(subject_id, context)
    with transaction.atomic():
        services.start(definition, [start], now=database_now())
    return Sentence(definition, start.id)


class Sentence:
    """What is said of one saga, and what is expected of it.

    The real engine runs the definition's real handlers on the real database; only where the sentence says that
    something happens at a step, that happens instead. Pauses between attempts and waits that run out cost no time. The
    first expectation plays what was said, until the saga is over, parked, or waits for what nobody has said. Another
    `when` after it goes on from there. Sagas that are due beside it move along.
    """

    def __init__(self, definition: type[Saga], saga_id: UUID) -> None:
        self.saga_id = saga_id
        self._definition = definition
        self._script = Script(saga_id, definition)
        self._queues = sorted({node.queue for node in definition.steps})
        self._decisions: list[tuple[str, str]] = []
        self._played = False

    # --- when ---------------------------------------------------------------------------------------------------------

    def when(self, step: str, *, times: int | None = None, **event: Unpack[Event]) -> Self:
        """Say what happens at `step`, in one of the ways of `Event`: `when("charge_card", refuses="card_declined")`.

        It happens at each attempt, or at the first `times`. Raises `ValueError` for what can't happen there.
        """
        return self._say(clause_of(self._definition, Place(step), event, times=times))

    def when_undoing(self, step: str, *, times: int | None = None, **event: Unpack[Event]) -> Self:
        """Like `when`, for the undo of `step`."""
        return self._say(clause_of(self._definition, Place(step, undoing=True), event, times=times))

    def when_signalled(self, name: str, payload: Mapping[str, Any] | None = None, *, during: str = "") -> Self:
        """Say that a signal comes: while the call `during` is in flight, once the wait `during` waits, or at once.

        A `Step` moves in one transaction, in which nothing can come between.
        """
        if during:
            place = Place.of(during)
            check(self._definition, place, SIGNALLED)
            return self._say(Clause(place, SIGNALLED, (name, payload or {}), times=1))
        self._send(name, payload or {})
        self._played = False
        return self

    def when_decided(self, decision: str, *, reason: str = "The test has it so.") -> Self:
        """Say what a person decides once the saga is parked: retry, compensate, resolve or ignore."""
        if decision not in _DECISIONS:
            raise ValueError(f"a person may {', '.join(_DECISIONS)}, not {decision!r}")
        self._decisions.append((decision, reason))
        self._played = False
        return self

    # --- expect -------------------------------------------------------------------------------------------------------

    def expect_done(self, *steps: str) -> Self:
        """Exactly these steps were done, in this order."""
        return self._expect("steps done", list(steps), self.story.done)

    def expect_undone(self, *steps: str) -> Self:
        """Exactly these steps were undone, in this order."""
        return self._expect("steps undone", list(steps), self.story.undone)

    def expect_status(self, status: str) -> Self:
        """The saga has come to `status` (a `Status`)."""
        return self._expect("status", str(status), self.story.saga.status)

    def expect_completed(self) -> Self:
        """The saga has done all its steps."""
        return self.expect_status(Status.COMPLETED)

    def expect_failure(self, code: str) -> Self:
        """The saga is undone, or failed with nothing to undo, because of `code`."""
        story = self.story
        self._expect("a saga that is over", True, story.saga.status in (Status.COMPENSATED, Status.FAILED))
        return self._expect("failure code", code, story.failure)

    def expect_parked(self, why: str = "", *, at: str = "") -> Self:
        """A person has to decide; `why` is part of what they are told, `at` where it stands (`-step`: at its undo)."""
        saga = self.story.saga
        self.expect_status(Status.NEEDS_ATTENTION)
        if why and why not in saga.attention:
            self._fail("reason for attention with", why, saga.attention)
        return self._expect("parked at", at, str(Place(saga.current_step, saga.undoing))) if at else self

    def expect_waiting(self, step: str) -> Self:
        """The saga waits at `step` for a signal."""
        saga = self.story.saga
        return self._expect("waiting at", step, saga.current_step if saga.wait_until else "")

    def expect_attempts(self, step: str, attempts: int) -> Self:
        """`step` (or with `-` before it, its undo) was tried so often."""
        place = Place.of(step)
        named(self._definition, place.step)
        return self._expect(f"attempts at {place}", attempts, self.story.attempts(place))

    def expect_context(self, **data: Any) -> Self:
        """The saga remembers this, whatever else it remembers."""
        context = self.story.saga.context
        return self._expect("context", data, {name: context.get(name) for name in data})

    @property
    def story(self) -> Story:
        """The saga's story so far, after playing what was said. `print` it to see all of it."""
        if not self._played:
            self._play()
            self._played = True
            self._check_all_happened()
        return Story.of(self.saga_id)

    # --- how it is played ---------------------------------------------------------------------------------------------

    def _say(self, clause: Clause) -> Self:
        self._script.clauses.append(clause)
        self._played = False
        return self

    def _play(self) -> None:
        with intercepted(self._definition, self._script):
            for _ in range(MOST_DRIVES):
                _Hand(self._queues, on_launch=self._in_flight).drive(until=time.monotonic() + DRIVE_SECONDS)
                if not self._go_on(SagaInstance.objects.get(pk=self.saga_id)):
                    return
        self._fail("a saga that comes to rest", f"within {MOST_DRIVES} drives", "one that goes on and on")

    def _go_on(self, saga: SagaInstance) -> bool:
        """Let happen what makes the saga go on from where it is at rest; answer whether there was anything."""
        if saga.status in TERMINAL:
            return False
        if saga.status == Status.NEEDS_ATTENTION:
            return self._decide()
        if saga.wait_until is not None and not saga.undoing:
            return self._end_wait(saga)
        if saga.due_at is not None:
            let_come(saga.id, saga.due_at)
        return True

    def _decide(self) -> bool:
        if not self._decisions:
            return False
        decision, reason = self._decisions.pop(0)
        _DECISIONS[decision](self.saga_id, actor="test", reason=reason, now=database_now())
        self._script.chapter += 1
        return True

    def _end_wait(self, saga: SagaInstance) -> bool:
        clause = self._script.find(Place(saga.current_step), (*OF_WAITS, SIGNALLED), occasion=object())
        if clause is None:
            return False
        match clause.what:
            case "runs_out":
                let_come(saga.id, saga.wait_until or database_now())
            case "hears":
                self._send(self._listens_to(saga.current_step), clause.value)
            case _:
                self._send(*clause.value)
        return True

    def _in_flight(self, airborne: Airborne) -> None:
        run, call = airborne.flight.run, airborne.flight.call
        if run.ticket.id != self.saga_id:
            return
        clause = self._script.find(Place(call.name, run.undoing), (SIGNALLED,), occasion=(run.fence,))
        if clause is not None:
            self._send(*clause.value)

    def _send(self, name: str, payload: Mapping[str, Any]) -> None:
        services.signal(self.saga_id, name, signal_id=str(new_id()), payload=dict(payload))

    def _listens_to(self, step: str) -> str:
        return cast(Wait, named(self._definition, step)).listens_to

    # --- how it fails -------------------------------------------------------------------------------------------------

    def _check_all_happened(self) -> None:
        idle = [str(clause) for clause in self._script.clauses if not clause.happened]
        idle += [f"when_decided({decision!r})" for decision, _ in self._decisions]
        if idle:
            self._fail("that it comes to this", ", ".join(idle), "it never did")

    def _expect(self, what: str, expected: Any, found: Any) -> Self:
        if expected != found:
            self._fail(what, _in_words(expected), _in_words(found))
        return self

    def _fail(self, what: str, expected: str, found: str) -> None:
        __tracebackhide__ = True
        raise AssertionError(f"{what}\n  expected: {expected}\n  found:    {found}\n\n{Story.of(self.saga_id)}")


class _Hand(Worker):
    """A worker that can be told things at the instant when a call is under way."""

    def __init__(self, queues: list[str], *, on_launch: Callable[[Airborne], None]) -> None:
        super().__init__(queues, on_full=lambda: None, on_bell=lambda queue: None)
        self._on_launch = on_launch

    def _launch(self, airborne: Airborne) -> None:
        self._on_launch(airborne)
        super()._launch(airborne)


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value != "" else "nothing"
