"""Carriers' webhooks: verified, written down once, answered at once; taken in later, in any order, and replayable."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from fulfillment import scanning
from fulfillment.inbox import processing
from fulfillment.models import CarrierEvent, Scan, Shipment
from fulfillment.tests.warehouse import NOW, begun, packed
from marketplace.kernel.clock import database_now
from marketplace.sandbox.testing import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def heard(monkeypatch):
    """What is passed on, as (order, kind)."""
    scans = []
    monkeypatch.setattr(scanning, "_listeners", [lambda told: scans.extend((s.reference_id, s.kind) for s in told)])
    return scans


@pytest.fixture
def parcel(sandbox_carrier):
    """A shipment whose label is being bought."""
    [view] = packed()
    begun("BUY", [view])
    return view


def told(key, *kinds, event_id="evt_1", scan_id="scan"):
    at = datetime.now(UTC)
    scans = [
        {
            "id": f"{scan_id}_{n}",
            "kind": kind,
            "at": (NOW + timedelta(minutes=n)).isoformat(),
            "place": "",
            "message": "",
        }
        for n, kind in enumerate(kinds)
    ]
    data = {"key": key, "reference": "shp_1", "tracking_number": "SB1", "scans": scans}
    return json.dumps({"id": event_id, "type": "parcel.scanned", "created_at": at.isoformat(), "data": data})


def post(client, server, body, *, event_id="evt_1", age=timedelta(), carrier="sandbox", secret=""):
    at = datetime.now(UTC) - age
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret or server.webhook_secret).sign(event_id, at, body),
    }
    url = f"/api/fulfillment/webhooks/{carrier}"
    return client.post(url, data=body, content_type="application/json", headers=headers)


def key_of(view):
    return Shipment.objects.get(pk=view.id).label_key


def test_a_scan_is_taken_in_once_however_often_it_comes(client, sandbox_carrier, parcel, heard):
    body = told(key_of(parcel), "PICKED_UP")
    first = post(client, sandbox_carrier, body)
    again = post(client, sandbox_carrier, body)
    other = post(client, sandbox_carrier, told(key_of(parcel), "PICKED_UP", event_id="evt_2"), event_id="evt_2")
    assert [reply.status_code for reply in (first, again, other)] == [202, 202, 202]
    assert [reply.json()["duplicate"] for reply in (first, again, other)] == [False, True, False]
    assert not Scan.objects.exists()  # nothing happens while the carrier waits
    assert processing.process_due() == 2
    assert Scan.objects.count() == 1
    assert heard == [(parcel.reference_id, "PICKED_UP")]
    assert set(CarrierEvent.objects.values_list("status", flat=True)) == {"DONE"}


def test_half_a_character_is_not_understood(client, sandbox_carrier, parcel):
    body = told(key_of(parcel), "PICKED_UP").replace('"place": ""', '"place": "\\ud800"')
    assert post(client, sandbox_carrier, body).json()["code"] == "webhook_not_understood"
    assert not CarrierEvent.objects.exists()


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"age": timedelta(seconds=301)}, 400),
        ({"secret": "whsec_b3RoZXIgc2VjcmV0IG9mIHNvbWVib2R5IGVsc2UgYWx0b2dldGhlcg=="}, 400),
        ({"carrier": "nobody"}, 404),
    ],
)
def test_what_is_not_genuine_is_refused_and_leaves_nothing(client, sandbox_carrier, parcel, how, status):
    assert post(client, sandbox_carrier, told(key_of(parcel), "PICKED_UP"), **how).status_code == status
    assert not CarrierEvent.objects.exists()


def test_a_parcel_that_nobody_knows_waits_and_is_given_up_after_a_day(client, sandbox_carrier):
    post(client, sandbox_carrier, told("nobody:knows", "PICKED_UP"))
    processing.process_due()
    event = CarrierEvent.objects.get()
    assert (event.status, event.outcome) == ("PARKED", "Nobody here knows this parcel.")
    CarrierEvent.objects.update(due_at=database_now(), given_up_at=database_now())
    processing.process_due()
    event.refresh_from_db()
    assert (event.status, event.due_at) == ("FAILED", None)


def test_one_that_came_too_early_finds_its_parcel_later_and_one_that_failed_by_a_replay(client, sandbox_carrier, heard):
    [view] = packed()
    key = f"{view.reference_id}:key"
    post(client, sandbox_carrier, told(key, "PICKED_UP"))
    processing.process_due()
    begun("BUY", [view])
    CarrierEvent.objects.update(status="FAILED", due_at=None)
    processing.replay(CarrierEvent.objects.get().id, actor="staff", now=database_now())
    processing.process_due()
    assert CarrierEvent.objects.get().status == "DONE"
    assert heard == [(view.reference_id, "PICKED_UP")]


def test_what_can_not_be_taken_in_stops_no_other(client, sandbox_carrier, parcel, heard):
    bad = told(key_of(parcel), "PICKED_UP", event_id="evt_bad")
    post(client, sandbox_carrier, bad, event_id="evt_bad")
    CarrierEvent.objects.update(scans={})
    post(client, sandbox_carrier, told(key_of(parcel), "IN_TRANSIT"))
    processing.process_due()
    assert dict(CarrierEvent.objects.values_list("event_id", "status")) == {"evt_bad": "RECEIVED", "evt_1": "DONE"}
    assert heard == [(parcel.reference_id, "IN_TRANSIT")]


def test_the_carrier_tells_the_shop_at_its_own_address(sandbox_carrier, live_server, heard):
    [view] = packed()
    [call] = begun("BUY", [view])
    sandbox_carrier.tell(f"{live_server.url}/api/fulfillment/webhooks/sandbox", SANDBOX_CARRIER_WEBHOOK_DUPLICATES="1")
    carrier = sandbox_carrier.carrier()
    carrier.create_shipment(shipment_key=call.label_key, parcel=call.parcel)
    carrier.buy_label(key="k", shipment_key=call.label_key, reference="", parcel=call.parcel)
    sandbox_carrier.scan(call.label_key, "PICKED_UP", "DELIVERED")
    wait_until(lambda: [one["copies"] for one in sandbox_carrier.shipment(call.label_key)["events"]] == [0, 0])
    processing.process_due()
    assert sorted(heard) == [(view.reference_id, "DELIVERED"), (view.reference_id, "PICKED_UP")]
