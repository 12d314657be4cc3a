"""What a reversal and the saga that ships the order have to do with each other."""

from datetime import datetime

from marketplace.sagas.ticket import Ticket

STOP_BY = "stop_by"  # in the context of a reversal: how long it waits; missing where there is nothing to stop


def has_no_shipment(ticket: Ticket) -> bool:
    """Whether nobody is shipping this order, so that nobody has to be stopped."""
    return STOP_BY not in ticket.context


def patience_ends(ticket: Ticket) -> datetime:
    """Until when the end of the shipment is waited for."""
    return datetime.fromisoformat(ticket.context[STOP_BY])
