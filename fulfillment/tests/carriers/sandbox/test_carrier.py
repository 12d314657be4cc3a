"""The sandbox carrier keeps the contract, is strict, and fails on demand."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from fulfillment.carriers.base import CarrierUnavailable, LabelStatus, NotGenuine, NotUnderstood, Outcome, ScanKind
from fulfillment.carriers.sandbox.client import SandboxCarrier
from fulfillment.testing import CarrierServer
from fulfillment.tests.carriers.contract import PARCEL, CarrierContract
from marketplace.sandbox.testing import http, wait_until, webhook_sink  # noqa: F401


def to(postal_code):
    return replace(PARCEL, to=replace(PARCEL.to, postal_code=postal_code))


@pytest.fixture
def new_carrier(tmp_path):
    """A carrier with books of its own: whatever it still has to tell was told by this test."""
    server = CarrierServer(tmp_path / "carrier")
    yield server
    server.stop()


class OurCarrier:
    """A client of the running service."""

    @pytest.fixture
    def carrier(self, sandbox_carrier):
        self.server = sandbox_carrier
        return sandbox_carrier.carrier()

    def pick_up(self, carrier, shipment_key):
        self.server.scan(shipment_key, "PICKED_UP")

    key = staticmethod(CarrierContract.key)
    bought = CarrierContract.bought
    parcel = PARCEL


class TestContract(OurCarrier, CarrierContract):
    """What every carrier must keep."""


class TestFailures(OurCarrier):
    """On demand."""

    def test_an_address_that_is_not_found(self, carrier):
        reply = self.bought(carrier, self.key(), to("00000"))
        assert (reply.outcome, reply.code) == (Outcome.REFUSED, "address_unknown")

    def test_two_tries_are_turned_away(self, carrier):
        key = self.key()
        replies = [self.bought(carrier, key, to("00001")) for _ in range(3)]
        assert [reply.outcome for reply in replies] == [Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.DONE]
        assert replies[0].nothing_happened
        assert not replies[0].unavailable

    def test_the_answer_is_lost_and_the_label_bought(self, sandbox_carrier):
        carrier, key = sandbox_carrier.carrier(), self.key()
        reference = carrier.create_shipment(shipment_key=key, parcel=to("00002")).reference
        hasty, asked = sandbox_carrier.carrier(timeout_seconds=0.5), {"reference": reference, "parcel": to("00002")}
        lost = hasty.buy_label(key=f"{key}:label", shipment_key=key, **asked)
        assert (lost.outcome, lost.nothing_happened) == (Outcome.UNKNOWN, False)
        wait_until(lambda: carrier.find(shipment_key=key).status is LabelStatus.BOUGHT)
        assert self.bought(carrier, key, to("00002")).outcome is Outcome.DONE

    def test_a_carrier_that_is_down_takes_no_call(self, carrier):
        self.server.close_door()
        reply = carrier.create_shipment(shipment_key=self.key(), parcel=PARCEL)
        assert (reply.outcome, reply.unavailable) == (Outcome.UNKNOWN, True)
        with pytest.raises(CarrierUnavailable):
            carrier.find(shipment_key=self.key())

    def test_nobody_listens_there(self, nobody_listens):
        carrier = SandboxCarrier(url=nobody_listens, api_key="x", timeout_seconds=1)
        assert carrier.create_shipment(shipment_key=self.key(), parcel=PARCEL).unavailable

    def test_a_wrong_key_is_told_as_nobody_who_lets_us_in(self, sandbox_carrier):
        carrier = SandboxCarrier(url=sandbox_carrier.url, api_key="wrong", timeout_seconds=30)
        assert carrier.create_shipment(shipment_key=self.key(), parcel=PARCEL).unavailable

    def test_labels_are_turned_away(self, sandbox_carrier):
        sandbox_carrier.restart(SANDBOX_CARRIER_FAILURE_RATE="1")
        assert self.bought(sandbox_carrier.carrier(), self.key()).nothing_happened


class TestRules(OurCarrier):
    """Of a strict carrier."""

    def test_a_key_belongs_to_one_request(self, carrier):
        key = self.key()
        self.bought(carrier, key)
        reply = carrier.create_shipment(shipment_key=key, parcel=to("20095"))
        assert (reply.outcome, reply.code) == (Outcome.UNKNOWN, "idempotency_key_reused")

    def test_a_second_label_is_refused(self, carrier):
        key = self.key()
        self.bought(carrier, key)
        reply = carrier.buy_label(key=f"{key}:other", shipment_key=key, reference="", parcel=PARCEL)
        assert (reply.outcome, reply.code) == (Outcome.REFUSED, "label_bought_already")

    def test_a_label_that_comes_after_its_void_is_refused(self, carrier):
        early, between = self.key(), self.key()
        carrier.void_label(key=f"{early}:undo", shipment_key=early)
        assert carrier.create_shipment(shipment_key=early, parcel=PARCEL).code == "voided_before_label"
        carrier.create_shipment(shipment_key=between, parcel=PARCEL)
        carrier.void_label(key=f"{between}:undo", shipment_key=between)
        reply = carrier.buy_label(key=f"{between}:label", shipment_key=between, reference="", parcel=PARCEL)
        assert (reply.outcome, reply.code) == (Outcome.REFUSED, "voided_before_label")

    def test_only_what_can_happen_is_scanned(self, carrier):
        key = self.key()
        with pytest.raises(httpx.HTTPStatusError):
            self.server.scan(key, "PICKED_UP")
        self.bought(carrier, key)
        with pytest.raises(httpx.HTTPStatusError):
            self.server.scan(key, "DELIVERED")
        self.server.scan(key, "PICKED_UP", "OUT_FOR_DELIVERY", "EXCEPTION", "DELIVERED")
        with pytest.raises(httpx.HTTPStatusError):
            self.server.scan(key, "IN_TRANSIT")
        kinds = [scan.kind for scan in carrier.track(shipment_key=key).scans]
        assert kinds == ["PICKED_UP", "OUT_FOR_DELIVERY", "EXCEPTION", "DELIVERED"]

    def test_its_books_outlive_a_crash(self, carrier):
        key = self.key()
        reply = self.bought(carrier, key)
        self.server.kill()
        self.server.start()
        assert carrier.find(shipment_key=key).tracking_number == reply.tracking_number

    def test_a_parcel_moves_by_itself_where_it_shall(self, new_carrier, webhook_sink):  # noqa: F811
        new_carrier.tell(webhook_sink.url, SANDBOX_CARRIER_PACE_SECONDS="0.05")
        carrier, key = new_carrier.carrier(), self.key()
        self.bought(carrier, key)
        told = [event["data"]["scans"][0]["kind"] for event in webhook_sink.wait_for(4)]
        kinds = ["PICKED_UP", "IN_TRANSIT", "OUT_FOR_DELIVERY", "DELIVERED"]
        assert [scan.kind for scan in carrier.track(shipment_key=key).scans] == kinds
        assert sorted(told) == sorted(kinds)  # webhooks overtake each other


class TestPages(OurCarrier):
    """For people, on this machine."""

    def press(self, path, deed, **headers):
        url = f"{self.server.url}{path}"
        return http().post(url, data={"deed": deed}, headers=headers, follow_redirects=True)

    def test_a_person_moves_a_parcel_on(self, carrier):
        key = self.key()
        reply = self.bought(carrier, key)
        path = f"/parcels/{key.replace(':', '%3A')}"
        assert "Pick it up" in http().get(f"{self.server.url}{path}").text
        assert "picked up" in self.press(path, "PICKED_UP").text
        assert "Hand it over" in self.press(path, "OUT_FOR_DELIVERY").text
        track = f"{self.server.url}/track/{reply.tracking_number}"
        assert "Expected on" in http().get(track).text
        assert "delivered" in self.press(path, "DELIVERED").text
        public = http().get(track).text
        assert "delivered" in public
        assert "Expected on" not in public + http().get(f"{self.server.url}{path}").text
        assert "Lovelace" not in public

    def test_no_other_page_can_press_a_button(self, carrier):
        assert self.press("/", "close", **{"Sec-Fetch-Site": "cross-site"}).status_code == 400
        assert carrier.find(shipment_key=self.key()) is None

    def test_the_books_say_what_can_be_provoked(self, carrier):
        self.bought(carrier, self.key())
        text = http().get(f"{self.server.url}/").text
        assert "00002" in text
        assert "Berlin" in text


def told(key, kind="IN_TRANSIT"):
    at = datetime.now(UTC)
    scan = {"id": "scan_1", "kind": kind, "at": at.isoformat(), "place": "Berlin", "message": ""}
    data = {"key": key, "reference": "shp_1", "tracking_number": "SB1", "scans": [scan]}
    return json.dumps({"id": "evt_1", "type": "parcel.scanned", "created_at": at.isoformat(), "data": data})


def signed(body, secret, age=timedelta()):
    at = datetime.now(UTC) - age
    signature = Webhook(secret).sign("evt_1", at, body)
    return {"Webhook-Id": "evt_1", "Webhook-Timestamp": str(int(at.timestamp())), "Webhook-Signature": signature}


class TestWebhooks(OurCarrier):
    """Signed, at most five minutes old, and readable."""

    def test_a_genuine_one(self, carrier):
        body = told("some:key")
        notice = carrier.verify(body=body.encode(), headers=signed(body, self.server.webhook_secret))
        assert (notice.event_id, notice.shipment_key, notice.tracking_number) == ("evt_1", "some:key", "SB1")
        assert [scan.kind for scan in notice.scans] == [ScanKind.IN_TRANSIT]

    @pytest.mark.parametrize("age", [timedelta(seconds=310), timedelta(seconds=-400)])
    def test_one_that_is_too_old_or_too_new(self, carrier, age):
        body = told("some:key")
        with pytest.raises(NotGenuine):
            carrier.verify(body=body.encode(), headers=signed(body, self.server.webhook_secret, age))

    def test_one_that_was_changed(self, carrier):
        body = told("some:key")
        headers = signed(body, self.server.webhook_secret)
        with pytest.raises(NotGenuine):
            carrier.verify(body=body.replace("SB1", "SB2").encode(), headers=headers)
        with pytest.raises(NotGenuine):
            carrier.verify(body=body.encode(), headers={})

    @pytest.mark.parametrize("body", ["{}", "[]", told("k", "TELEPORTED")])
    def test_one_that_makes_no_sense(self, carrier, body):
        with pytest.raises(NotUnderstood):
            carrier.verify(body=body.encode(), headers=signed(body, self.server.webhook_secret))

    def test_what_is_sent_is_genuine_and_comes_again_until_it_is_taken(self, new_carrier, webhook_sink):  # noqa: F811
        webhook_sink.refusals = 1
        new_carrier.tell(webhook_sink.url, SANDBOX_CARRIER_WEBHOOK_DUPLICATES="1")
        carrier, key = new_carrier.carrier(), self.key()
        self.bought(carrier, key)
        new_carrier.scan(key, "PICKED_UP")
        webhook_sink.wait_for(2)
        notices = [carrier.verify(body=body, headers=headers) for headers, body in webhook_sink.taken]
        assert webhook_sink.turned_away == 1
        assert {(notice.event_id, notice.shipment_key) for notice in notices} == {(notices[0].event_id, key)}
