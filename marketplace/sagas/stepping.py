"""How a group of sagas moves through one transaction.

All sagas that stand at the same step move together: one call of the step's handler, one set of statements. Those it
lets pass join the group at the next step, in the same transaction, until each has come to a call (which must not be
made inside a transaction), to a wait, to another machine's queue, or to its end. A single saga is a group of one.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.utils.functional import cached_property

from marketplace.sagas import rows
from marketplace.sagas.definition import Call, Node, RetryPolicy, Saga, Step, Wait, Workspace
from marketplace.sagas.models import TERMINAL, Direction, Result, Status
from marketplace.sagas.outcomes import Done, Outcome, Parked, Ready, Refused, Retry, Unknown
from marketplace.sagas.rows import Run
from marketplace.sagas.ticket import Cause, Ticket

CLOSING = -1  # the position of a saga whose steps are all undone
LOST_WORKERS = 10  # attempts that died with their worker are made again this often beyond the policy


@dataclass(frozen=True, slots=True)
class Flight:
    """A call whose intent is written: to be made once the transaction has committed."""

    run: Run
    call: Call
    request: Any

    def send(self) -> Any:
        """Make the call. Outside of any transaction, in any thread."""
        remote = self.call.undo if self.run.undoing and self.call.undo else self.call.do
        return remote.send(self.request)


class Pass:
    """The moves of one transaction. `claimed` or `answered` once, then `write`."""

    def __init__(self, *, now: datetime, queues: frozenset[str]) -> None:
        self.now = now
        self.flights: list[Flight] = []
        self.bells: set[str] = set()  # queues of other workers that now have something due
        self._queues = queues
        self._begun = time.perf_counter()
        self._runs: list[Run] = []
        self._order: dict[Any, int] = {}
        self._frontier: dict[tuple[bool, int, type[Saga]], list[Run]] = {}
        self._history: list[tuple[Any, ...]] = []
        self._workspaces: dict[type[Workspace], Workspace] = {}

    # --- the two ways in ----------------------------------------------------------------------------------------------

    def claimed(self, runs: Sequence[Run]) -> None:
        """Move sagas that were due on to where they can't go further now."""
        known = self._take(runs)
        for run in known:
            if run.status == Status.STARTED:
                run.status = Status.IN_PROGRESS
            if run.deadline_at is None:  # counted from the first time somebody works on it
                run.deadline_at = self.now + timedelta(seconds=settings.SAGA_TIMEOUT_SECONDS)
            if run.in_flight:
                self._lost(run)
            else:
                self._place(run)
        self._advance()

    def answered(self, runs: Sequence[Run], replies: dict[Any, Any]) -> None:
        """Record what the calls in flight of `runs` have answered (by saga id), then move on like `claimed`."""
        groups: dict[tuple[bool, int, type[Saga]], list[Run]] = {}
        for run in self._take(runs):
            groups.setdefault(self._key(run), []).append(run)
        for group in groups.values():
            node = cast(Call, self._node(group[0]))
            tickets = self._tickets(group, node, attempts_before=1)
            remote = node.undo if group[0].undoing and node.undo else node.do
            outcomes = remote.record(tickets, [replies[ticket.id] for ticket in tickets], now=self.now)
            for run, outcome in self._pair(group, outcomes):
                run.in_flight = False
                self._apply(run, node, cast(Outcome, outcome), started_at=run.step_started_at)
        self._advance()

    def write(self) -> None:
        """Write everything, in a constant number of statements. The transaction may commit after it."""
        for workspace in self._workspaces.values():
            workspace.close(now=self.now)
        for run in self._runs:
            self._answer_signals(run)
        rows.save_history(self._history)
        rows.save_signals(self._runs, now=self.now)
        rows.save(self._runs, now=self.now)

    # --- the frontier -------------------------------------------------------------------------------------------------

    def _take(self, runs: Sequence[Run]) -> list[Run]:
        """Open the workspaces and the inboxes of `runs`; park those whose definition, or step, is gone."""
        self._runs.extend(runs)
        self._order.update((run.ticket.id, at) for at, run in enumerate(runs))
        opened: dict[type[Workspace], list[Ticket]] = {}
        for run in runs:
            if run.saga is not None:
                opened.setdefault(run.saga.workspace, []).append(run.ticket)
        for kind, tickets in opened.items():
            self._workspaces.setdefault(kind, kind()).open(tickets, now=self.now)
        known = [run for run in runs if not self._stranded(run)]
        rows.read_signals(known)
        for run in known:
            saga = cast(type[Saga], run.saga)
            run.stop = next((signal for signal in run.inbox if signal.name in saga.stops), None)
        return known

    def _stranded(self, run: Run) -> bool:
        why = _lacks(run)
        if why:
            self._note(run, run.current_step, Result.PARKED, why, started_at=run.step_started_at)
            self._park(run, why)
        return bool(why)

    def _key(self, run: Run) -> tuple[bool, int, type[Saga]]:
        return run.undoing, run.position, cast(type[Saga], run.saga)

    def _node(self, run: Run) -> Node:
        return cast(type[Saga], run.saga).steps[run.position]

    def _place(self, run: Run) -> None:
        """Let `run` join the group at its position, unless it is to be stopped first or belongs to other workers."""
        saga = cast(type[Saga], run.saga)
        if self._may_stop(run):
            self._stop(run)
            return
        if run.position != CLOSING:
            node = saga.steps[run.position]
            run.current_step = node.name
            run.queue = node.queue
            if node.queue not in self._queues:
                run.due_at = self.now
                self.bells.add(node.queue)
                return
        self._frontier.setdefault(self._key(run), []).append(run)

    def _advance(self) -> None:
        """Run group after group: forward from the first step on, then undoing from the last one back."""
        while self._frontier:
            key = min(self._frontier, key=lambda k: (k[0], -k[1] if k[0] else k[1], k[2].name))
            group = sorted(self._frontier.pop(key), key=lambda run: self._order[run.ticket.id])
            undoing, position, saga = key
            if position == CLOSING:
                self._close(group, saga)
                continue
            node = saga.steps[position]
            if isinstance(node, Wait):
                self._wait(group, node)
            elif isinstance(node, Call):
                self._call(group, node)
            else:
                handler = node.undo if undoing and node.undo else node.do
                self._handle(group, node, handler)

    # --- the kinds of step --------------------------------------------------------------------------------------------

    def _handle(self, group: list[Run], node: Step, handler: Callable[..., Sequence[Outcome]]) -> None:
        started_at = self._clock()
        outcomes = handler(self._tickets(group, node), now=self.now)
        for run, outcome in self._pair(group, outcomes):
            run.attempt += 1
            self._apply(run, node, cast(Outcome, outcome), started_at=started_at)

    def _call(self, group: list[Run], node: Call) -> None:
        remote = node.undo if group[0].undoing and node.undo else node.do
        started_at = self._clock()
        answers = remote.prepare(self._tickets(group, node), now=self.now)
        for run, answer in self._pair(group, answers):
            run.attempt += 1
            if isinstance(answer, Ready):
                run.fence += 1
                run.in_flight = True
                run.step_started_at = started_at
                run.due_at = self.now + self._lease
                self.flights.append(Flight(run, node, answer.request))
            else:
                self._apply(run, node, answer, started_at=started_at)

    def _wait(self, group: list[Run], node: Wait) -> None:
        received: list[Run] = []
        for run in group:
            run.ticket.step = node.name
            if run.wait_until is None:
                if node.unless is not None and node.unless(run.ticket):
                    self._forward(run)
                    continue
                run.wait_until = node.until(run.ticket)
                run.step_started_at = self._clock()
            until = run.wait_until
            signal = next((s for s in run.inbox if s.name == node.listens_to and not s.disposition), None)
            if signal is not None and signal.received_at <= until:
                signal.disposition = "RECEIVED"
                run.ticket.signal = signal.payload
                received.append(run)
            elif self.now >= until:
                self._expire(run, node)
            else:
                run.due_at = until
        if not received:
            return
        tickets = self._tickets(received, node)
        outcomes = node.receive(tickets, now=self.now) if node.receive else [Done() for _ in tickets]
        for run, outcome in self._pair(received, outcomes):
            run.ticket.signal = None
            if isinstance(outcome, Retry | Unknown):
                self._place(run)  # it waits on, unless another signal is here already
            else:
                self._apply(run, node, outcome, started_at=run.step_started_at)

    def _expire(self, run: Run, node: Wait) -> None:
        """The time to wait is over: leave by the wait's exit, or to a person where there is no way back."""
        self._note(run, node.name, Result.EXPIRED, node.otherwise.message, started_at=run.step_started_at)
        if self._past_pivot(run):
            run.wait_until = None  # who lets it go on lets it wait anew
            self._park(run, f"{node.name} ran out past the pivot: {node.otherwise.message or node.otherwise.code}")
        else:
            self._undo_from(run, run.position - 1, node.otherwise.cause())

    def _close(self, group: list[Run], saga: type[Saga]) -> None:
        tickets = [run.ticket for run in group]
        for run in group:
            run.current_step = run.ticket.step = ""
            run.ticket.undoing = True
        for run, outcome in self._pair(group, saga.closing(tickets, now=self.now)):
            if isinstance(outcome, Done):
                self._finish(run, Status.COMPENSATED if run.undone else Status.FAILED)
            else:
                self._park(run, f"everything is undone, but closing it failed: {_why(outcome)}")

    # --- what becomes of a saga ---------------------------------------------------------------------------------------

    def _apply(self, run: Run, node: Node, outcome: Outcome, *, started_at: datetime | None) -> None:
        match outcome:
            case Done(data, message):
                self._note(run, node.name, Result.DONE, message, started_at=started_at)
                run.ticket.context.update(data)
                if run.undoing:
                    run.undone += 1
                    self._undo_from(run, run.position - 1, run.ticket.cause)
                else:
                    self._forward(run)
            case Refused(code, message, data):
                self._note(run, node.name, Result.REFUSED, message or code, started_at=started_at)
                if run.undoing:
                    self._park(run, self._remains(run, node, message or code))
                elif self._past_pivot(run):
                    self._park(run, f"{node.name} was refused past the pivot: {message or code}")
                else:
                    self._undo_from(run, run.position - 1, Cause("failed", code, message, dict(data)))
            case Parked(why):
                self._note(run, node.name, Result.PARKED, why, started_at=started_at)
                self._park(run, self._remains(run, node, why) if run.undoing else why)
            case Retry(why) | Unknown(why):
                result = Result.UNKNOWN if isinstance(outcome, Unknown) else Result.RETRY
                self._note(run, node.name, result, why, started_at=started_at)
                self._again(run, cast(Step | Call, node), why, after=getattr(outcome, "after", None))
            case unforeseen:
                raise TypeError(f"{node.name} answered {unforeseen!r}, which is no outcome")

    def _forward(self, run: Run) -> None:
        saga = cast(type[Saga], run.saga)
        if run.wait_until is not None and run.step_started_at is not None and run.deadline_at is not None:
            run.deadline_at += self.now - run.step_started_at  # time spent waiting for a person does not count
        self._reset(run)
        run.position += 1
        if run.position == len(saga.steps):
            self._finish(run, Status.COMPLETED)
        else:
            self._place(run)

    def _undo_from(self, run: Run, position: int, cause: Cause | None) -> None:
        """Go back to the nearest step at or before `position` that can be undone, or to the end."""
        saga = cast(type[Saga], run.saga)
        self._reset(run)
        run.undoing = True
        run.ticket.cause = cause
        while position > CLOSING and getattr(saga.steps[position], "undo", None) is None:
            position -= 1
        run.position = position
        if position != CLOSING and run.status != Status.COMPENSATING:
            self._move(run, Status.COMPENSATING)
        self._place(run)

    def _past_pivot(self, run: Run) -> bool:
        return run.position > cast(type[Saga], run.saga).pivot()

    def _may_stop(self, run: Run) -> bool:
        """Whether a stop has come that can act now.

        Up to the pivot it can; but a pivot that was called already may have happened, and nobody can undo it: there it
        waits until somebody knows.
        """
        if run.stop is None or run.undoing or self._past_pivot(run):
            return False
        node = self._node(run)
        return not (node.pivot and isinstance(node, Call) and run.attempt)

    def _stop(self, run: Run) -> None:
        """A signal stops the saga here, between two steps (or between two attempts at one)."""
        saga = cast(type[Saga], run.saga)
        signal = run.stop
        if signal is None:
            return
        signal.disposition = "STOPPED"
        run.stop = None
        cause = saga.stops[signal.name].cause(signal.payload)
        node = saga.steps[run.position]
        self._note(run, node.name, Result.STOPPED, cause.message or cause.code, started_at=run.step_started_at)
        # A step that was tried already may have had its effect: its undo covers it.
        self._undo_from(run, run.position if run.attempt else run.position - 1, cause)

    def _again(self, run: Run, node: Step | Call, why: str, *, after: timedelta | None) -> None:
        policy: RetryPolicy = node.undo_retry if run.undoing else node.retry
        if self._may_stop(run):
            self._stop(run)
            return
        tried = run.attempt - run.forgiven
        pause = policy.pause(tried) if after is None else after
        out_of_time = not run.undoing and run.deadline_at is not None and self.now + pause > run.deadline_at
        if tried < policy.most and not out_of_time:
            run.due_at = self.now + pause
            run.step_started_at = None
        elif run.undoing:
            self._park(run, self._remains(run, node, why))
        elif policy.spent == "park" or self._past_pivot(run):
            self._park(run, f"{node.name} was tried {run.attempt} times: {why}")
        else:
            self._undo_from(run, run.position, Cause("failed", policy.code, policy.message or why))

    def _lost(self, run: Run) -> None:
        """The worker that made the call is gone, and its answer with it: ask again with the same key."""
        node = cast(Call, self._node(run))
        run.in_flight = False
        why = "The worker was lost before the answer was written down; asking again."
        self._note(run, node.name, Result.UNKNOWN, why, started_at=run.step_started_at)
        policy = node.undo_retry if run.undoing else node.retry
        if run.attempt - run.forgiven < policy.most + LOST_WORKERS:
            self._place(run)
        else:
            self._again(run, node, why, after=None)

    def _finish(self, run: Run, status: Status) -> None:
        self._reset(run)
        run.current_step = ""
        run.completed_at = self.now
        self._move(run, status)

    def _park(self, run: Run, why: str) -> None:
        run.due_at = None
        run.in_flight = False
        run.attention = why
        self._move(run, Status.NEEDS_ATTENTION)

    def _move(self, run: Run, status: Status) -> None:
        run.status = status
        if run.saga is not None:
            self._workspaces[run.saga.workspace].moved(run.ticket, status, now=self.now)

    def _reset(self, run: Run) -> None:
        run.attempt = 0
        run.forgiven = 0
        run.due_at = None
        run.wait_until = None
        run.step_started_at = None
        run.attention = ""

    def _remains(self, run: Run, node: Node, why: str) -> str:
        """What a person needs to know of a compensation that can't go on."""
        steps = cast(type[Saga], run.saga).steps[: run.position + 1]
        left = [step.name for step in reversed(steps) if getattr(step, "undo", None) is not None]
        return f"Undoing {node.name} did not succeed: {why} Still to be undone: {', '.join(left)}."

    def _answer_signals(self, run: Run) -> None:
        """A signal that can't have any effect any more is told so; one that may still be waited for stays."""
        if run.status in TERMINAL or run.undoing:
            for signal in run.inbox:
                signal.disposition = signal.disposition or "TOO_LATE"
        elif run.saga is not None and self._past_pivot(run):
            for signal in run.inbox:
                if signal.name in run.saga.stops:
                    signal.disposition = signal.disposition or "TOO_LATE"

    # --- small things -------------------------------------------------------------------------------------------------

    def _tickets(self, group: list[Run], node: Node, *, attempts_before: int = 0) -> list[Ticket]:
        """The tickets of `group`, set to `node`; `attempts_before` is 1 when the attempt has already been counted."""
        for run in group:
            run.ticket.step = node.name
            run.ticket.undoing = run.undoing
            run.ticket.attempt = run.attempt + 1 - attempts_before
        return [run.ticket for run in group]

    def _pair(self, group: list[Run], answers: Sequence[Any]) -> list[tuple[Run, Any]]:
        if len(answers) != len(group):
            raise ValueError(f"a handler answered {len(answers)} outcomes for {len(group)} tickets")
        return list(zip(group, answers, strict=True))

    def _clock(self) -> datetime:
        """The database's time, carried on by this process's steady clock."""
        return self.now + timedelta(seconds=time.perf_counter() - self._begun)

    @cached_property
    def _lease(self) -> timedelta:
        return timedelta(seconds=settings.SAGA_LEASE_SECONDS)

    def _note(self, run: Run, step: str, result: Result, message: str, *, started_at: datetime | None) -> None:
        finished_at = self._clock()
        started_at = started_at or finished_at
        self._history.append(
            (
                run.ticket.id,
                step,
                Direction.COMPENSATING if run.undoing else Direction.FORWARD,
                result,
                max(run.attempt, 1),
                message,
                "",
                started_at,
                finished_at,
                max(0, round((finished_at - started_at).total_seconds() * 1000)),
            )
        )


def _lacks(run: Run) -> str:
    """What of the saga's definition is not here, empty where it can go on: its position must mean the same step."""
    if run.saga is None:
        return f"there is no definition {run.name!r} version {run.version} here"
    if run.position == CLOSING:
        return ""
    steps = run.saga.steps
    if run.position < len(steps) and steps[run.position].name == run.current_step:
        return ""
    return f"{run.name!r} version {run.version} has no step {run.current_step!r} here as its step {run.position + 1}"


def _why(outcome: Any) -> str:
    return str(getattr(outcome, "why", "") or getattr(outcome, "message", "") or outcome)
