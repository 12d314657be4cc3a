"""What becomes of a saga after an outcome, a stop or a lost worker: on, back, again, to a person, or to its end."""

from datetime import datetime, timedelta
from typing import cast

from marketplace.sagas import standby, stops
from marketplace.sagas.definition import Call, Node, RetryPolicy, Step, Wait, Workspace
from marketplace.sagas.journal import Journal
from marketplace.sagas.models import Result, Status
from marketplace.sagas.outcomes import Back, Done, Outcome, Parked, Refused, Retry, Unavailable, Unknown
from marketplace.sagas.rows import Run
from marketplace.sagas.standing import (
    CLOSING,
    end_of_way_back,
    is_given,
    last_effect,
    next_rounds,
    node_of,
    past_pivot,
    policy_of,
    remains,
    saga_of,
    time_for,
    what_is_left,
)
from marketplace.sagas.ticket import RETURNED, ROUNDS, Cause

LOST_WORKERS = 10  # so many attempts that died with their worker are made again beyond what the policy allows
SHORTEST = timedelta(seconds=1)  # between two knocks at a door where nobody is


class Course:
    """The rules of one transaction for each saga in it. Where a saga comes to stand next, `_place` takes it up."""

    def __init__(self, *, now: datetime) -> None:
        self.now = now
        self._journal = Journal(now)
        self._workspaces: dict[type[Workspace], Workspace] = {}
        self._standing: list[Run] = []  # who has begun to stand by here, or ceased to

    def _place(self, run: Run) -> None:
        """Take up `run` where it stands now."""
        raise NotImplementedError

    def _apply(self, run: Run, node: Node, outcome: Outcome, *, started_at: datetime | None, circuit: str = "") -> None:
        match outcome:
            case Done(data, message):
                self._journal.note(run, node.name, Result.DONE, message, started_at=started_at)
                run.ticket.context.update(data)
                if run.undoing:
                    run.undone += 1
                    self._undo_from(run, run.position - 1, run.ticket.cause)
                else:
                    self._forward(run)
            case Refused() | Back():
                self._refused(run, node, outcome, started_at=started_at)
            case Parked(why):
                self._journal.note(run, node.name, Result.PARKED, why, started_at=started_at)
                self._park(run, remains(run, node, why) if run.undoing else why)
            case Retry(why) | Unknown(why):
                result = Result.UNKNOWN if isinstance(outcome, Unknown) else Result.RETRY
                self._journal.note(run, node.name, result, why, started_at=started_at)
                self._again(run, cast(Step | Call, node), why, after=getattr(outcome, "after", None))
            case Unavailable(why):
                self._journal.note(run, node.name, Result.UNAVAILABLE, why, started_at=started_at)
                self._unavailable(run, cast(Step | Call, node), why, circuit)
            case unforeseen:
                raise TypeError(f"{node.name} answered {unforeseen!r}, which is no outcome")

    def _refused(self, run: Run, node: Node, no: Refused | Back, *, started_at: datetime | None) -> None:
        """A final no: the way back begins, to the very beginning or to the wait that the step returns to."""
        self._journal.note(run, node.name, Result.REFUSED, no.message or no.code, started_at=started_at)
        if run.undoing:
            self._park(run, remains(run, node, no.message or no.code))
        elif past_pivot(run):
            self._park(run, f"{node.name} was refused past the pivot: {no.message or no.code}")
        elif isinstance(no, Back) and node.returns_to:
            cause = Cause(RETURNED, no.code, no.message, dict(no.data), step=node.name)
            self._undo_from(run, run.position - 1, cause)
        else:
            last = run.position if is_given(run) else run.position - 1
            self._undo_from(run, last, Cause("failed", no.code, no.message, dict(no.data)))

    def _forward(self, run: Run) -> None:
        saga = saga_of(run)
        if run.wait_until is not None and run.step_started_at is not None and run.deadline_at is not None:
            run.deadline_at += self.now - run.step_started_at  # time spent waiting for a person does not count
        took_its_time = policy_of(run)
        self._reset(run)
        run.position += 1
        if run.position == len(saga.steps):
            self._finish(run, Status.COMPLETED)
        else:
            if took_its_time.lasting or policy_of(run).lasting:
                run.deadline_at = self.now + time_for(run)
            self._place(run)

    def _undo_from(self, run: Run, position: int, cause: Cause | None) -> None:
        """Go back to the nearest step at or before `position` that can be undone, or to where the way back ends."""
        saga = saga_of(run)
        self._reset(run)
        run.undoing = True
        run.ticket.cause = cause
        end = end_of_way_back(saga, cause)
        while position > end and getattr(saga.steps[position], "undo", None) is None:
            position -= 1
        run.position = max(position, end)
        if policy_of(run).lasting:
            run.deadline_at = self.now + time_for(run)
        if run.position != CLOSING and end == CLOSING and run.status != Status.COMPENSATING:
            self._move(run, Status.COMPENSATING)
        self._place(run)

    def _turn_round(self, run: Run, node: Wait) -> None:
        """All is undone that was done since `node`: the saga stands there as when it first came, and waits anew."""
        saga = saga_of(run)
        if run.ticket.cause is not None:
            run.ticket.context[ROUNDS] = next_rounds(saga, run.ticket.cause, run.ticket.context.get(ROUNDS, {}))
        self._reset(run)
        run.undoing = run.ticket.undoing = False
        run.undone = 0
        run.ticket.cause = None
        run.wait_until = node.until(run.ticket)
        run.step_started_at = self._journal.look_at_the_clock()
        run.deadline_at = self.now + time_for(run)
        self._place(run)

    def _stop(self, run: Run) -> None:
        """A signal stops the saga here, between two steps (or between two attempts at one)."""
        saga = saga_of(run)
        signal = run.stop
        if signal is None:
            return
        signal.disposition = "STOPPED"
        run.stop = None
        cause = saga.stops[signal.name].cause(signal.payload)
        node = saga.steps[run.position]
        self._journal.note(run, node.name, Result.STOPPED, cause.message or cause.code, started_at=run.step_started_at)
        self._undo_from(run, last_effect(run), cause)

    def _again(self, run: Run, node: Step | Call, why: str, *, after: timedelta | None) -> None:
        if stops.may_stop(run):
            self._stop(run)
            return
        policy: RetryPolicy = node.undo_retry if run.undoing else node.retry
        tried = run.attempt - run.forgiven
        pause = policy.pause(max(tried, 1)) if after is None else after
        if policy.allows_another(tried) and not self._overdue(run, after=pause):
            run.due_at = self.now + pause
            run.step_started_at = None
        else:
            self._spent(run, node, why, attention=f"{node.name} was tried {_times(run.attempt)}: {why}")

    def _spent(self, run: Run, node: Step | Call, why: str, *, attention: str) -> None:
        """There are no attempts left, or no time for one: do what the step's policy says of that."""
        policy: RetryPolicy = node.undo_retry if run.undoing else node.retry
        if run.undoing:
            self._park(run, remains(run, node, why), again=policy.next_redrive())
        elif policy.spent == "park" or past_pivot(run):
            self._park(run, attention, again=policy.next_redrive())
        else:
            self._undo_from(run, last_effect(run), Cause("failed", policy.code, policy.message or why))

    def _overdue(self, run: Run, *, after: timedelta = timedelta()) -> bool:
        """Whether the saga's whole time will be up when `run` makes an attempt at its step `after` from now.

        The way back takes the time it needs, a wait has a deadline of its own, and standing by does not count; but for
        a step whose policy says how long it may last, it is that.
        """
        lasting = policy_of(run).lasting
        if run.deadline_at is None or isinstance(node_of(run), Wait) or (run.undoing and not lasting):
            return False
        if lasting:
            return self.now + after > run.deadline_at
        stood_by = self.now - run.standby_since if run.standby_since is not None else timedelta()
        return self.now + after > run.deadline_at + stood_by

    def _out_of_time(self, run: Run) -> None:
        """The saga's whole time is up, and another attempt was to begin: it does not, and the step's policy decides."""
        node = cast(Step | Call, node_of(run))
        doing = f"undoing {node.name}" if run.undoing else node.name
        why = f"The saga's time was up before {doing} could be {'tried again' if run.attempt else 'begun'}."
        self._journal.note(run, node.name, Result.EXPIRED, why, started_at=run.step_started_at)
        self._spent(run, node, why, attention=why)

    def _unavailable(self, run: Run, node: Step | Call, why: str, circuit: str) -> None:
        """Nobody was there: stand by for the breaker; without one, go on until the deadline, or the undo's attempts."""
        if circuit or not run.undoing:
            run.forgiven += 1
        if not circuit or stops.may_stop(run):
            self._again(run, node, why, after=None)
            return
        policy: RetryPolicy = node.undo_retry if run.undoing else node.retry
        self._stand_by(run, standby.circuit(circuit), for_now=max(policy.pause(1), SHORTEST))
        run.step_started_at = None

    def _stand_by(self, run: Run, reason: str, *, for_now: timedelta) -> None:
        """Wait for the way to be opened, and look again after `for_now` at the latest. Spends no attempt."""
        if run.standby_since is None:
            run.standby_since = self.now
        if run.standby != reason:
            run.standby = reason
            self._standing.append(run)
        run.due_at = self.now + for_now

    def _end_standby(self, run: Run) -> None:
        """Go on, if it stood by; the time it did so does not count towards its deadline."""
        if run.standby_since is None:
            return
        shifts = run.wait_until is None and not policy_of(run).lasting  # the time of a wait does not count as it is
        if run.deadline_at is not None and shifts:
            run.deadline_at += self.now - run.standby_since
        why = standby.in_words(run.standby)
        self._journal.note(run, run.current_step, Result.STANDBY, why, started_at=run.standby_since)
        run.standby, run.standby_since = "", None
        self._standing.append(run)

    def _lost(self, run: Run) -> None:
        """The worker that made the call is gone, and its answer with it: ask again with the same key."""
        node = cast(Call, node_of(run))
        run.in_flight = False
        why = "The worker was lost before the answer was written down; asking again."
        self._journal.note(run, node.name, Result.UNKNOWN, why, started_at=run.step_started_at)
        policy = node.undo_retry if run.undoing else node.retry
        if run.forgiven < LOST_WORKERS:
            run.forgiven += 1  # a crash of ours says nothing about them: it is none of the attempts they are allowed
            self._place(run)
        elif policy.allows_another(run.attempt - run.forgiven):
            self._place(run)
        else:
            self._again(run, node, why, after=None)

    def _finish(self, run: Run, status: Status) -> None:
        self._reset(run)
        run.current_step = ""
        run.completed_at = self.now
        self._move(run, status)

    def _park(self, run: Run, why: str, *, again: timedelta | None = None) -> None:
        """Leave `run` to a person; it is tried `again` by itself after that time, if any."""
        self._end_standby(run)
        run.due_at = None if again is None else self.now + again
        run.in_flight = False
        run.attention = what_is_left(run.saga, run.position, why) if run.saga and not run.undoing else why
        self._move(run, Status.NEEDS_ATTENTION)

    def _move(self, run: Run, status: Status) -> None:
        run.status = status
        if run.saga is not None:
            self._workspaces[run.saga.workspace].moved(run.ticket, status, now=self.now)

    def _reset(self, run: Run) -> None:
        if run.standby_since is not None:
            self._end_standby(run)
        run.attempt = 0
        run.forgiven = 0
        run.due_at = None
        run.wait_until = None
        run.step_started_at = None
        run.attention = ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
