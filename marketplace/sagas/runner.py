"""How a worker drives sagas: claim a group, move it, make its calls, record their answers, until nothing is due.

    claim (T1) ──► handlers ──► intents ─commit─► calls, side by side ──► answers (T2) ──► handlers ─commit─► …

No transaction is open, and no row locked, during a call. While calls are in flight the worker goes on claiming, so one
slow answer holds up nobody else.

When something unforeseen is raised, the transaction is rolled back and the group is run again one by one. A saga for
which it is raised alone, too, is parked in the transaction that holds its lock, so nobody gets hold of it in between.
"""

import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from marketplace.kernel.clock import database_now
from marketplace.kernel.pipeline import closing
from marketplace.sagas import circuits, rows, standby
from marketplace.sagas.crew import Crew
from marketplace.sagas.definition import find
from marketplace.sagas.models import TERMINAL, Direction, Result, SagaInstance, Status
from marketplace.sagas.outcomes import Unknown
from marketplace.sagas.rows import Run
from marketplace.sagas.standing import what_is_left
from marketplace.sagas.stepping import TO_BE_LEFT, Flight, Pass
from marketplace.sagas.ticket import Cause, Ticket
from marketplace.sagas.timeouts import IN_VAIN, Overran, sqlstate

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.1  # how soon new work is seen while the only thing to do is to wait for answers
AT_ONCE_SECONDS = 0.002  # how long an answer to the call that follows from one is waited for before the next claim
GATHER_SECONDS = 0.003  # how long a first answer waits for others, to be recorded together with them
SLOW_SECONDS = 0.5  # a call that isn't back by then keeps its worker claiming for others after the time is up ...
OVERTIME_SECONDS = 10.0  # ... but no longer than this
DEADLOCKS = 5  # how often a group is run again after the database chose it as a deadlock's victim

_TIES = {"40P01", "40001"}  # deadlock_detected, serialization_failure: nothing was written, and it is safe to repeat
_OUTAGES = ("08", "40", "53", "57P", "58")  # SQLSTATEs: connection, ties, resources, shutdown, input and output


def is_outage(error: BaseException) -> bool:
    """Whether the database is in trouble, and not the saga: what happened says nothing about whoever was at work."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    if sqlstate(error):
        return sqlstate(error).startswith(_OUTAGES)
    return connection.connection is None or bool(connection.connection.closed)  # it had no time to say why


NOT_MADE = object()  # of a call: its saga is anybody's now, so there is nothing to record


class Airborne:
    """One call in flight, as the worker that made it sees it."""

    __slots__ = ("flight", "launched", "lease_ends", "started")

    def __init__(self, flight: Flight, lease_ends: float) -> None:
        self.flight = flight
        self.lease_ends = lease_ends  # on this process's steady clock, and earlier than the database's
        self.launched = time.monotonic()
        self.started: float | None = None

    def send(self) -> Any:
        """Make the call; `NOT_MADE` if our right to it may have lapsed while it queued for a thread."""
        self.started = time.monotonic()
        return self.flight.send() if self.started < self.lease_ends else NOT_MADE

    @property
    def seconds(self) -> float:
        """How long the call has been under way; 0 while it queues for a thread."""
        return time.monotonic() - self.started if self.started is not None else 0.0

    @property
    def overdue(self) -> bool:
        return self.seconds > self.flight.call.timeout


Fetch = Callable[[rows.Along], rows.Found]
Move = Callable[[Pass, list[Run]], None]


class Worker:
    """One drive: moves everything that is due in `queues` until there is nothing, or `until` (steady clock) comes."""

    def __init__(self, queues: Sequence[str], *, on_full: Callable[[], None], on_bell: Callable[[str], None]) -> None:
        self.queues = list(queues)
        self.moved = 0
        self._on_full = on_full
        self._on_bell = on_bell
        self._in_the_air: set[Airborne] = set()
        self._renew_at = time.monotonic() + settings.SAGA_LEASE_SECONDS / 3
        self._crew: Crew[Airborne] = Crew(settings.SAGA_CALL_CONCURRENCY)
        self._given_up: list[Airborne] = []  # overdue calls that still keep a thread

    def drive(self, *, until: float) -> bool:
        """Return True when nothing was left, False when the time was up first. Never returns with calls in flight."""
        limit = settings.SAGA_BATCH_SIZE
        while True:
            in_time = time.monotonic() < until or self._held_up(until)
            claimed = self._claim(limit) if in_time and len(self._in_the_air) < limit else 0
            if claimed >= limit:
                self._on_full()
            if self._in_the_air:
                landed = self._settle(0 if claimed >= limit else POLL_SECONDS)
                if landed and self._in_the_air and claimed < limit:
                    self._settle(AT_ONCE_SECONDS)
            elif not claimed or not in_time:
                return not claimed and in_time

    def _held_up(self, until: float) -> bool:
        """Whether slow calls keep this worker from going home, so that it may as well go on claiming.

        One call that takes long, or many, of which the last still queue for a thread.
        """
        now = time.monotonic()
        return now < until + OVERTIME_SECONDS and any(now - one.launched > SLOW_SECONDS for one in self._in_the_air)

    # --- T1 -----------------------------------------------------------------------------------------------------------

    def _claim(self, limit: int) -> int:
        self.queues = [*self.queues[1:], *self.queues[:1]]  # each comes first in turn, so none waits for ever
        try:
            return self._move(partial(rows.claim, self.queues, limit), Pass.claimed)
        except Exception as error:
            if is_outage(error):
                raise
            log.exception("a group failed; running it one by one")
            return self._claim_one_by_one(limit)

    def _claim_one_by_one(self, limit: int) -> int:
        with transaction.atomic():
            runs, _ = rows.claim(self.queues, limit)
        for run in runs:
            self._move(partial(rows.claim_one, run.ticket.id), Pass.claimed, alone=True)
        return len(runs)

    def _move(self, fetch: Fetch, move: Move, *, alone: bool = False) -> int:
        """One transaction: lock the sagas that `fetch` finds, `move` them, write them; then start their calls.

        `alone`: there is one at most, and if anything unforeseen is raised for it, it is parked.
        """
        for tries_left in reversed(range(DEADLOCKS)):
            try:
                return self._move_now(fetch, move, alone=alone)
            except OperationalError as error:
                if sqlstate(error) not in _TIES or not tries_left:
                    raise
        raise AssertionError("unreachable")

    def _move_now(self, fetch: Fetch, move: Move, *, alone: bool) -> int:
        leased_at = time.monotonic()  # before the database reads its clock, so that a lease ends for us first
        with transaction.atomic():
            look = standby.Look()
            runs, now = fetch(look.send)
            if now is None:
                return 0
            step = Pass(now=now, queues=frozenset(self.queues), ways=look.read())
            if alone:
                settled = self._move_alone(step, runs, fetch, move)
                if settled is None:
                    return 1
                step = settled
            else:
                move(step, runs)
                with nullcontext() if step.heard else closing():
                    step.write()
        self._committed(step, leased_at, len(runs))
        return len(runs)

    def _move_alone(self, step: Pass, runs: list[Run], fetch: Fetch, move: Move) -> Pass | None:
        """Move one saga, in a savepoint of the transaction that holds its lock; None where it was parked, or left.

        If one of its steps takes too long, it is moved once more, as far as that step. If another does so then (on the
        way back, say, or an earlier one by what it has left to the end), that is left out as well. If what it is about
        can't be loaded in time (somebody is changing that table, say), it is left alone for a while: nothing was begun.
        """
        try:
            with transaction.atomic():
                move(step, runs)
                step.write()
                connection.check_constraints()  # the deferred ones too, while we know whose fault it is
        except Exception as error:
            if is_outage(error):
                raise
            if not step.opened and sqlstate(error) in IN_VAIN:
                log.warning("saga_left", saga=str(runs[0].ticket.id), why=str(error))
                rows.put_off(runs, until=database_now() + TO_BE_LEFT)
                return None
            if isinstance(error, Overran) and error.where not in {one.where for one in step.overran}:
                look = standby.Look()
                again, now = fetch(look.send)
                if now is not None:
                    overran = (*step.overran, error)
                    step = Pass(now=now, queues=frozenset(self.queues), ways=look.read(), overran=overran)
                    return self._move_alone(step, again, fetch, move)
            park(runs[0].ticket.id, error)
            return None
        return step

    # --- the calls ----------------------------------------------------------------------------------------------------

    def _committed(self, step: Pass, leased_at: float, moved: int) -> None:
        self.moved += moved
        for queue in step.bells:
            self._on_bell(queue)
        lease_ends = leased_at + settings.SAGA_LEASE_SECONDS
        for flight in step.flights:
            flight.run.in_hand = True
            self._launch(Airborne(flight, lease_ends))
        for queue in circuits.report(step.gate.reports) if step.gate.reports else ():  # last: it may wait for a lock
            self._on_bell(queue)

    def _launch(self, airborne: Airborne) -> None:
        self._crew.make(airborne)  # first: one that nobody will ever make must not be waited for
        self._in_the_air.add(airborne)

    def _give_up(self, overdue: Sequence[Airborne]) -> None:
        """Don't count on the threads of these calls; once they are half of all, let new ones make the calls."""
        self._given_up = [one for one in (*self._given_up, *overdue) if self._crew.still_makes(one)]
        if 2 * len(self._given_up) < settings.SAGA_CALL_CONCURRENCY:
            return
        log.warning("calls_hang", count=len(self._given_up))
        self._crew, self._given_up = Crew(settings.SAGA_CALL_CONCURRENCY, before=self._crew), []

    def _settle(self, patience: float) -> bool:
        """Record the answers that are there, after waiting at most `patience` seconds for the first; any?"""
        if self._crew.wait(1, patience):
            self._crew.wait(len(self._in_the_air), GATHER_SECONDS)
        answers = [
            (landed.call, self._reply(landed.call, landed.reply, landed.error))
            for landed in self._crew.collect()
            if landed.call in self._in_the_air  # and was not given up
        ]
        self._in_the_air.difference_update([airborne for airborne, _ in answers])
        overdue = [airborne for airborne in self._in_the_air if airborne.overdue]
        if overdue:
            self._in_the_air.difference_update(overdue)
            answers += [(late, Unknown(f"no answer within {late.flight.call.timeout:g} s")) for late in overdue]
            self._give_up(overdue)
        made = [(airborne.flight.run, reply) for airborne, reply in answers if reply is not NOT_MADE]
        if made:
            self._answer([run for run, _ in made], {run.ticket.id: reply for run, reply in made})
        self._renew()
        return bool(made)

    def _reply(self, airborne: Airborne, reply: Any, error: BaseException | None) -> Any:
        if error is None:
            return reply
        log.warning("a call raised", saga=str(airborne.flight.run.ticket.id), exc_info=error)
        return Unknown(_printable(f"{type(error).__name__}: {error}"))

    def _renew(self) -> None:
        """Prolong the leases of calls that are still in flight, well before they end."""
        now = time.monotonic()
        if not self._in_the_air or now < self._renew_at:
            return
        lease = timedelta(seconds=settings.SAGA_LEASE_SECONDS)
        held = [airborne.flight.run for airborne in self._in_the_air]
        ours = rows.renew([run.ticket.id for run in held], [run.fence for run in held], lease)
        for airborne in self._in_the_air:
            if airborne.flight.run.ticket.id in ours:
                airborne.lease_ends = now + settings.SAGA_LEASE_SECONDS
        self._renew_at = now + settings.SAGA_LEASE_SECONDS / (3 if len(ours) == len(held) else 10)

    # --- T2 -----------------------------------------------------------------------------------------------------------

    def _answer(self, landed: Sequence[Run], replies: dict[UUID, Any]) -> None:
        def record(step: Pass, runs: list[Run]) -> None:
            step.answered(runs, replies)

        def record_only(step: Pass, runs: list[Run]) -> None:
            step.answered(runs, replies, onward=False)  # what was answered is kept, whatever the next step may raise

        fences = [run.fence for run in landed]  # of these calls: the transaction may start others, and be rolled back
        try:
            recorded = self._move(partial(rows.hold_landed, landed, fences), record)
        except Exception as error:
            if is_outage(error):
                raise
            log.exception("recording a group failed; running it one by one")
            for run, fence in zip(landed, fences, strict=True):
                self._answer_alone(run, fence, record_only)
        else:
            if recorded < len(landed):
                log.warning("answers discarded: another worker has taken over", count=len(landed) - recorded)

    def _answer_alone(self, run: Run, fence: int, record: Move) -> None:
        """Record one answer; if its row is not to be had in time, leave it: it is asked for again after the lease."""
        try:
            self._move(partial(rows.hold_landed, [run], [fence]), record, alone=True)
        except OperationalError as error:
            if sqlstate(error) not in IN_VAIN:
                raise
            log.warning("answer_not_recorded", saga=str(run.ticket.id), why=str(error))


def park(saga_id: UUID, error: BaseException) -> None:
    """Put one saga aside for a person: something unforeseen was raised for it.

    Takes the row's lock, in the caller's transaction where there is one; what was raised must be rolled back by then.
    """
    log.error("saga_parked", saga=str(saga_id), exc_info=error)
    why = _printable(f"{type(error).__name__}: {error}")
    with transaction.atomic():
        row = SagaInstance.objects.select_for_update().get(pk=saga_id)
        if row.status in TERMINAL:
            return
        now = database_now()
        direction = Direction.COMPENSATING if row.undoing else Direction.FORWARD
        trace = _printable("".join(traceback.format_exception(error)))
        definition = find(row.name, row.version)
        attention = what_is_left(definition, row.position, why) if definition and not row.undoing else why
        attempt = max(row.attempt, 1)
        # Of a call in flight it is on record here alone when it was made.
        begun = row.step_started_at if row.in_flight and row.step_started_at else now
        took = max(0, round((now - begun).total_seconds() * 1000))
        entry = (saga_id, row.current_step, direction, Result.PARKED, attempt, why, trace, begun, now, took)
        rows.save_history([entry])
        SagaInstance.objects.filter(pk=saga_id).update(
            status=Status.NEEDS_ATTENTION,
            attention=attention,
            due_at=None,
            in_flight=False,
            standby="",
            standby_since=None,
            updated_at=now,
        )
        _tell(row, now=now)


def _printable(text: str) -> str:
    """What PostgreSQL can store as text: no NUL, no half of a surrogate pair."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _tell(row: SagaInstance, *, now: datetime) -> None:
    """Publish that a saga was parked, if that can be done: what raised may be the very workspace that publishes."""
    definition = find(row.name, row.version)
    if definition is None:
        return
    cause = Cause.of_json(row.cause) if row.cause else None
    ticket = Ticket(id=row.id, subject_id=row.subject_id, context=row.context, cause=cause)
    try:
        with transaction.atomic():
            workspace = definition.workspace()
            workspace.open([ticket], now=now)
            workspace.moved(ticket, Status.NEEDS_ATTENTION, now=now)
            workspace.close(now=now)
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("parking_not_published", saga=str(row.id))
