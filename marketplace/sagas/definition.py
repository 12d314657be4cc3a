"""The vocabulary in which a saga is written down. A definition is a page: no loops, no branches.

    class BookTrip(Saga):
        name, version = "book_trip", 1
        steps = (
            Step("reserve_seat", do=seats.reserve, undo=seats.release),
            Wait("approval", until=closing_time, otherwise=Cancel("not_approved")),
            Call("charge_card", do=card.charge, undo=card.refund),
            Step("issue_ticket", do=tickets.issue),
        )

A definition that can't be right is refused when its module is imported, with a `DefinitionError` that says why.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from marketplace.sagas.contradictions import contradictions
from marketplace.sagas.nodes import (
    Call,
    Cancel,
    Exit,
    Fail,
    GoOn,
    Node,
    Probing,
    Remote,
    RetryPolicy,
    Step,
    Wait,
    Workspace,
    remote,
)
from marketplace.sagas.outcomes import Done, Handler, Outcome, Refused, Unknown
from marketplace.sagas.ticket import LateSignal, Ticket


class DefinitionError(TypeError):
    """A saga's definition contradicts itself."""


LateRule = Callable[[LateSignal], None]
"""What a definition does about a signal that came too late: start another saga, for one.

Called once for each signal, in the transaction that tells it so: that which stores it, where the saga is over; that
which ends the saga, where it came earlier and nobody could use it; for a stop, that which finds the saga past its
pivot. It may read and write, takes no part in what the saga itself does, and what it raises undoes that transaction.
"""


def nothing_to_close(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """The default for `Saga.closing`."""
    return [Done() for _ in tickets]


class Saga:
    """A definition: subclass it, and the engine knows it by (`name`, `version`)."""

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    steps: ClassVar[tuple[Node, ...]] = ()
    workspace: ClassVar[type[Workspace]] = Workspace
    stops: ClassVar[dict[str, Exit]] = {}  # signals that stop the saga wherever it is before its pivot
    late: ClassVar[dict[str, LateRule]] = {}  # what becomes of signals that come when it is too late for them
    closing: ClassVar[Handler] = staticmethod(nothing_to_close)  # runs last, once all is undone

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.name:
            check(cls)
            _registry[cls.name, cls.version] = cls

    @classmethod
    def pivot(cls) -> int:
        """The position of the pivot; past the last step where there is none."""
        return next((at for at, node in enumerate(cls.steps) if node.pivot), len(cls.steps))

    @classmethod
    def may_turn_back(cls, position: int, attempt: int) -> bool:
        """Whether a saga at `position`, its step tried `attempt` times, can still be stopped.

        Up to the pivot it can; but a pivot that was called already may have happened, and nobody can undo it.
        """
        pivot = cls.pivot()
        called = position == pivot < len(cls.steps) and isinstance(cls.steps[pivot], Call) and attempt > 0
        return position <= pivot and not called


_registry: dict[tuple[str, int], type[Saga]] = {}


def find(name: str, version: int) -> type[Saga] | None:
    """The definition known by that name and version, if any."""
    return _registry.get((name, version))


def newest(name: str) -> type[Saga]:
    """The latest version of the definition `name`; raises `ValueError` where none is known here."""
    return _registry[max(known for known in _registry if known[0] == name)]


def is_later(name: str, version: int) -> bool:
    """Whether that version is later than all that are known here of the definition `name`, of which some must be."""
    versions = [known[1] for known in _registry if known[0] == name]
    return bool(versions) and version > max(versions)


def registered() -> list[type[Saga]]:
    """Every definition known here, in the order in which they were written down."""
    return list(_registry.values())


def stopped_by(signal: str) -> list[tuple[str, int, int]]:
    """Of every definition known here its name and version, and the last position at which that signal stops it."""
    return [(*known, saga.pivot() if signal in saga.stops else -1) for known, saga in _registry.items()]


def known() -> dict[str, tuple[Node, ...]]:
    """The name of every definition known here, with the steps of all its versions, each name once."""
    found: dict[str, dict[str, Node]] = {}
    for (name, _), saga in sorted(_registry.items()):
        found.setdefault(name, {}).update({node.name: node for node in saga.steps})
    return {name: tuple(steps.values()) for name, steps in found.items()}


def check(saga: type[Saga]) -> None:
    """Raise `DefinitionError` with one sentence if the definition contradicts itself."""
    why = next(contradictions(saga), None)
    other = _registry.get((saga.name, saga.version))
    if why is None and other and (other.__module__, other.__qualname__) != (saga.__module__, saga.__qualname__):
        why = f"{saga.name!r} version {saga.version} is already {other.__module__}.{other.__qualname__}"
    if why is not None:
        raise DefinitionError(f"{saga.__name__}: {why}")


__all__ = [
    "Call",
    "Cancel",
    "DefinitionError",
    "Exit",
    "Fail",
    "GoOn",
    "LateRule",
    "Node",
    "Probing",
    "Refused",
    "Remote",
    "RetryPolicy",
    "Saga",
    "Step",
    "Unknown",
    "Wait",
    "Workspace",
    "find",
    "is_later",
    "known",
    "registered",
    "remote",
    "stopped_by",
]
