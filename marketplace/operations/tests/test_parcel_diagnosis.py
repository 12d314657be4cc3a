"""Every state in which the parcel of an order can be met has its sentence."""

from datetime import UTC, date, datetime, timedelta

import pytest

from fulfillment.selectors import ShipmentView
from fulfillment.states import ShipmentStatus
from marketplace.operations.parcel_diagnosis import of_parcel
from marketplace.sagas.models import SagaInstance

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def saga(**state):
    usual = {"status": "IN_PROGRESS", "queue": "fulfillment", "current_step": "buy_label", "attempt": 0}
    return SagaInstance(**{**usual, "started_at": at(-30), "undoing": False, **state})


def parcel(status, *, expected=date(2026, 3, 4), **known):
    empty = dict.fromkeys(ShipmentView._fields, "")
    return ShipmentView(**{**empty, "status": status, "estimated_delivery": expected, "delivered_at": None, **known})


def said(saga, view):
    return of_parcel(saga, view, carrier="Sandbox Parcel", now=NOW)


@pytest.mark.parametrize(
    ("state", "level", "headline"),
    [
        ({"status": "NEEDS_ATTENTION"}, "danger", "The parcel needs a person, at buy label."),
        ({"standby": "circuit:carrier-sandbox", "standby_since": at(-180)}, "warning",
         "The parcel stands by before buy label, for 3 min."),
        ({"standby": "pause:fulfill_order"}, "warning", "The parcel stands by before buy label."),
        ({"undoing": True}, "warning", "The shipment is being stopped."),
        ({"attempt": 1, "due_at": at(40)}, "warning", "Will try buy label again in 40 s (attempt 2)."),
        ({"attempt": 1, "due_at": at(-1)}, "info", "Under way: buy label, attempt 1."),
        ({"due_at": at(-1)}, "info", "Packed; its label is next."),
    ],
)  # fmt: skip
def test_what_stops_it_comes_first(state, level, headline):
    found = said(saga(**state), parcel("PACKED"))
    assert (found.level, found.headline) == (level, headline)


def test_why_it_is_parked_is_what_its_saga_says():
    found = said(
        saga(status="NEEDS_ATTENTION", attention="The carrier refuses the label: no street."), parcel("PACKED")
    )
    assert found.why == "The carrier refuses the label: no street."


@pytest.mark.parametrize("status", ShipmentStatus.values)
def test_every_status_has_its_words(status):
    found = said(saga(wait_until=at(600)), parcel(status, tracking_number="SB1", delivered_at=at(-7200)))
    assert status not in found.headline
    assert "Sandbox Parcel, SB1" in f"{found.why} {found.next}" or status in ("CREATED", "PACKED")


@pytest.mark.parametrize("status", ["CREATED", "LABELLED", "IN_TRANSIT"])
def test_what_is_late_is_a_warning(status):
    in_time, late = (said(None, parcel(status, expected=day)) for day in (date(2026, 3, 2), date(2026, 3, 1)))
    assert (in_time.level, late.level) == ("info", "warning")
    assert "It was expected on 2026-03-01." in f"{late.why} {late.next}"


def test_it_is_there():
    found = said(None, parcel("DELIVERED", expected=date(2026, 3, 1), delivered_at=at(-7200), tracking_number="SB1"))
    assert (found.level, found.headline, found.why) == ("success", "Delivered 2 h ago.", "Sandbox Parcel, SB1")


def test_before_there_is_one():
    assert said(saga(current_step="estimate_delivery"), None).headline == "Paid; its parcel is being planned."
    assert said(None, None).level == "danger"
