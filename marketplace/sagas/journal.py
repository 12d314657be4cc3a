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
        self._moment = now
        self._lasted: dict[datetime, int] = {}  # milliseconds until this moment, of what began then
        self._history: list[tuple[Any, ...]] = []
        self._decisions: list[tuple[Any, ...]] = []

    def clock(self) -> datetime:
        """The database's time, carried on by this process's steady clock."""
        return self._now + timedelta(seconds=time.perf_counter() - self._begun)

    def look_at_the_clock(self) -> datetime:
        """Return `clock`, which is when everything ended that is noted before the next look: a group ends together."""
        self._moment = self.clock()
        self._lasted.clear()
        return self._moment

    def note(self, run: Run, step: str, result: Result, message: str, *, started_at: datetime | None) -> None:
        """Note that an attempt at `step` has just ended so; `started_at` None: it took no time."""
        finished_at = self._moment
        started_at = started_at or finished_at
        lasted = self._lasted.get(started_at)
        if lasted is None:
            lasted = max(0, round((finished_at - started_at).total_seconds() * 1000))
            self._lasted[started_at] = lasted
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
                lasted,
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
