"""Where a saga stands in its definition, and what that means for it."""

from typing import cast

from marketplace.sagas.definition import Call, Node, Saga
from marketplace.sagas.models import Status
from marketplace.sagas.rows import Run

CLOSING = -1  # the position of a saga whose steps are all undone


def saga_of(run: Run) -> type[Saga]:
    """The definition of `run`, which must be known here."""
    return cast(type[Saga], run.saga)


def node_of(run: Run) -> Node:
    """The step at which `run` stands; there is none at `CLOSING`."""
    return saga_of(run).steps[run.position]


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


def undos_left(saga: type[Saga], position: int) -> list[str]:
    """The steps that are still to be undone by a saga that has come back to `position`, in that order."""
    return [step.name for step in reversed(saga.steps[: position + 1]) if getattr(step, "undo", None) is not None]


def undos_done(saga: type[Saga], position: int, undone: int) -> list[str]:
    """The `undone` steps that were undone by a saga that has come back to `position`, in that order."""
    behind = [step.name for step in saga.steps[position + 1 :] if getattr(step, "undo", None) is not None]
    return behind[:undone][::-1]


def remains(run: Run, node: Node, why: str) -> str:
    """What a person needs to know of a compensation that can't go on."""
    saga = saga_of(run)
    done = undos_done(saga, run.position, run.undone)
    left = (
        f"Undoing {node.name} did not succeed: {why} Still to be undone: {', '.join(undos_left(saga, run.position))}."
    )
    return f"{left} Undone already: {', '.join(done)}." if done else left


def status_on_the_way(run: Run) -> Status:
    """The status of a saga that was parked and goes on from where it stands."""
    begun = run.undoing and (run.position != CLOSING or run.undone)
    return Status.COMPENSATING if begun else Status.IN_PROGRESS
