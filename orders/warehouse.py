"""What the warehouse says of its orders, whoever says it: packed, or can't be sent. Each order gets an answer.

People scan and type, machines send what they have read; so orders are named by texts: the number on the packing slip
(`M-104`, or just `104`), or the order's id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from fulfillment import batches
from fulfillment.selectors import ShipmentView, shipments_of
from orders.models import BEFORE_CONFIRMATION, SHIPPED, Order, Status
from orders.numbers import typed
from orders.services import cannot_ship_many, packed

MOST_AT_ONCE: Final = batches.MOST  # orders

PACKED, WAS_PACKED = "PACKED", "WAS_PACKED"
TAKEN_BACK, WAS_TAKEN_BACK = "TAKEN_BACK", "WAS_TAKEN_BACK"
REFUSED: Final = "REFUSED"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one order. `asked` is how it was named; there is a `code` only where it is refused.

    `said` is a sentence for whoever stands there with the parcel.
    """

    asked: str
    result: str
    said: str
    code: str = ""
    order_id: UUID | None = None
    number: str = ""
    shipment_id: UUID | None = None

    @property
    def packed(self) -> bool:
        """Whether it is packed, by this or before."""
        return self.result in (PACKED, WAS_PACKED)


_UNKNOWN = "There is no such order. Look at the number again."


def pack(names: Sequence[str], *, who: str, now: datetime) -> list[Answer]:
    """Write down that these orders are packed, and have their labels bought; answer for each, in the order given.

    Saying it again changes nothing and is answered `WAS_PACKED`. What must not be sent is `REFUSED`, and the others are
    packed all the same. A constant number of statements, in a transaction of its own or the caller's.
    """
    with transaction.atomic():
        found = _find(names)
        wanted = [order.id for order in found.values() if order.reversal_id is None]
        done = packed(wanted, who=who, now=now).packed
        parcels = shipments_of([order.id for order in found.values()])
        orders = _again(found)
    return [_answered(name, orders, lambda o: _packed(o, parcels.get(o.id), o.id in done, now)) for name in names]


def pack_batch(names: Sequence[str], *, who: str, now: datetime) -> tuple[list[Answer], UUID | None]:
    """Do what `pack` does, and keep what is packed as a batch; answer its id too, None where nothing is.

    Raises ValueError for more than `MOST_AT_ONCE`.
    """
    if len(names) > MOST_AT_ONCE:
        raise ValueError(f"{len(names)} orders at once; {MOST_AT_ONCE} are the most")
    with transaction.atomic():
        answers = pack(names, who=who, now=now)
        taken = {a.shipment_id: None for a in answers if a.shipment_id is not None and a.result != REFUSED}
        refused = {a.number or a.asked: a.said for a in answers if a.result == REFUSED}
        batch_id = batches.make(list(taken), who=who, now=now, refused=refused) if taken else None
    return answers, batch_id


def pack_all_of(batch_id: UUID, *, who: str, now: datetime) -> list[Answer]:
    """Do what `pack` does for all that is in a batch and not packed yet; answer for each of these.

    What is refused is kept with the batch. Its own transaction. Raises `UnknownBatch`.
    """
    with transaction.atomic():
        left = [str(view.reference_id) for view in batches.parcels(batch_id) if view.packed_at is None]
        answers = pack(left, who=who, now=now)
        refused = {a.number or a.asked: a.said for a in answers if a.result == REFUSED}
        if refused:
            batches.note_refused(batch_id, refused)
    return answers


def cannot_ship(names: Sequence[str], *, reason: str, who: str, now: datetime) -> list[Answer]:
    """Take back these orders, which can't be sent; answer for each, in the order given.

    The money goes back and the order ends as `cannot_ship`. Saying it again, or of an order that is being taken back
    for another reason, is answered `WAS_TAKEN_BACK`. `reason` goes onto the timeline; the buyer does not read it. A
    constant number of statements, in a transaction of its own or the caller's.
    """
    with transaction.atomic():
        found = _find(names)
        begun = cannot_ship_many([order.id for order in found.values()], reason=reason, actor=who, now=now)
        orders = _again(found)
    return [_answered(name, orders, lambda o: _taken_back(o, o.id in begun)) for name in names]


# --- which orders are meant -------------------------------------------------------------------------------------------


def _find(names: Sequence[str]) -> dict[str, Order]:
    """The order that each of these texts names; those that name none are left out. One query."""
    ids = {name: identity for name in names if (identity := _as_id(name)) is not None}
    numbers = {name: typed(name) for name in names if name not in ids}
    rows = list(Order.objects.filter(Q(pk__in=set(ids.values())) | Q(number__in=set(numbers.values()))))
    by_id, by_number = {row.id: row for row in rows}, {row.number: row for row in rows}
    found = {name: by_id.get(identity) for name, identity in ids.items()}
    found |= {name: by_number.get(number) for name, number in numbers.items()}
    return {name: order for name, order in found.items() if order is not None}


def _again(found: dict[str, Order]) -> dict[str, Order]:
    """The same orders as they are now: what came first, we or whoever takes them back, is decided."""
    now = Order.objects.in_bulk([order.id for order in found.values()])
    return {name: now[order.id] for name, order in found.items()}


def _as_id(name: str) -> UUID | None:
    try:
        return UUID(name.strip())
    except ValueError:
        return None


# --- what became of each ----------------------------------------------------------------------------------------------


def _answered(name: str, orders: dict[str, Order], answer: Callable[[Order], Answer]) -> Answer:
    order = orders.get(name)
    if order is None:
        return Answer(name, REFUSED, _UNKNOWN, "unknown_order")
    said = answer(order)
    return Answer(name, said.result, said.said, said.code, order.id, order.number, said.shipment_id)


def _packed(order: Order, view: ShipmentView | None, done: bool, now: datetime) -> Answer:
    over = _over(order)
    if over is not None:
        return over
    if view is not None and view.packed_at is not None and (done or order.status in SHIPPED):
        if view.packed_at == now:
            return Answer("", PACKED, "Packed. Its label is being bought.", shipment_id=view.id)
        who = view.packed_by or "the warehouse"
        said = f"Was packed already, by {who} at {view.packed_at:%H:%M} UTC on {view.packed_at:%Y-%m-%d}."
        return Answer("", WAS_PACKED, said, shipment_id=view.id)
    if order.status in BEFORE_CONFIRMATION:
        return Answer("", REFUSED, f"Don't send it: it is {order.status}, not confirmed.", "not_confirmed")
    return Answer("", REFUSED, "Its parcel is not planned yet. Scan it again in a moment.", "not_planned")


def _over(order: Order) -> Answer | None:
    """The answer for an order that nobody is to send any more."""
    if order.status in (Status.FAILED, Status.CANCELLED):
        said = f"Don't send it: the order is {order.status}. Put its units back."
        return Answer("", REFUSED, said, "not_to_be_sent")
    if order.reversal_id is not None and order.status == Status.CONFIRMED:
        return Answer("", REFUSED, "Don't send it: the order is being taken back.", "being_taken_back")
    return None


def _taken_back(order: Order, begun: bool) -> Answer:
    if begun:
        return Answer("", TAKEN_BACK, "Is taken back: the buyer gets the money back, and a mail.")
    if order.status in SHIPPED:
        return Answer("", REFUSED, f"Too late: the order is {order.status}.", "already_shipped")
    if order.status in BEFORE_CONFIRMATION:
        return Answer("", REFUSED, f"The order is {order.status}, not confirmed: cancel it instead.", "not_confirmed")
    return Answer("", WAS_TAKEN_BACK, "Is taken back already, or ended otherwise.")
