"""The saga's dealings with the warehouse: what is to be packed, what is, and what becomes of the order by that."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from fulfillment import services as fulfillment
from fulfillment.selectors import Estimate, LineView, ShipmentView, estimates, shipments_of
from fulfillment.services import NewShipment
from inventory.selectors import weights
from marketplace.sagas.foresight import foretell
from marketplace.sagas.outcomes import Done, Outcome, Parked, Retry
from marketplace.sagas.services import Signal
from marketplace.sagas.ticket import Ticket
from orders import reversals
from orders.addresses import address_of
from orders.desk import OpenOrder
from orders.models import Order
from orders.reversals import Wish


def views_of(tickets: Sequence[Ticket]) -> dict[UUID, ShipmentView]:
    """The shipment of each order that has one."""
    return shipments_of([ticket.subject_id for ticket in tickets])


# --- before it is packed ----------------------------------------------------------------------------------------------


def estimate(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Say who carries each order, by which service, in how many days; park what no rate covers."""
    opened: list[OpenOrder] = [ticket.subject for ticket in tickets]
    grams = weights({line.sku for one in opened for line in one.lines})
    heavy = [sum(grams.get(line.sku, 0) * line.quantity for line in one.lines) for one in opened]
    found = estimates([(_country(one), weight) for one, weight in zip(opened, heavy, strict=True)])
    return [_estimated(one, weight, est) for one, weight, est in zip(opened, heavy, found, strict=True)]


def _country(opened: OpenOrder) -> str:
    return str((opened.order.shipping_address or {}).get("country", ""))


def _estimated(opened: OpenOrder, weight_grams: int, found: Estimate | None) -> Outcome:
    if found is None:
        where = _country(opened) or "the shop's own country"
        return Parked(f"No delivery rate covers {weight_grams} g to {where}. Add one, then retry this.")
    opened.tell("SAGA_STARTED")
    planned = {"carrier": found.carrier, "service": found.service, "days_min": found.days_min}
    days = f"{found.days_min} to {found.days_max} working days"
    return Done(
        {**planned, "days_max": found.days_max, "weight_grams": weight_grams},
        f"{weight_grams} g by {found.carrier}, {found.service}: {days}.",
    )


def create(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Give each order its shipment, to be packed by the warehouse."""
    made = fulfillment.create([_wanted(ticket) for ticket in tickets], now=now)
    pack_by = (now + timedelta(days=settings.PACKING_DAYS)).isoformat()
    return [_created(ticket.subject, view, pack_by) for ticket, view in zip(tickets, made, strict=True)]


def _wanted(ticket: Ticket) -> NewShipment:
    opened, planned = ticket.subject, ticket.context
    return NewShipment(
        reference_id=opened.order.id,
        number=opened.order.number,
        to=address_of(opened.order.shipping_address),
        weight_grams=planned["weight_grams"],
        lines=tuple(LineView(line.sku, line.product_name, line.quantity) for line in opened.lines),
        estimate=Estimate(planned["carrier"], planned["service"], planned["days_min"], planned["days_max"]),
        language=opened.order.language,
    )


def _created(opened: OpenOrder, view: ShipmentView, pack_by: str) -> Outcome:
    expected = view.estimated_delivery.isoformat()
    opened.tell("SHIPMENT_CREATED", shipment_id=view.id, **_carried_by(view), estimated_delivery=expected)
    opened.note(f"The warehouse is to pack it; expected at the door by {expected}.")
    return Done({"pack_by": pack_by}, "Waits to be packed.")


def _carried_by(view: ShipmentView) -> dict[str, str]:
    return {"carrier": view.carrier, "service": view.service}


def _followed_by(view: ShipmentView) -> dict[str, str]:
    """What whoever waits for the parcel needs to follow it."""
    followed = {"tracking_number": view.tracking_number, "tracking_url": view.tracking_url}
    return {**_carried_by(view), **followed, "estimated_delivery": view.estimated_delivery.isoformat()}


def cancel(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Stop the shipments; safe where there is none. What its carrier has by now is left to a person."""
    stopped = fulfillment.cancel([ticket.subject_id for ticket in tickets], now=now)
    left = [ticket for ticket in tickets if ticket.subject_id not in stopped]
    known = views_of(left) if left else {}
    return [_cancelled(ticket.subject, stopped, known) for ticket in tickets]


def _cancelled(opened: OpenOrder, stopped: Mapping[UUID, ShipmentView], known: Mapping[UUID, ShipmentView]) -> Outcome:
    view = stopped.get(opened.order.id)
    if view is not None:
        opened.tell("SHIPMENT_CANCELLED", shipment_id=view.id)
        opened.note(f"The shipment is cancelled; it was {view.status}.")
        return Done(message="The shipment is cancelled.")
    gone = known.get(opened.order.id)
    if gone is not None and gone.status != "CANCELLED":
        return Parked(f"The carrier has the parcel already: it is {gone.status}.")
    return Done(message="Nothing was to be shipped.")


def cancel_foreseen(tickets: Sequence[Ticket]) -> list[str]:
    """Say what `cancel` would do. Reads only."""
    known = views_of(tickets)
    views = [known.get(ticket.subject_id) for ticket in tickets]
    return [f"Cancel the shipment, which is {view.status}." if view else "Nothing is to be shipped." for view in views]


foretell(cancel, by=cancel_foreseen)


# --- packed -----------------------------------------------------------------------------------------------------------


def pack_by(ticket: Ticket) -> datetime:
    """When a person is told that it is still not packed."""
    return datetime.fromisoformat(ticket.context["pack_by"])


def check_packed(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Go on with what the books say is packed; the others have had their time."""
    known = views_of(tickets)
    return [_packed(ticket.subject, known[ticket.subject_id]) for ticket in tickets]


def _packed(opened: OpenOrder, view: ShipmentView) -> Outcome:
    if view.packed_at is None:
        return Retry(f"Nobody has packed it for {settings.PACKING_DAYS:g} days.")
    who = view.packed_by or "warehouse"
    opened.tell("SHIPMENT_PACKED", shipment_id=view.id)
    opened.note("The parcel is packed.", who=who)
    return Done(message=f"Packed by {who}.")


def ship(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """The label is there: from here on the order is shipped, and can't be cancelled any more."""
    known = views_of(tickets)
    due = (now + timedelta(days=settings.PICK_UP_DAYS)).isoformat()
    for ticket in tickets:
        view = known[ticket.subject_id]
        ticket.subject.change("ship", f"It has its label: {view.carrier} {view.tracking_number}.")
        ticket.subject.tell("ORDER_SHIPPED", shipment_id=view.id, **_followed_by(view))
    return [Done({"pick_up_by": due}, "Waits for the carrier.") for _ in tickets]


def hand_over(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """The carrier has it."""
    due = (now + timedelta(days=settings.DELIVERY_DAYS)).isoformat()
    known = views_of(tickets)
    for ticket in tickets:
        view = known[ticket.subject_id]
        ticket.subject.change("hand_over", "The carrier has the parcel.", who=view.carrier)
        ticket.subject.tell("ORDER_IN_TRANSIT", shipment_id=view.id, **_followed_by(view))
    return [Done({"deliver_by": due}, "On its way.") for _ in tickets]


def deliver(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """It is at the door."""
    known = views_of(tickets)
    for ticket in tickets:
        view = known[ticket.subject_id]
        at = view.delivered_at.isoformat() if view.delivered_at else now.isoformat()
        ticket.subject.change("deliver", "The carrier has delivered it.", who=view.carrier)
        ticket.subject.tell("SHIPMENT_DELIVERED", shipment_id=view.id, delivered_at=at)
        ticket.subject.tell("ORDER_DELIVERED", shipment_id=view.id, **_followed_by(view), delivered_at=at)
    return [Done(message="Delivered.") for _ in tickets]


# --- stopped ----------------------------------------------------------------------------------------------------------


def close(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """The shipment is stopped: tell the reversal that waits for it, or start one, so that no order is left behind."""
    ids = [ticket.subject_id for ticket in tickets]
    known = dict(Order.objects.filter(pk__in=ids).values_list("id", "reversal_id"))
    for ticket in tickets:
        reversal_id = known[ticket.subject_id]
        if reversal_id is not None:
            signal = Signal(reversal_id, "shipment_stopped")
            ticket.subject.desk.signals.append(("shipment_stopped", signal))
        else:
            actor = str((ticket.cause.data or {}).get("actor", "saga")) if ticket.cause else "saga"
            wish = Wish("failed", "cannot_ship", actor)
            why = "It can't be shipped, so it is taken back."
            reversals.reverse_stopped(ticket.subject_id, wish, why=why, now=now)
    return [Done(message="The shipment is stopped.") for _ in tickets]
