"""What a scan means for its order: a signal for the saga that ships it, and what is told of it.

Called in a transaction in which no shipment is locked. Rows are locked in the order of the house: saga, order, and
shipment last.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

from fulfillment.scanning import Scanned
from fulfillment.states import MOVING
from marketplace.kernel.clock import database_now
from marketplace.outbox.services import append
from marketplace.sagas import archive
from marketplace.sagas import selectors as sagas_read
from marketplace.sagas import services as sagas
from marketplace.sagas.ticket import LateSignal
from orders import events
from orders.cases import open_case
from orders.desk import FULFILLMENT, OpenOrder
from orders.models import SHIPPED, Order
from orders.timeline import note

log = structlog.get_logger(__name__)

_WORDS: Final[Mapping[str, str]] = {
    "ANNOUNCED": "The carrier knows of the parcel.",
    "PICKED_UP": "The carrier has picked it up.",
    "IN_TRANSIT": "On its way.",
    "OUT_FOR_DELIVERY": "Out for delivery.",
    "EXCEPTION": "The carrier is held up.",
    "RETURNED": "The carrier brings it back.",
    "DELIVERED": "The carrier has delivered it.",
}


def heard(scans: Sequence[Scanned]) -> None:
    """Pass each scan on to the saga that ships its order, in the order they came."""
    found = sagas_read.ids([scan.reference_id for scan in scans], name=FULFILLMENT)
    signals = []
    for scan in scans:
        saga_id = found.get(scan.reference_id) or archive.id_of(scan.reference_id, name=FULFILLMENT)
        if saga_id is None:
            log.error("scan_without_saga", order=str(scan.reference_id), scan=scan.event_id)
            continue
        said = {"kind": str(scan.kind), "place": scan.place, "message": scan.message}
        said |= {"at": scan.occurred_at.isoformat(), "shipment_id": str(scan.shipment_id)}
        signals.append(sagas.Signal(saga_id, scan.event_id, said))
    sagas.signal_many("scanned", signals)


def tell(opened: OpenOrder, said: Mapping[str, Any]) -> None:
    """Tell the world, and the order's timeline, of one scan."""
    opened.tell("SHIPMENT_SCANNED", **_data(said))
    opened.note(in_words(said), who="carrier")


def in_words(said: Mapping[str, Any]) -> str:
    """One scan as the timeline has it."""
    place = f"{said['place']}: " if said.get("place") else ""
    return f"{place}{said.get('message') or _WORDS[said['kind']]}"


def came_late(late: LateSignal) -> None:
    """The rule for a scan that comes when nobody waits for one: it is told all the same.

    After the delivery that is only the record. Of an order that was taken back, the carrier has a parcel that it should
    not have: that is a case for a person.
    """
    order = Order.objects.get(pk=late.subject_id)
    now = database_now()
    append([events.about(order, "SHIPMENT_SCANNED", _data(late.payload), saga_id=late.saga_id)], now=now)
    astray = late.payload["kind"] in MOVING and order.status not in SHIPPED
    back = late.payload["kind"] == "RETURNED"
    if astray or back:
        why = f"{in_words(late.payload)} But the order is {order.status}."
        open_case(order.id, why, who="carrier", now=now)
    else:
        note(order.id, order.status, in_words(late.payload), who="carrier", now=now)


def _data(said: Mapping[str, Any]) -> dict[str, Any]:
    told = {"shipment_id": said["shipment_id"], "scan": said["kind"], "place": said.get("place", "")}
    return {**told, "message": said.get("message", ""), "scanned_at": said["at"]}
