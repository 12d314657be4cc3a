"""What becomes of the money for labels that were given back: some carriers decide weeks later, and may say no.

No webhook tells of that no, so the carrier is asked about such a label once a day until it has decided.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet

from fulfillment import carriers
from fulfillment.carriers.base import CarrierUnavailable, Consignment, LabelRefund, Outcome, Reply
from fulfillment.journal import LabelCall
from fulfillment.models import Shipment
from fulfillment.selectors import ShipmentView, views
from fulfillment.states import Operation
from marketplace.kernel import bulk

log = structlog.get_logger(__name__)

PAUSE: Final = timedelta(days=1)
AFTER_TROUBLE: Final = timedelta(hours=1)
AT_ONCE: Final = 20
RECENT: Final = timedelta(days=30)  # so long a refusal is told of where staff look every day


def expect(answers: Iterable[tuple[LabelCall, Reply]], *, now: datetime) -> None:
    """Write down, of answers that are news, which labels were given back, and whether the money is back too.

    Needs the caller's transaction, which has locked the shipments.
    """
    told = [
        (call.shipment_id, reply.label_refund.value, now, now + PAUSE)
        for call, reply in answers
        if call.operation is Operation.VOID and reply.outcome is Outcome.DONE and reply.label_refund
    ]
    bulk.update(Shipment, "id", ("label_refund", "label_refund_at", "label_refund_look_at"), told)


def look_due(*, now: datetime, limit: int = AT_ONCE) -> int:
    """Ask the carriers about the labels that are due, at most `limit` of them; return how many were decided.

    To be called outside of any transaction: it uses the network.
    """
    return sum(_look(view, now=now) for view in _claim(now, limit))


def hurry(shipment_ids: Iterable[UUID], *, now: datetime) -> int:
    """Have the carrier asked about these labels at once, where it is still to decide; return how many there are."""
    return _waiting().filter(pk__in=list(shipment_ids)).update(label_refund_look_at=now)


def refused(*, since: datetime) -> QuerySet[Shipment]:
    """The shipments for whose labels a carrier has refused the money since then."""
    return Shipment.objects.filter(label_refund=LabelRefund.REJECTED, label_refund_at__gte=since)


def _waiting() -> QuerySet[Shipment]:
    return Shipment.objects.filter(label_refund=LabelRefund.SUBMITTED)


def _claim(now: datetime, limit: int) -> list[ShipmentView]:
    """Take what is due, and say when its next time is: also if we die now."""
    with transaction.atomic():
        due = _waiting().filter(label_refund_look_at__lte=now).order_by("label_refund_look_at")
        claimed = views(due.select_for_update(no_key=True, skip_locked=True)[:limit])
        _waiting().filter(pk__in=[view.id for view in claimed]).update(label_refund_look_at=now + PAUSE)
    return claimed


def _look(view: ShipmentView, *, now: datetime) -> bool:
    try:
        seen = carriers.carrier(view.carrier).find(shipment_key=view.label_key, reference=view.carrier_reference)
    except CarrierUnavailable as error:
        log.warning("label_refund_not_seen", shipment=view.number, error=error.code)
        _waiting().filter(pk=view.id).update(label_refund_look_at=now + AFTER_TROUBLE)
        return False
    return seen is not None and _take_in(view, seen, now=now)


def _take_in(view: ShipmentView, seen: Consignment, *, now: datetime) -> bool:
    if seen.label_refund not in (LabelRefund.REFUNDED, LabelRefund.REJECTED):
        return False
    decided = _waiting().filter(pk=view.id).update(
        label_refund=seen.label_refund, label_refund_at=now, label_refund_look_at=None, updated_at=now
    )  # fmt: skip
    if decided and seen.label_refund is LabelRefund.REJECTED:
        log.warning("label_refund_rejected", shipment=view.number, carrier=view.carrier, label=view.tracking_number)
    return bool(decided)
