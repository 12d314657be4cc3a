"""Where the parcel of a confirmed order is, and what it waits for: the first thing to read once an order is paid.

Pure: everything is given, nothing is looked up.
"""

from datetime import datetime
from typing import Final

from fulfillment.selectors import ShipmentView
from fulfillment.states import ShipmentStatus
from marketplace.operations.diagnosis import Diagnosis
from marketplace.operations.wording import ago, span, step
from marketplace.sagas import standby
from marketplace.sagas.models import SagaInstance, Status

_BEFORE_THE_CARRIER: Final = (ShipmentStatus.CREATED, ShipmentStatus.PACKED)


def of_parcel(saga: SagaInstance | None, view: ShipmentView | None, *, carrier: str, now: datetime) -> Diagnosis:
    """Say where a standing order's parcel is; `saga` is what ships it, None once that is archived, or never was.

    `carrier`: what people call it. What stops the parcel comes before where it is.
    """
    if saga is not None:
        stopped = _stopped(saga, now)
        if stopped is not None:
            return stopped
    if view is None:
        return _unplanned(saga)
    if saga is not None and view.status in _BEFORE_THE_CARRIER and saga.attempt and saga.wait_until is None:
        return _tried_again(saga, now)
    return _underway(view, carrier, now)


def _stopped(saga: SagaInstance, now: datetime) -> Diagnosis | None:
    doing = step(saga.current_step) or "closing"
    if saga.status == Status.NEEDS_ATTENTION:
        return Diagnosis(
            "danger",
            f"The parcel needs a person, at {doing}.",
            saga.attention,
            "It stays where it is until somebody decides.",
        )
    if saga.undoing:
        return Diagnosis("warning", "The shipment is being stopped.", next="Then the order is taken back.")
    if saga.standby:
        since = f", for {span(now - saga.standby_since)}" if saga.standby_since else ""
        return Diagnosis(
            "warning",
            f"The parcel stands by before {doing}{since}.",
            standby.in_words(saga.standby),
            "It goes on by itself once that is over; until then it spends no attempts.",
        )
    return None


def _unplanned(saga: SagaInstance | None) -> Diagnosis:
    if saga is not None:
        return Diagnosis("info", "Paid; its parcel is being planned.")
    return Diagnosis(
        "danger",
        "Nobody ships this order: it has no saga that does.",
        "It was confirmed by code that shipped nothing.",
        "Run manage.py start_missing_shipments.",
    )


def _tried_again(saga: SagaInstance, now: datetime) -> Diagnosis:
    doing = step(saga.current_step)
    if saga.due_at is not None and saga.due_at > now:
        wait = span(saga.due_at - now)
        return Diagnosis("warning", f"Will try {doing} again in {wait} (attempt {saga.attempt + 1}).")
    return Diagnosis("info", f"Under way: {doing}, attempt {saga.attempt}.")


def _underway(view: ShipmentView, carrier: str, now: datetime) -> Diagnosis:
    tracked = f"{carrier}, {view.tracking_number}" if view.tracking_number else carrier
    day = f"{view.estimated_delivery:%Y-%m-%d}"
    late = now.date() > view.estimated_delivery
    expected = f"It was expected on {day}." if late else f"Expected on {day}."
    if view.status == ShipmentStatus.DELIVERED:
        when = f" {ago(view.delivered_at, now=now)}" if view.delivered_at else ""
        return Diagnosis("success", f"Delivered{when}.", tracked)
    level = "warning" if late else "info"
    said = {
        ShipmentStatus.CREATED: Diagnosis(level, "Paid; waits to be packed.", expected),
        ShipmentStatus.PACKED: Diagnosis(level, "Packed; its label is next.", expected),
        ShipmentStatus.LABELLED: Diagnosis(
            level, "Has its label; the carrier has not scanned it yet.", tracked, expected
        ),
        ShipmentStatus.IN_TRANSIT: Diagnosis(level, "On its way to the buyer.", tracked, expected),
        ShipmentStatus.OUT_FOR_DELIVERY: Diagnosis(level, "Out for delivery.", tracked, expected),
        ShipmentStatus.EXCEPTION: Diagnosis("warning", "The carrier reports trouble on the way.", tracked, expected),
        ShipmentStatus.CANCELLED: Diagnosis("warning", "The shipment is cancelled, and the order stands.", tracked),
    }
    return said.get(ShipmentStatus(view.status), Diagnosis(level, view.status, tracked, expected))
