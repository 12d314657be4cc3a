"""What the warehouse says of parcels: that they are packed, many at once, and where one really goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from fulfillment import services as fulfillment
from fulfillment.carriers.base import Address
from fulfillment.errors import UnknownShipment
from fulfillment.selectors import shipments_of
from marketplace.sagas import attention
from marketplace.sagas import selectors as sagas_read
from marketplace.sagas import services as sagas
from marketplace.sagas.errors import NotParked
from marketplace.sagas.models import TERMINAL
from orders import timeline
from orders.addresses import in_a_line
from orders.desk import FULFILLMENT
from orders.models import Order


@dataclass(frozen=True, slots=True)
class PackResult:
    """Which orders' parcels are packed now (or were before), and which are not to be: they have no shipment to pack."""

    packed: frozenset[UUID]
    refused: frozenset[UUID]


@transaction.atomic
def packed(order_ids: Sequence[UUID], *, who: str, now: datetime) -> PackResult:
    """Write down that these orders' parcels are packed, and have their sagas go on to the label.

    A constant number of statements. Saying it again changes nothing. An order that is being taken back, or has no
    shipment yet, is refused. One whose saga was left to a person because nobody had packed it goes on. Locks the sagas,
    then the shipments, each in the order of their ids, in a transaction of its own or the caller's.
    """
    shipping = sagas_read.ids(order_ids, name=FULFILLMENT)
    receipts = sagas.signal_many("packed", [sagas.Signal(saga_id, "packed") for saga_id in shipping.values()])
    late = sagas_read.parked_at(list(shipping.values()), "check_packed")
    going_on = [
        order_id
        for (order_id, saga_id), receipt in zip(shipping.items(), receipts, strict=True)
        if receipt.status not in TERMINAL and (receipt.accepted or saga_id in late)
    ]
    done = fulfillment.pack(going_on, who=who, now=now)
    for order_id in sorted(done):
        if shipping[order_id] in late:
            attention.retry(shipping[order_id], actor=who, reason="It is packed now.", now=now)
    return PackResult(frozenset(done), frozenset(order_ids) - done)


@transaction.atomic
def correct_address(order_id: UUID, to: Address, *, who: str, now: datetime) -> bool:
    """Change where an order's parcel goes, as long as it has no label; a label that was refused is asked for again.

    The order is told to go there from then on (`orders.addresses`), and its timeline says who did it. Return whether a
    label is asked for again. Locks the saga, then the shipment, in a transaction of its own or the caller's. Raises
    `UnknownShipment` and `TooLateToCorrect`.
    """
    parcel = shipments_of([order_id]).get(order_id)
    if parcel is None:
        raise UnknownShipment
    asked = _ask_again(order_id, who=who, now=now)
    before = fulfillment.correct_address(parcel.id, to, now=now)
    if before != to:
        status = Order.objects.values_list("status", flat=True).get(pk=order_id)
        why = f"Corrected where the parcel goes: to {in_a_line(to)}, not {in_a_line(before)}."
        timeline.note(order_id, status, why, who=who, now=now)
    return asked


def _ask_again(order_id: UUID, *, who: str, now: datetime) -> bool:
    """Let the saga try to buy the label once more, if it needs a person for that."""
    shipping = sagas_read.ids([order_id], name=FULFILLMENT)
    refused = sagas_read.parked_at(list(shipping.values()), "buy_label")
    try:
        for saga_id in refused:
            attention.retry(saga_id, actor=who, reason="The address was corrected.", now=now)
    except NotParked:  # somebody has decided about it at this moment
        return False
    return bool(refused)
