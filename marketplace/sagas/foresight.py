"""What having a saga undone would do, told before it is done: every undo in its order, with amounts and units.

An undo may say what it would do now: `foresee(tickets) -> sentences`, an attribute of a handler (`foretell`) or a
method of a `Remote`. It reads only; it may ask the other side (outside of any transaction), and says so where it gets
no answer. What is told is what would happen at this moment: nothing is held until somebody decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from marketplace.sagas.attention import STOPPED_BY_STAFF, undoable
from marketplace.sagas.definition import Call, Node
from marketplace.sagas.ticket import Cause, Ticket

Foreseeing = Callable[[Sequence[Ticket]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """One undo that lies ahead: the step, whether it is a call outside, and what it would do; empty: nobody can say."""

    step: str
    outside: bool
    effect: str


def foresee(saga_id: UUID, *, now: datetime) -> tuple[Foreseen, ...]:
    """What `attention.compensate` would do, in that order; of a saga that is being undone already, what remains.

    Changes nothing. Takes the row's lock for an instant, and must not be called in a transaction: undos that have to
    may ask the other side. Raises what `compensate` would, but for `AlreadyCompensating`.
    """
    with transaction.atomic():
        run, nodes = undoable(saga_id)
        saga, ticket = run.saga, run.ticket
        if saga is not None:
            saga.workspace().open([ticket], now=now)  # and never closed: nothing is written
    ticket.cause = ticket.cause or Cause("cancelled", STOPPED_BY_STAFF)
    ticket.undoing = True
    return tuple(_foreseen(ticket, node) for node in nodes)


def _foreseen(ticket: Ticket, node: Node) -> Foreseen:
    ticket.step = node.name
    look: Foreseeing | None = getattr(getattr(node, "undo", None), "foresee", None)
    return Foreseen(node.name, isinstance(node, Call), look([ticket])[0] if look else "")


def foretell(handler: Any, *, by: Foreseeing) -> None:
    """Let `by` say what the undo `handler` would do."""
    handler.foresee = by
