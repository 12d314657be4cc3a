"""What has come for a saga from outside while somebody has it in hand: stops, and signals that come too late."""

from collections.abc import Sequence

from marketplace.sagas import rows
from marketplace.sagas.definition import LateRule, Wait
from marketplace.sagas.models import TERMINAL
from marketplace.sagas.rows import Run, Signal
from marketplace.sagas.standing import is_returning, node_of, past_pivot, saga_of
from marketplace.sagas.ticket import LateSignal


def read(runs: Sequence[Run]) -> None:
    """Fill the inboxes of `runs`, and note the stop that has come for each, if any."""
    rows.read_signals(runs)
    for run in runs:
        run.stop = next((signal for signal in run.inbox if signal.name in saga_of(run).stops), None)


def may_stop(run: Run) -> bool:
    """Whether a stop has come that can act now.

    Not past the pivot, nor at a pivot that was called already: there it waits until somebody knows. And of a wait whose
    time was over before the stop came, the end of the wait came first, although nobody had looked by then.
    """
    if run.stop is None or run.undoing or not saga_of(run).may_turn_back(run.position, run.attempt):
        return False
    waited_out = isinstance(node_of(run), Wait) and run.wait_until is not None and run.stop.received_at > run.wait_until
    return not waited_out


def answer(run: Run) -> list[tuple[LateRule, LateSignal]]:
    """Tell the signals that can't have any effect any more; answer those for which the definition has a rule.

    One that may still be waited for stays. So does one that has a rule while the saga is being undone: what the rule
    does about it, it does once the saga is over, and not beside it.
    """
    answered = []
    for signal in run.inbox:
        if signal.disposition or not _too_late(run, signal):
            continue
        signal.disposition = "TOO_LATE"
        rule = run.saga.late.get(signal.name) if run.saga is not None else None
        if rule is not None:
            answered.append((rule, _late(run, signal)))
    return answered


def _too_late(run: Run, signal: Signal) -> bool:
    if run.status in TERMINAL:
        return True
    if run.undoing and not is_returning(run):
        return run.saga is None or signal.name not in run.saga.late
    return run.saga is not None and past_pivot(run) and signal.name in run.saga.stops


def _late(run: Run, signal: Signal) -> LateSignal:
    return LateSignal(
        saga_id=run.ticket.id,
        subject_id=run.ticket.subject_id,
        name=signal.name,
        signal_id=signal.signal_id,
        payload=signal.payload,
        received_at=signal.received_at,
        status=str(run.status),
        code=run.ticket.cause.code if run.ticket.cause is not None else "",
    )
