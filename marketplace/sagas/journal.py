"""What happens in one transaction, on record: every finished attempt, with its times."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from marketplace.sagas import rows
from marketplace.sagas.models import Direction, Result
from marketplace.sagas.rows import Run


class Journal:
    """The history of one transaction, begun at `now` (the database's time)."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._begun = time.perf_counter()
        self._history: list[tuple[Any, ...]] = []
        self._decisions: list[tuple[Any, ...]] = []

    def clock(self) -> datetime:
        """The database's time, carried on by this process's steady clock."""
        return self._now + timedelta(seconds=time.perf_counter() - self._begun)

    def note(self, run: Run, step: str, result: Result, message: str, *, started_at: datetime | None) -> None:
        """Note that an attempt at `step` has just ended so; `started_at` None: it took no time."""
        finished_at = self.clock()
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

    def decide(self, run: Run, message: str, *, actor: str, reason: str) -> None:
        """Note that `actor` lets `run` be tried again, before anything else that is noted of it."""
        direction = Direction.COMPENSATING if run.undoing else Direction.FORWARD
        place = (run.ticket.id, run.current_step, direction, Result.RETRIED, max(run.attempt, 1))
        self._decisions.append((*place, message, "", self._now, self._now, 0, actor, reason))

    def write(self, runs: Sequence[Run]) -> None:
        """Write `runs` back, and append it all to their history, in order."""
        rows.save_decisions(self._decisions)
        rows.save(runs, now=self._now, history=self._history)
