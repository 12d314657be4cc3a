"""Where a saga stands in its definition, and what that means for it."""

from datetime import timedelta

from django.conf import settings

from marketplace.sagas.definition import Call, Node, RetryPolicy, Saga, Wait
from marketplace.sagas.models import Status
from marketplace.sagas.rows import Run
from marketplace.sagas.ticket import RETURNED, Cause

CLOSING = -1  # the position of a saga whose steps are all undone


def saga_of(run: Run) -> type[Saga]:
    """The definition of `run`, which must be known here."""
    return run.saga  # type: ignore[return-value]  # and no cast, which is a call: everybody asks, all the time


def node_of(run: Run) -> Node:
    """The step at which `run` stands; there is none at `CLOSING`."""
    return saga_of(run).steps[run.position]


_AT_ONCE = RetryPolicy()


def policy_of(run: Run) -> RetryPolicy:
    """The policy by which `run` is tried where it stands; that of everybody at a wait, or once all is undone."""
    if run.position == CLOSING:
        return _AT_ONCE
    node = node_of(run)
    if isinstance(node, Wait):
        return _AT_ONCE
    return node.undo_retry if run.undoing else node.retry


def time_for(run: Run) -> timedelta:
    """How long `run` may take from now on: as long as its step may last, or else a whole saga."""
    return policy_of(run).lasting or timedelta(seconds=settings.SAGA_TIMEOUT_SECONDS)


def past_pivot(run: Run) -> bool:
    """Whether there is only a way forward."""
    return run.position > saga_of(run).pivot()


def is_given(run: Run) -> bool:
    """Whether what the step at which `run` stands is about has happened before the saga began."""
    node = node_of(run)
    return isinstance(node, Call) and node.given


def last_effect(run: Run) -> int:
    """The last position that may have had an effect, so that its undo has to cover it: a step that was tried may."""
    return run.position if run.attempt or is_given(run) else run.position - 1


def end_of_way_back(saga: type[Saga], cause: Cause | None) -> int:
    """The position at which a saga that is undone because of `cause` stops: `CLOSING`, or the wait it returns to."""
    if cause is None or cause.kind != RETURNED:
        return CLOSING
    names = [node.name for node in saga.steps]
    return names.index(saga.steps[names.index(cause.step)].returns_to)


def is_returning(run: Run) -> bool:
    """Whether `run` is on its way back to a wait: what is undone then is not the end of it."""
    return run.undoing and run.ticket.cause is not None and run.ticket.cause.kind == RETURNED


def next_rounds(saga: type[Saga], cause: Cause, rounds: dict[str, int]) -> dict[str, int]:
    """`rounds` of a saga that has come back: what lies between the wait and the step that led back is done anew.

    What lies beyond was not done yet, and what lies before stays done: these keep their keys.
    """
    names = [node.name for node in saga.steps]
    anew = names[end_of_way_back(saga, cause) + 1 : names.index(cause.step) + 1]
    return {**rounds, **{name: rounds.get(name, 1) + 1 for name in anew}}


def what_is_left(saga: type[Saga], position: int, why: str) -> str:
    """Add to `why` what a person needs to know where there is only a way forward: what is done, and what remains."""
    if not saga.pivot() <= position < len(saga.steps):
        return why
    names = [step.name for step in saga.steps]
    done, left = names[:position], names[position:]
    return f"{why.rstrip('.')}. Done: {', '.join(done) or 'nothing'}. Still to be done: {', '.join(left)}."


def lacks(run: Run) -> str:
    """What of the saga's definition is not here, empty where it can go on: its position must mean the same step."""
    if run.saga is None:
        return f"there is no definition {run.name!r} version {run.version} here"
    if run.position == CLOSING:
        return ""
    steps = run.saga.steps
    if run.position < len(steps) and steps[run.position].name == run.current_step:
        return ""
    return f"{run.name!r} version {run.version} has no step {run.current_step!r} here as its step {run.position + 1}"


def undos_left(saga: type[Saga], position: int, cause: Cause | None = None) -> list[str]:
    """The steps that are still to be undone by a saga that has come back to `position`, in that order."""
    left = saga.steps[end_of_way_back(saga, cause) + 1 : position + 1]
    return [step.name for step in reversed(left) if getattr(step, "undo", None) is not None]


def undos_done(saga: type[Saga], position: int, undone: int) -> list[str]:
    """The `undone` steps that were undone by a saga that has come back to `position`, in that order."""
    behind = [step.name for step in saga.steps[position + 1 :] if getattr(step, "undo", None) is not None]
    return behind[:undone][::-1]


def remains(run: Run, node: Node, why: str) -> str:
    """What a person needs to know of a compensation that can't go on."""
    saga = saga_of(run)
    done = undos_done(saga, run.position, run.undone)
    names = ", ".join(undos_left(saga, run.position, run.ticket.cause))
    left = f"Undoing {node.name} did not succeed: {why} Still to be undone: {names}."
    return f"{left} Undone already: {', '.join(done)}." if done else left


def status_on_the_way(run: Run) -> Status:
    """The status of a saga that was parked and goes on from where it stands."""
    begun = run.undoing and not is_returning(run) and (run.position != CLOSING or run.undone)
    return Status.COMPENSATING if begun else Status.IN_PROGRESS
