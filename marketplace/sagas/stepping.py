"""How a group of sagas moves through one transaction.

All sagas that stand at the same step move together: one call of the step's handler, one set of statements. Those it
lets pass join the group at the next step, in the same transaction, until each has come to a call (which must not be
made inside a transaction), to a wait, to another machine's queue, or to its end. A single saga is a group of one.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple, cast

from django.conf import settings
from django.utils.functional import cached_property

from marketplace.kernel.pipeline import pipelined
from marketplace.sagas import redrive, rows, standby, stops
from marketplace.sagas.course import Course
from marketplace.sagas.definition import Call, GoOn, LateRule, Node, Probing, Saga, Step, Wait, Workspace, is_later
from marketplace.sagas.gate import Gate, remote_of
from marketplace.sagas.models import Result, Status
from marketplace.sagas.outcomes import Done, Outcome, Ready, Retry, Unknown
from marketplace.sagas.rows import Run
from marketplace.sagas.standing import CLOSING, lacks, node_of, past_pivot, saga_of, time_for
from marketplace.sagas.ticket import LateSignal, Ticket
from marketplace.sagas.timeouts import Limit, Overran

__all__ = ["CLOSING", "TO_BE_LEFT", "Flight", "Pass"]

TO_BE_LEFT = timedelta(seconds=5)  # before a worker that can't move it, or not yet, meets the same saga again


class Flight(NamedTuple):
    """A call whose intent is written: to be made once the transaction has committed."""

    run: Run
    call: Call
    request: Any
    probing: bool = False  # the other side may have forgotten the key: look, and don't touch

    def send(self) -> Any:
        """Make the call. Outside of any transaction, in any thread."""
        remote = remote_of(self.run, self.call)
        return cast(Probing, remote).probe(self.request) if self.probing else remote.send(self.request)


class Pass(Course):
    """The moves of one transaction. `claimed` or `answered` once, then `write`."""

    def __init__(
        self,
        *,
        now: datetime,
        queues: frozenset[str],
        ways: standby.Ways | None = None,
        overran: Sequence[Overran] = (),
    ) -> None:
        """`ways`: which are closed, if somebody has looked already.

        `overran`: leave out the steps that took too long when this was tried before, and count that as an attempt.
        """
        super().__init__(now=now)
        self._limit = Limit(settings.SAGA_STEP_TIMEOUT_SECONDS)  # as `rows` has set it for whoever claims or holds
        self.overran = overran
        self.opened = False  # whether what the sagas are about is loaded
        self.flights: list[Flight] = []
        self.bells: set[str] = set()  # queues of other workers that now have something due
        self.gate = Gate(ways)
        self._queues = queues
        self._runs: list[Run] = []
        self._frontier: dict[tuple[bool, int, type[Saga]], list[Run]] = {}
        self._last: tuple[str, bool] | None = None  # the last step that was begun, and whether to undo it

    # --- the two ways in ----------------------------------------------------------------------------------------------

    def claimed(self, runs: Sequence[Run]) -> None:
        """Move sagas that were due on to where they can't go further now."""
        known = self._take(runs)
        parked = [run for run in known if run.status == Status.NEEDS_ATTENTION]
        if parked:
            going_on = redrive.begin(parked, self._journal, now=self.now)
            known = [run for run in known if run not in parked or run in going_on]
        for run in known:
            if run.status == Status.STARTED:
                run.status = Status.IN_PROGRESS
            if run.deadline_at is None:  # counted from the first time somebody works on it
                run.deadline_at = self.now + time_for(run)
            if run.in_flight:
                self._lost(run)
            elif self._overdue(run) and not stops.may_stop(run):
                self._out_of_time(run)
            else:
                self._place(run)
        self._advance()

    def answered(self, runs: Sequence[Run], replies: dict[Any, Any], *, onward: bool = True) -> None:
        """Record what the calls in flight of `runs` have answered (by saga id), then move on like `claimed`.

        Not `onward`: leave the steps that follow, due at once, to a transaction of their own.
        """
        if not onward:
            self._queues = frozenset()
        groups: dict[tuple[bool, int, type[Saga]], list[Run]] = {}
        for run in self._take(runs):
            groups.setdefault(_key(run), []).append(run)
        for group in groups.values():
            node = cast(Call, node_of(group[0]))
            tickets = self._tickets(group, node, attempts_before=1)
            self._last = (node.name, group[0].undoing)
            before = self._overrun(node, undoing=group[0].undoing)
            if before is not None:
                self._not_written_down(group, node, before.how)
                continue
            with self._watched():
                remote = remote_of(group[0], node)
                outcomes = remote.record(tickets, [replies[ticket.id] for ticket in tickets], now=self.now)
            paired = self._pair(group, outcomes)
            circuits = self.gate.heard(group, node, tickets, outcomes)
            for (run, outcome), circuit in zip(paired, circuits, strict=True):
                run.in_flight = False
                self._apply(run, node, cast(Outcome, outcome), started_at=run.step_started_at, circuit=circuit)
        self._advance()

    def _not_written_down(self, group: list[Run], node: Call, how: str) -> None:
        why = f"Writing down the answer {how}; asking again."
        for run in group:
            run.in_flight = False
            self._apply(run, node, Unknown(why), started_at=run.step_started_at)

    @property
    def heard(self) -> bool:
        """Whether signals have come, some of which `write` may have to answer once everything is written."""
        return any(run.inbox for run in self._runs)

    def write(self) -> None:
        """Write everything, in a constant number of statements. The transaction may commit after it.

        Raises `Overran` where that takes too long: what is left to be written for a step is a part of it.
        """
        with self._watched():
            late = self._write()
        for rule, signal in late:  # last, so that it finds everything as it is from now on
            rule(signal)

    def _write(self) -> list[tuple[LateRule, LateSignal]]:
        with pipelined():  # to a saga that travels alone, waiting for each of them is most of its time
            for workspace in self._workspaces.values():
                workspace.close(now=self.now)
            late = [answer for run in self._runs if run.inbox for answer in stops.answer(run)]
            self.gate.write({flight.run.ticket.id for flight in self.flights})
            rows.save_standby(self._standing)
            rows.save_signals(self._runs, now=self.now)
            self._journal.write(self._runs)
            for workspace in self._workspaces.values():
                workspace.finish(now=self.now)
        return late

    def _overrun(self, node: Node, *, undoing: bool) -> Overran | None:
        """How `node` took too long when this was tried before, if it did."""
        return next((one for one in self.overran if one.where == (node.name, undoing)), None)

    def _watched(self) -> AbstractContextManager[None]:
        """Whatever hangs in this block is the last step's trouble, if there was one."""
        if self._last is None:
            return nullcontext()
        step, undoing = self._last
        return self._limit.watch(step, settings.SAGA_STEP_TIMEOUT_SECONDS, undoing=undoing)

    # --- the frontier -------------------------------------------------------------------------------------------------

    def _take(self, runs: Sequence[Run]) -> list[Run]:
        """Open the workspaces and the inboxes of `runs`; park those whose definition, or step, is gone.

        Those that were begun by newer code than this are left, as they are, to the workers that have it: while that is
        being deployed there are both.
        """
        theirs = [run for run in runs if run.saga is None and is_later(run.name, run.version)]
        if theirs:
            rows.put_off(theirs, until=self.now + TO_BE_LEFT)
            runs = [run for run in runs if run not in theirs]
        self._runs.extend(runs)
        for place, run in enumerate(runs):
            run.place = place
        opened: dict[type[Workspace], list[Ticket]] = {}
        for run in runs:
            if run.saga is not None:
                opened.setdefault(run.saga.workspace, []).append(run.ticket)
        for kind, tickets in sorted(opened.items(), key=_by_name):  # all lock in one order, to the last counter
            self._workspaces.setdefault(kind, kind()).open(tickets, now=self.now)
        self.opened = True
        known = [run for run in runs if not self._stranded(run)]
        stops.read(known)
        return known

    def _stranded(self, run: Run) -> bool:
        why = lacks(run)
        if why:
            self._journal.note(run, run.current_step, Result.PARKED, why, started_at=run.step_started_at)
            self._park(run, why)
        return bool(why)

    def _place(self, run: Run) -> None:
        """Let `run` join the group at its position, unless it is to be stopped first or belongs to other workers."""
        saga = saga_of(run)
        if stops.may_stop(run):
            self._stop(run)
            return
        if run.position == CLOSING and not self._queues:  # that, too, is left to a transaction of its own
            run.current_step, run.due_at = "", self.now
            self.bells.add(run.queue)
            return
        if run.position != CLOSING:
            node = saga.steps[run.position]
            run.current_step = node.name
            run.queue = node.queue
            if node.queue not in self._queues:
                run.due_at = self.now
                self.bells.add(node.queue)
                return
            before = self._overrun(node, undoing=run.undoing) if self.overran else None
            if before is not None:
                run.attempt += 1
                self._apply(run, node, Retry(str(before)), started_at=None)
                return
        self._frontier.setdefault(_key(run), []).append(run)

    def _advance(self) -> None:
        """Run group after group: forward from the first step on, then undoing from the last one back."""
        while self._frontier:
            key = min(self._frontier, key=lambda k: (k[0], -k[1] if k[0] else k[1], k[2].name))
            group = sorted(self._frontier.pop(key), key=_by_place)
            self._journal.look_at_the_clock()
            undoing, position, saga = key
            node = saga.steps[position] if position != CLOSING else None
            group = self._let_through(group, saga, node)
            if not group:
                continue
            if node is None:
                self._close(group, saga)
            elif isinstance(node, Wait):
                (self._come_back if undoing else self._wait)(group, node)
            elif isinstance(node, Call):
                if node.unless is not None and not undoing:
                    group = [run for run in group if not self._passed_by(run, node)]
                if group:
                    self._call(group, node)
            else:
                handler = node.undo if undoing and node.undo else node.do
                self._handle(group, node, handler)

    def _let_through(self, group: list[Run], saga: type[Saga], node: Node | None) -> list[Run]:
        """Those of `group` whose way is open; the others stand by."""
        barred = self.gate.barred(group, saga, node, lambda: self._tickets(group, node) if node else ())
        if barred is None:
            for run in group:
                self._end_standby(run)
            return group
        through = []
        for run, reason in zip(group, barred, strict=True):
            if reason:
                self._stand_by(run, reason, for_now=standby.recheck())
            else:
                self._end_standby(run)
                through.append(run)
        return through

    # --- the kinds of step --------------------------------------------------------------------------------------------

    def _handle(self, group: list[Run], node: Step, handler: Callable[..., Sequence[Outcome]]) -> None:
        started_at = self._journal.look_at_the_clock()
        patience = settings.SAGA_STEP_TIMEOUT_SECONDS if node.timeout is None else node.timeout
        self._last = (node.name, group[0].undoing)
        with self._limit.watch(node.name, patience, undoing=group[0].undoing):
            outcomes = handler(self._tickets(group, node), now=self.now)
        self._limit.set(settings.SAGA_STEP_TIMEOUT_SECONDS)
        for run, outcome in self._pair(group, outcomes):
            run.attempt += 1
            self._apply(run, node, cast(Outcome, outcome), started_at=started_at)

    def _call(self, group: list[Run], node: Call) -> None:
        for run in [run for run in group if self._overdue(run)]:
            group.remove(run)
            self._out_of_time(run)
        if not group:
            return
        remote = remote_of(group[0], node)
        started_at = self._journal.look_at_the_clock()
        first_asked = rows.first_asked(group, node.name) if node.key_window is not None else {}
        self._last = (node.name, group[0].undoing)
        with self._watched():
            answers = remote.prepare(self._tickets(group, node), now=self.now)
        for run, answer in self._pair(group, answers):
            run.attempt += 1
            if isinstance(answer, Ready):
                window = node.window(answer.request)
                begun = first_asked.get(run.ticket.id, self.now)
                forgotten = window is not None and self.now - begun >= window
                run.fence += 1
                run.in_flight = True
                if answer.data:
                    run.ticket.context.update(answer.data)
                run.step_started_at = started_at
                run.due_at = self.now + self._lease
                self.flights.append(Flight(run, node, answer.request, probing=forgotten))
            else:
                self._apply(run, node, answer, started_at=started_at)

    def _passed_by(self, run: Run, node: Call) -> bool:
        """Whether there is nothing to call for: then the saga is at its next step already."""
        run.ticket.step = node.name
        if run.attempt or node.unless is None or not node.unless(run.ticket):
            return False
        self._forward(run)
        return True

    def _wait(self, group: list[Run], node: Wait) -> None:
        received: list[Run] = []
        for run in group:
            run.ticket.step = node.name
            if run.wait_until is None:
                if node.unless is not None and node.unless(run.ticket):
                    self._forward(run)
                    continue
                run.wait_until = node.until(run.ticket)
                run.step_started_at = self._journal.look_at_the_clock()
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

    def _come_back(self, group: list[Run], node: Wait) -> None:
        """They are back at `node`: put the books right, and wait anew."""
        started_at = self._journal.look_at_the_clock()
        tickets = self._tickets(group, node)
        outcomes = node.returned(tickets, now=self.now) if node.returned else [Done() for _ in tickets]
        for run, outcome in self._pair(group, outcomes):
            if isinstance(outcome, Done):
                message = outcome.message or f"Back to {node.name}, to wait anew."
                self._journal.note(run, node.name, Result.RETURNED, message, started_at=started_at)
                run.ticket.context.update(outcome.data)
                self._turn_round(run, node)
            else:
                self._journal.note(run, node.name, Result.PARKED, _why(outcome), started_at=started_at)
                self._park(run, f"everything since {node.name} is undone, but going back failed: {_why(outcome)}")

    def _expire(self, run: Run, node: Wait) -> None:
        """The time to wait is over: leave by the wait's exit, or to a person where that leads back and none may go."""
        self._journal.note(run, node.name, Result.EXPIRED, node.otherwise.message, started_at=run.step_started_at)
        if isinstance(node.otherwise, GoOn):
            self._forward(run)
        elif past_pivot(run):
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

    # --- small things -------------------------------------------------------------------------------------------------

    def _tickets(self, group: list[Run], node: Node, *, attempts_before: int = 0) -> list[Ticket]:
        """The tickets of `group`, set to `node`; `attempts_before` is 1 when the attempt has already been counted."""
        for run in group:
            run.ticket.step = node.name
            run.ticket.undoing = run.undoing
            run.ticket.attempt = run.attempt + 1 - attempts_before
        return [run.ticket for run in group]

    def _pair(self, group: list[Run], answers: Sequence[Any]) -> list[tuple[Run, Any]]:
        self._journal.look_at_the_clock()
        if len(answers) != len(group):
            raise ValueError(f"a handler answered {len(answers)} outcomes for {len(group)} tickets")
        return list(zip(group, answers, strict=True))

    @cached_property
    def _lease(self) -> timedelta:
        return timedelta(seconds=settings.SAGA_LEASE_SECONDS)


_by_place = attrgetter("place")


def _by_name(opened: tuple[type[Workspace], list[Ticket]]) -> str:
    return f"{opened[0].__module__}.{opened[0].__qualname__}"


def _key(run: Run) -> tuple[bool, int, type[Saga]]:
    """What sagas that move together have in common."""
    return run.undoing, run.position, saga_of(run)


def _why(outcome: Any) -> str:
    return str(getattr(outcome, "why", "") or getattr(outcome, "message", "") or outcome)
