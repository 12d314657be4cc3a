"""The gate before every group of one transaction: who may go on, and who stands by.

While nothing is paused and every breaker is closed, which is nearly always, it costs one look for the transaction.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.conf import settings

from marketplace.sagas import circuits, standby
from marketplace.sagas.circuits import Report
from marketplace.sagas.definition import Call, Node, Remote, Saga
from marketplace.sagas.models import Circuit
from marketplace.sagas.outcomes import Unavailable, Unknown
from marketplace.sagas.rows import Run
from marketplace.sagas.standby import Ways
from marketplace.sagas.ticket import Ticket

Tickets = Callable[[], Sequence[Ticket]]


class Gate:
    """One transaction's. What its calls came to is in `reports`, to be handed on once it has committed."""

    def __init__(self, ways: Ways | None = None) -> None:
        self._looked = ways
        self.reports: list[Report] = []
        self._probes: set[UUID] = set()  # sagas whose call is to find out whether a breaker may close
        self._answered: set[str] = set()  # breakers whose probe was answered here: as good as closed

    @cached_property
    def _ways(self) -> Ways:
        return standby.look() if self._looked is None else self._looked

    def barred(self, group: Sequence[Run], saga: type[Saga], node: Node | None, tickets: Tickets) -> list[str] | None:
        """For each of `group`, what it has to stand by for, empty where it may go on; None when all may.

        `node` is the step they stand at, none when only the closing is left; `tickets` sets theirs to it.
        """
        if self._ways.clear:
            return None
        paused = self._ways.paused_for(saga.name, node.name if node else "", node.queue if node else "")
        if paused:
            return [standby.pause(paused)] * len(group)
        if isinstance(node, Call) and self._ways.broken:
            return self._broken(group, node, tickets)
        return None

    def _broken(self, group: Sequence[Run], node: Call, tickets: Tickets) -> list[str] | None:
        named = circuits_of(remote_of(group[0], node), tickets())
        if named is None:
            return None
        closed = {name for name, state in self._ways.circuits.items() if state == Circuit.State.CLOSED}
        return [
            ""
            if name in closed
            or name in self._answered
            or name not in self._ways.circuits
            or self._is_probe(name, run, node)
            else standby.circuit(name)
            for run, name in zip(group, named, strict=True)
        ]

    def _is_probe(self, name: str, run: Run, node: Call) -> bool:
        lease = timedelta(seconds=settings.SAGA_LEASE_SECONDS + node.timeout)
        is_it = circuits.claim_probe(name, run.ticket.id, run.fence + 1, lease=lease)
        if is_it:
            self._probes.add(run.ticket.id)
        return is_it

    def heard(self, group: Sequence[Run], node: Call, tickets: Sequence[Ticket], outcomes: Sequence[Any]) -> list[str]:
        """Note which calls were answered; return, for each of `group`, its breaker, empty where that doesn't matter."""
        failures = [one.why if isinstance(one, Unavailable | Unknown) else "" for one in outcomes]
        if not any(failures) and not self._ways.circuits:
            return [""] * len(group)
        named = circuits_of(remote_of(group[0], node), tickets)
        if named is None:
            return [""] * len(group)
        for run, name, why in zip(group, named, failures, strict=True):
            if not why and self._ways.probes.get(name) == run.ticket.id:
                self._answered.add(name)
        troubled = {*self._ways.circuits, *(name for name, why in zip(named, failures, strict=True) if why)}
        self.reports += [
            Report(name, run.ticket.id, run.fence, why)
            for run, name, why in zip(group, named, failures, strict=True)
            if name in troubled
        ]
        return list(named)

    def write(self, in_flight: set[UUID]) -> None:
        """Give up the right to try of those whose calls need not be made, now that it is known who flies."""
        idle = self._probes - in_flight
        if idle:
            circuits.put_back(idle)


def remote_of(run: Run, node: Call) -> Remote:
    """The call to be made for `run`, which stands at `node`: there or back."""
    return node.undo if run.undoing and node.undo else node.do


def circuits_of(remote: Remote, tickets: Sequence[Ticket]) -> Sequence[str] | None:
    """The breaker before the call of each ticket; None for a call that has none."""
    name_them: Callable[[Sequence[Ticket]], Sequence[str]] | None = getattr(remote, "circuits", None)
    return name_them(tickets) if name_them else None
