"""What a case asks of a person, and what it leaves on the order."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from marketplace.sagas.outcomes import Done, Outcome, Parked
from marketplace.sagas.ticket import Ticket
from orders.desk import Desk
from orders.models import MoneyCase


class CaseDesk(Desk):
    """What one transaction has in hand of the orders that cases are about. All that is written is their timelines."""

    def orders_behind(self, tickets: Sequence[Ticket]) -> Sequence[UUID]:
        """The ids of the orders that the cases of `tickets` are about, in their order. One query."""
        cases = MoneyCase.objects.in_bulk([ticket.subject_id for ticket in tickets])
        return [cases[ticket.subject_id].order_id for ticket in tickets]


def ask(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Leave each case to a person, with what is known."""
    return [Parked(_question(ticket)) for ticket in tickets]


def _question(ticket: Ticket) -> str:
    order = ticket.subject.order.number  # who reads this at a terminal sees the id of the case, and no order
    return f"{order}: {ticket.context['why']} See to it by hand, then resolve this."


def note_decision(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Say on the order's timeline that its case is settled. Nothing else of the order changes."""
    for ticket in tickets:
        ticket.subject.note("The case about its payment is settled.")
    return [Done(message="Settled by a person.") for _ in tickets]
