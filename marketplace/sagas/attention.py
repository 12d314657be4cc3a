"""What a person may decide about a saga that needs one: retry, compensate, resolve or ignore.

Each decision is one short transaction under the saga's row lock: it checks that the saga still stands where a person
has to decide, writes the decision into its history (who, when, why), and makes it due. Nothing is carried out here; the
workers do that through the one claim path. Of two people who decide at once, one is heard, the other gets a `Conflict`.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import cast
from uuid import UUID

from django.db import transaction

from marketplace.sagas import doorbell, rows
from marketplace.sagas.definition import Call, Node, Saga, Step, Wait
from marketplace.sagas.errors import (
    AlreadyAcknowledged,
    AlreadyCompensating,
    DefinitionChanged,
    NoSuchSaga,
    NotByHand,
    NotParked,
    PastPivot,
    ReasonRequired,
)
from marketplace.sagas.models import Direction, Result, SagaHistory, SagaInstance, Status
from marketplace.sagas.rows import Run
from marketplace.sagas.standing import is_returning, status_on_the_way
from marketplace.sagas.stepping import CLOSING, Pass
from marketplace.sagas.ticket import Cause

LONGEST_ACTOR = 150  # characters, as the column has it
STOPPED_BY_STAFF = "cancelled_by_staff"  # the failure code of a saga that a person had undone


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision has brought about: the saga's status and step right after it."""

    saga_id: UUID
    status: str
    step: str


@dataclass(frozen=True, slots=True)
class Undo:
    """One undo that lies ahead of a saga: the step, and whether that is a call to somebody outside."""

    step: str
    outside: bool


def retry(saga_id: UUID, *, actor: str, reason: str, now: datetime) -> Decided:
    """Try the step where the saga stands again, forward or back, as if for the first time.

    Its attempts and the saga's deadline begin anew, but a call keeps its key and goes on counting: what may have
    happened outside is asked for, and covered by the undo, as before. A wait waits anew.

    Takes the row's lock, in a transaction of its own or the caller's. Raises `ReasonRequired`, `NoSuchSaga`,
    `NotParked` or `DefinitionChanged`.
    """
    with transaction.atomic():
        run = _parked(saga_id, actor, reason)
        _definition(run)
        _record(run, Result.RETRIED, "A person lets it try again.", actor=actor, reason=reason, now=now)
        decision = _Decision(run, now=now)
        decision.try_again()
        return decision.carry()


def compensate(saga_id: UUID, *, actor: str, reason: str, now: datetime) -> Decided:
    """Undo the saga from where it stands, the step it stands at included: that may have happened.

    Like `retry`; raises also `PastPivot` where there is no way back, and `AlreadyCompensating`.
    """
    with transaction.atomic():
        run = _parked(saga_id, actor, reason)
        _check_way_back(run)
        _record(run, Result.STOPPED, "A person has it undone.", actor=actor, reason=reason, now=now)
        decision = _Decision(run, now=now)
        # The reason stays in the history: a cause's message may reach the customer.
        decision.turn_back(Cause("cancelled", STOPPED_BY_STAFF, data={"actor": actor.strip()[:LONGEST_ACTOR]}))
        return decision.carry()


def resolve(saga_id: UUID, *, actor: str, reason: str, now: datetime) -> Decided:
    """Take the step (or the undo) where the saga stands as done by hand, and go on with what comes next.

    Nothing is called and nothing booked for it, and it adds nothing to the saga's context. What is done by hand is
    undone like any other step if it comes to that. Like `retry`; raises also `NotByHand` where the saga would come to
    its end without the work in our own database that belongs to it.
    """
    with transaction.atomic():
        run = _parked(saga_id, actor, reason)
        _check_by_hand(run, _definition(run))
        _record(run, Result.RESOLVED, "Done by hand.", actor=actor, reason=reason, now=now)
        decision = _Decision(run, now=now)
        decision.take_as_done()
        return decision.carry()


def ignore(saga_id: UUID, *, actor: str, reason: str, now: datetime) -> Decided:
    """Acknowledge the case and leave it: off the alert list, and still in NEEDS_ATTENTION.

    It does not end the saga, on purpose. To end it would mean to say that its books are in order, and only its own
    steps and undos can see to that; the auditor goes on treating it as an open case. Every other decision remains
    possible. Like `retry`, but a definition that is gone is no obstacle; raises also `AlreadyAcknowledged`.
    """
    with transaction.atomic():
        run = _parked(saga_id, actor, reason)
        parked = SagaInstance.objects.filter(pk=saga_id, acknowledged_at__isnull=True)
        if not parked.update(acknowledged_at=now, due_at=None, updated_at=now):
            raise AlreadyAcknowledged
        _record(run, Result.IGNORED, "A person has seen it and leaves it.", actor=actor, reason=reason, now=now)
        return Decided(saga_id, run.status, run.current_step)


def undos_ahead(saga_id: UUID) -> tuple[Undo, ...]:
    """What `compensate` would undo, in that order; of a saga that is being undone already, what remains.

    Changes nothing. Takes the row's lock for an instant; raises what `compensate` would.
    """
    with transaction.atomic():
        _, nodes = undoable(saga_id)
        return tuple(Undo(node.name, isinstance(node, Call)) for node in nodes)


def undoable(saga_id: UUID) -> tuple[Run, list[Node]]:
    """Lock a saga that needs a person, and answer the steps whose undos lie ahead of it. Needs a transaction."""
    run = _still_parked(saga_id)
    saga = _definition(run)
    if not run.undoing or is_returning(run):
        _check_way_back(run)
    return run, [node for node in reversed(saga.steps[: run.position + 1]) if getattr(node, "undo", None)]


# --- may they? --------------------------------------------------------------------------------------------------------


def _parked(saga_id: UUID, actor: str, reason: str) -> Run:
    """Lock the saga; raises unless it waits for a person, and the person says who they are and why."""
    if not actor.strip() or not reason.strip():
        raise ReasonRequired
    return _still_parked(saga_id)


def _still_parked(saga_id: UUID) -> Run:
    run = rows.lock(saga_id)
    if run is None:
        raise NoSuchSaga
    if run.status != Status.NEEDS_ATTENTION:
        raise NotParked(f"The saga is {run.status}: nobody has to decide about it (any more).", status=run.status)
    return run


def _definition(run: Run) -> type[Saga]:
    """The definition by which the saga can go on: it is known here, and has the steps the saga started with."""
    stored = SagaInstance.objects.values_list("steps", flat=True).get(pk=run.ticket.id)
    if run.saga is None:
        raise DefinitionChanged(f"There is no definition {run.name!r} version {run.version} here.")
    if stored != [node.name for node in run.saga.steps]:
        raise DefinitionChanged(f"{run.name!r} version {run.version} has other steps here than the saga started with.")
    return run.saga


def _check_way_back(run: Run) -> None:
    saga = _definition(run)
    if run.undoing and not is_returning(run):
        raise AlreadyCompensating
    pivot = saga.pivot()
    tried = run.position == pivot and isinstance(saga.steps[pivot], Call) and run.attempt > 0
    if run.position > pivot or tried:
        name = saga.steps[pivot].name
        raise PastPivot(
            f"{name} is the pivot, and {'may have happened' if tried else 'is done'}: there is no way back.", pivot=name
        )


def _check_by_hand(run: Run, saga: type[Saga]) -> None:
    if run.position == CLOSING:
        raise NotByHand("Everything is undone and only the closing is left, which nobody can do by hand: retry it.")
    if run.undoing and isinstance(saga.steps[run.position], Wait):
        raise NotByHand(f"All since {run.current_step} is undone and only going back there is left: retry it.")
    last = run.position == len(saga.steps) - 1
    if last and not run.undoing and isinstance(saga.steps[run.position], Step):
        raise NotByHand(
            f"{run.current_step} is work in our own database, and the last step: the saga would end as completed "
            "without it. Retry it, or have the saga undone."
        )


# --- then so be it ----------------------------------------------------------------------------------------------------


def _record(run: Run, result: Result, message: str, *, actor: str, reason: str, now: datetime) -> None:
    SagaHistory.objects.create(
        saga_id=run.ticket.id,
        step=run.current_step,
        direction=Direction.COMPENSATING if run.undoing else Direction.FORWARD,
        status=result,
        attempt=max(run.attempt, 1),
        message=message,
        actor=actor.strip()[:LONGEST_ACTOR],
        reason=reason.strip(),
        started_at=now,
        finished_at=now,
        duration_ms=0,
    )


class _Decision(Pass):
    """The transaction in which a person decides about one saga. It runs no step: the workers do, once it is due."""

    def __init__(self, run: Run, *, now: datetime) -> None:
        super().__init__(now=now, queues=frozenset())
        self._run = run
        run.deadline_at = None  # counted anew, from when somebody works on it

    def try_again(self) -> None:
        run = self._run
        self._runs.append(run)  # and no more: what it is about need not be loaded, which may be the very trouble
        run.status = status_on_the_way(run)
        run.forgiven = run.attempt
        run.wait_until = run.step_started_at = None
        self._place(run)

    def turn_back(self, cause: Cause) -> None:
        run = self._run
        self._take([run])
        run.status = Status.IN_PROGRESS
        stood_at, tried = run.position, run.attempt if run.undoing else 0
        self._undo_from(run, run.position, cause)
        if run.position == stood_at:  # an undo that was tried on the way back to a wait keeps its key, and its count
            run.attempt = run.forgiven = tried

    def take_as_done(self) -> None:
        run = self._run
        self._take([run])
        run.status = status_on_the_way(run)
        if run.undoing:
            run.undone += 1
            self._undo_from(run, run.position - 1, run.ticket.cause)
        else:
            self._forward(run)

    def carry(self) -> Decided:
        """Write it all, and ring once it is committed."""
        self.write()
        run = self._run
        SagaInstance.objects.filter(pk=run.ticket.id).update(acknowledged_at=None)
        for queue in self.bells:
            transaction.on_commit(partial(doorbell.ring, queue))
        return Decided(run.ticket.id, str(run.status), run.current_step)

    def _place(self, run: Run) -> None:
        """Leave it to the workers of its queue."""
        run.current_step = ""
        if run.position != CLOSING:
            node = cast(type[Saga], run.saga).steps[run.position]
            run.current_step, run.queue = node.name, node.queue
        run.due_at = self.now
        self.bells.add(run.queue)
