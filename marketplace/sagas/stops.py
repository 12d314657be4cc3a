"""What has come for a saga from outside while somebody has it in hand: stops, and signals that come too late."""

from collections.abc import Sequence

from marketplace.sagas import rows
from marketplace.sagas.definition import Call
from marketplace.sagas.models import TERMINAL
from marketplace.sagas.rows import Run
from marketplace.sagas.standing import node_of, past_pivot, saga_of


def read(runs: Sequence[Run]) -> None:
    """Fill the inboxes of `runs`, and note the stop that has come for each, if any."""
    rows.read_signals(runs)
    for run in runs:
        run.stop = next((signal for signal in run.inbox if signal.name in saga_of(run).stops), None)


def may_stop(run: Run) -> bool:
    """Whether a stop has come that can act now.

    Up to the pivot it can; but a pivot that was called already may have happened, and nobody can undo it: there it
    waits until somebody knows.
    """
    if run.stop is None or run.undoing or past_pivot(run):
        return False
    node = node_of(run)
    return not (node.pivot and isinstance(node, Call) and run.attempt)


def answer(run: Run) -> None:
    """A signal that can't have any effect any more is told so; one that may still be waited for stays."""
    if run.status in TERMINAL or run.undoing:
        for signal in run.inbox:
            signal.disposition = signal.disposition or "TOO_LATE"
    elif run.saga is not None and past_pivot(run):
        for signal in run.inbox:
            if signal.name in run.saga.stops:
                signal.disposition = signal.disposition or "TOO_LATE"
