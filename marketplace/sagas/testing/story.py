"""One saga's story as a test reads it: what was done and undone, in order, and all of it in print."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from marketplace.sagas.models import Direction, Result, SagaHistory, SagaInstance, SagaSignal
from marketplace.sagas.testing.interception import Place

_DONE = (Result.DONE, Result.RESOLVED)
_NO_ATTEMPT = (Result.STOPPED, Result.RETRIED, Result.RESOLVED, Result.IGNORED, Result.EXPIRED, Result.RETURNED)


@dataclass(frozen=True, slots=True)
class Story:
    """A saga's row, its history and its signals, as they are at one moment."""

    saga: SagaInstance
    history: tuple[SagaHistory, ...]
    signals: tuple[SagaSignal, ...]

    @classmethod
    def of(cls, saga_id: UUID) -> "Story":
        """Read the story of one saga as far as it has come; raises `SagaInstance.DoesNotExist`."""
        saga = SagaInstance.objects.get(pk=saga_id)
        signals = SagaSignal.objects.filter(saga_id=saga_id).order_by("id")
        return cls(saga, tuple(saga.history.order_by("id")), tuple(signals))

    @property
    def done(self) -> list[str]:
        """The steps that were done, in order, those that a person did by hand included."""
        return [entry.step for entry in self.history if entry.status in _DONE and _forward(entry)]

    @property
    def undone(self) -> list[str]:
        """The steps that were undone, in order."""
        return [entry.step for entry in self.history if entry.status in _DONE and not _forward(entry)]

    @property
    def failure(self) -> str:
        """The code of why it was undone; empty where it wasn't."""
        return str((self.saga.cause or {}).get("code", ""))

    def attempts(self, place: Place) -> int:
        """How often a step, or its undo, was tried."""
        return sum(
            (entry.step, not _forward(entry)) == (place.step, place.undoing) and entry.status not in _NO_ATTEMPT
            for entry in self.history
        )

    def __str__(self) -> str:
        saga = self.saga
        where = f"at {'-' * saga.undoing}{saga.current_step}" if saga.current_step else "at its end"
        lines = [f"{saga.name} {saga.id} is {saga.status} {where}, tried {saga.attempt} times there"]
        if saga.cause:
            lines.append(f"  it is undone because: {saga.cause['kind']}, {saga.cause['code']}: {saga.cause['message']}")
        if saga.attention:
            lines.append(f"  it needs attention: {saga.attention}")
        if saga.wait_until:
            lines.append(f"  it waits until {saga.wait_until:%Y-%m-%d %H:%M:%S} UTC")
        lines += _table([_row(entry) for entry in self.history]) if self.history else ["  nothing has happened yet"]
        lines += [f"  signal {one.name} ({one.signal_id}): {one.disposition or 'waits'}" for one in self.signals]
        lines += [f"\n{entry.error.rstrip()}" for entry in self.history if entry.error]
        return "\n".join(lines)


def _forward(entry: SagaHistory) -> bool:
    return entry.direction == Direction.FORWARD


def _row(entry: SagaHistory) -> tuple[str, str, str, str]:
    message = f"{entry.message} [{entry.actor}: {entry.reason}]" if entry.actor else entry.message
    return f"{'' if _forward(entry) else '-'}{entry.step}", entry.status, f"attempt {entry.attempt}", message


def _table(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
