"""What a case asks of a person, and what it leaves on the order."""

from collections.abc import Sequence
from datetime import datetime

from marketplace.sagas.outcomes import Done, Outcome, Parked
from marketplace.sagas.ticket import Ticket


def ask(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Leave each case to a person, with what is known."""
    return [Parked(f"{ticket.context['why']} See to it by hand, then resolve this.") for ticket in tickets]


def note_decision(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Say on the order's timeline that its case is settled. Nothing else of the order changes."""
    for ticket in tickets:
        ticket.subject.note("The case about its payment is settled.")
    return [Done(message="Settled by a person.") for _ in tickets]
