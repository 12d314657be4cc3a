"""What the carrier says of a parcel on its way: each scan is a signal, and where none comes, the carrier is asked."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from fulfillment import scanning
from fulfillment import services as fulfillment
from fulfillment.carriers.base import CarrierUnavailable, Consignment, ScanKind
from fulfillment.scanning import News
from fulfillment.selectors import ShipmentView
from fulfillment.states import LEFT_THE_HOUSE, MOVING, ShipmentStatus
from marketplace.sagas.outcomes import Done, Outcome, Parked, Ready, Retry, Unavailable, Unknown
from marketplace.sagas.ticket import Ticket
from orders import parcel_news
from orders.sagas.labels import circuit
from orders.sagas.shipping import views_of


def pick_up_due(ticket: Ticket) -> datetime:
    """When a person is told that the carrier still does not have it."""
    return datetime.fromisoformat(ticket.context["pick_up_by"])


def delivery_due(ticket: Ticket) -> datetime:
    """When a person is told that it is still not delivered."""
    return datetime.fromisoformat(ticket.context["deliver_by"])


def has_moved(ticket: Ticket) -> bool:
    """Whether the carrier has the parcel."""
    return bool(ticket.context.get("moved"))


def is_delivered(ticket: Ticket) -> bool:
    """Whether it is at the door."""
    return bool(ticket.context.get("delivered"))


def take(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Tell of each scan, and go on with those that say that it has moved, or is delivered: whatever is waited for."""
    return [_taken(ticket) for ticket in tickets]


def _taken(ticket: Ticket) -> Outcome:
    said = ticket.signal or {}
    parcel_news.tell(ticket.subject, said)
    kind = ScanKind(said["kind"])
    if kind is ScanKind.DELIVERED:
        return Done({"moved": True, "delivered": True}, "The carrier says that it is delivered.")
    if kind is ScanKind.RETURNED:
        return Parked("The carrier brings the parcel back. See why; retry this once it is on its way again.")
    if kind in MOVING and not has_moved(ticket):
        return Done({"moved": True}, "The carrier has it.")
    return Retry("It goes on.")


class _Look:
    """Ask the carrier about a parcel of which no word has come. It looks only, and may do so at any time."""

    def __init__(self, *, delivered: bool, missing: str, days: str) -> None:
        self._delivered = delivered
        self._missing = missing
        self._days = days

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Ask only about those of which the books still know nothing."""
        known = views_of(tickets)
        return [self._found(known[ticket.subject_id]) or Ready(ticket.subject_id) for ticket in tickets]

    def send(self, request: UUID) -> Consignment | Unavailable | None:
        """Look, outside of any transaction."""
        try:
            return fulfillment.look(request)
        except CarrierUnavailable as error:
            return Unavailable(error.message)

    def circuits(self, tickets: Sequence[Ticket]) -> Sequence[str]:
        """The breaker before each look: that of the shipment's carrier."""
        known = views_of(tickets)
        return [circuit(known[ticket.subject_id].carrier) for ticket in tickets]

    def record(self, tickets: Sequence[Ticket], replies: Sequence[Any], *, now: datetime) -> Sequence[Outcome]:
        """Take what was seen into the books, and act on what they say then."""
        known = views_of(tickets)
        news = [
            News(known[ticket.subject_id].id, reply.scans, reply.estimated_delivery)
            for ticket, reply in zip(tickets, replies, strict=True)
            if isinstance(reply, Consignment)
        ]
        scanning.take_in(news, now=now)
        known = views_of(tickets)
        late = Retry(f"{self._missing} for {getattr(settings, self._days):g} days, and the carrier knows no more.")
        return [
            reply if isinstance(reply, Unavailable | Unknown) else self._found(known[ticket.subject_id]) or late
            for ticket, reply in zip(tickets, replies, strict=True)
        ]

    def _found(self, view: ShipmentView) -> Outcome | None:
        if view.status == ShipmentStatus.DELIVERED:
            return Done({"moved": True, "delivered": True}, "The carrier says that it is delivered.")
        if view.status in LEFT_THE_HOUSE and not self._delivered:
            return Done({"moved": True}, "The carrier has it.")
        return None


look_for_pick_up = _Look(delivered=False, missing="The carrier has not scanned it", days="PICK_UP_DAYS")
look_for_delivery = _Look(delivered=True, missing="It was not delivered", days="DELIVERY_DAYS")
__all__ = ["delivery_due", "has_moved", "is_delivered", "look_for_delivery", "look_for_pick_up", "pick_up_due", "take"]
