"""The slow way back for a saga that was parked because its retries were spent: it comes due again by itself.

    RetryPolicy(attempts=8, spent="park", redrive=timedelta(hours=1), redrives=24)

Such a saga waits in NEEDS_ATTENTION with its reason, and with a time at which it is due; then it is tried again as if a
person had let it, on record as RETRIED by "redrive", at most so many times. A person is heard all the while: whatever
they decide takes the place of the redrive, and one who has ignored a case has ended it.
"""

from collections.abc import Sequence
from datetime import datetime

from marketplace.sagas import rows
from marketplace.sagas.definition import RetryPolicy, Wait
from marketplace.sagas.journal import Journal
from marketplace.sagas.rows import Run
from marketplace.sagas.standing import CLOSING, node_of, status_on_the_way

ACTOR = "redrive"


def policy_of(run: Run) -> RetryPolicy | None:
    """The policy by which `run` is tried where it stands; none at a wait, or once all is undone."""
    if run.position == CLOSING:
        return None
    node = node_of(run)
    if isinstance(node, Wait):
        return None
    return node.undo_retry if run.undoing else node.retry


def begin(parked: Sequence[Run], journal: Journal, *, now: datetime) -> list[Run]:
    """Let those of `parked` that are due go on, and answer them; the others stay parked, from now on for good.

    Needs the transaction that has locked them.
    """
    kept = rows.redrives(parked, actor=ACTOR)
    going_on = []
    for run in parked:
        run.attention, driven = kept[run.ticket.id]
        policy = policy_of(run)
        if policy is None or policy.redrive is None or driven >= policy.redrives:
            continue
        journal.decide(run, "It is tried again by itself.", actor=ACTOR, reason=run.attention)
        run.status = status_on_the_way(run)
        run.forgiven = run.attempt
        run.attention = ""
        run.wait_until = run.step_started_at = run.deadline_at = None
        going_on.append(run)
    return going_on
