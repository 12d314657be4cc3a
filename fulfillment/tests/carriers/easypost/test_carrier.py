"""Our EasyPost carrier keeps the contract of all carriers, and what is EasyPost's own."""

import json
import socket
import threading
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from fulfillment.carriers.base import (
    Address,
    CarrierUnavailable,
    LabelStatus,
    NotGenuine,
    NotUnderstood,
    Outcome,
    Parcel,
    ScanKind,
)
from fulfillment.carriers.easypost import client as module
from fulfillment.carriers.easypost.client import EasyPostCarrier
from fulfillment.tests.carriers.contract import CarrierContract
from fulfillment.tests.carriers.easypost import fake
from marketplace.kernel.ids import new_id

PARCEL = Parcel(
    Address("Ada Lovelace", "417 Montgomery Street", "", "94104", "San Francisco", "US"),
    1240,
    "USPS:GroundAdvantage",
    "M-1",
)


@pytest.fixture
def easypost():
    with fake.running() as server:
        yield server


def client(url: str, *, api_key: str = "EZTK_test", timeout_seconds: float = 30.0) -> EasyPostCarrier:
    sender = Address("Shop", "Musterstraße 1", "", "10115", "Berlin", "DE")
    return EasyPostCarrier(
        api_key=api_key, api_base=url, sender=sender, webhook_secret=fake.SECRET, timeout_seconds=timeout_seconds
    )


@pytest.fixture
def carrier(easypost):
    return client(easypost.url)


@pytest.fixture
def key():
    return f"{new_id()}:buy_label"


def announced(carrier, key, parcel=PARCEL) -> str:
    reply = carrier.create_shipment(shipment_key=key, parcel=parcel)
    assert reply.outcome is Outcome.DONE, reply
    return reply.reference


def bought(carrier, key, parcel=PARCEL):
    reference = announced(carrier, key, parcel)
    return carrier.buy_label(key=f"{key}:label", shipment_key=key, reference=reference, parcel=parcel)


class TestEasyPost(CarrierContract):
    parcel = PARCEL

    @pytest.fixture
    def carrier(self, easypost):
        self.server = easypost
        return client(easypost.url)

    def pick_up(self, carrier, shipment_key):
        self.server.scan(shipment_key, "in_transit")


# --- lost answers -----------------------------------------------------------------------------------------------------


def test_a_lost_answer_to_the_announcement_leaves_one_shipment(easypost, carrier, key):
    easypost.lose_answers(1, of="/shipments")
    assert carrier.create_shipment(shipment_key=key, parcel=PARCEL).outcome is Outcome.UNKNOWN
    assert announced(carrier, key) == next(iter(easypost.shipments))
    assert len(easypost.shipments) == 1


def test_a_lost_answer_to_the_purchase_is_paid_for_once(easypost, carrier, key):
    reference = announced(carrier, key)
    easypost.lose_answers(1, of="/buy")
    first = carrier.buy_label(key="k", shipment_key=key, reference=reference, parcel=PARCEL)
    assert (first.outcome, first.nothing_happened) == (Outcome.UNKNOWN, False)
    again = carrier.buy_label(key="k", shipment_key=key, reference=reference, parcel=PARCEL)
    assert (again.outcome, again.tracking_number) == (Outcome.DONE, easypost.named(key)["tracking_code"])
    assert easypost.bought == 1


def test_two_who_buy_at_once_get_the_same_label(easypost, carrier, key):
    reference = announced(carrier, key)
    easypost.crossing = threading.Barrier(2)
    replies = []

    def buy() -> None:
        replies.append(carrier.buy_label(key="k", shipment_key=key, reference=reference, parcel=PARCEL))

    threads = [threading.Thread(target=buy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert easypost.bought == 1
    assert [reply.outcome for reply in replies] == [Outcome.DONE, Outcome.DONE]
    assert replies[0].tracking_number == replies[1].tracking_number


def test_a_lost_answer_to_the_void_is_found_out(easypost, carrier, key):
    bought(carrier, key)
    easypost.lose_answers(1, of="/refund")
    assert carrier.void_label(key="v", shipment_key=key).outcome is Outcome.UNKNOWN
    assert carrier.void_label(key="v", shipment_key=key).outcome is Outcome.DONE
    assert carrier.find(shipment_key=key).status is LabelStatus.VOIDED


# --- refused, or nobody there -----------------------------------------------------------------------------------------


def test_a_parcel_that_no_carrier_takes_is_refused_with_the_carriers_words(carrier, key):
    reply = carrier.create_shipment(shipment_key=key, parcel=replace(PARCEL, weight_grams=70_000))
    assert (reply.outcome, reply.code, reply.message) == (Outcome.REFUSED, "not_served", "Shipment is too heavy.")


def test_a_service_that_is_not_offered_is_refused(easypost, carrier, key):
    reply = bought(carrier, key, replace(PARCEL, service="USPS:Pigeon"))
    assert (reply.outcome, reply.code) == (Outcome.REFUSED, "service_unknown")
    assert easypost.bought == 0


def test_a_label_that_was_given_back_is_not_bought_again(easypost, carrier, key):
    reference = bought(carrier, key).reference
    carrier.void_label(key="v", shipment_key=key)
    reply = carrier.buy_label(key="k2", shipment_key=key, reference=reference, parcel=PARCEL)
    assert (reply.outcome, reply.code) == (Outcome.REFUSED, "voided_before_label")
    assert easypost.bought == 1


def test_a_carrier_that_bills_what_it_has_scanned_has_nothing_to_give_back(easypost, carrier, key, monkeypatch):
    bought(carrier, key)
    monkeypatch.setattr(
        easypost, "_refund", lambda shipment: shipment.update(refund_status="not_applicable") or shipment
    )
    assert carrier.void_label(key="v", shipment_key=key).outcome is Outcome.DONE


def test_a_label_that_the_carrier_keeps_is_a_no(easypost, carrier, key, monkeypatch):
    bought(carrier, key)
    monkeypatch.setattr(easypost, "_refund", lambda shipment: shipment.update(refund_status="rejected") or shipment)
    reply = carrier.void_label(key="v", shipment_key=key)
    assert (reply.outcome, reply.code) == (Outcome.REFUSED, "void_refused")
    assert carrier.find(shipment_key=key).status is LabelStatus.BOUGHT


@pytest.mark.parametrize(
    ("problem", "meant"),
    [
        ((422, "SHIPMENT.POSTAGE.FAILURE"), (Outcome.REFUSED, "shipment_postage_failure", False)),
        ((402, "PAYMENT_REQUIRED"), (Outcome.REFUSED, "payment_required", False)),
        ((422, "SHIPMENT.POSTAGE.TIMED_OUT"), (Outcome.UNKNOWN, "SHIPMENT.POSTAGE.TIMED_OUT", False)),
        ((422, "SHIPMENT.PURCHASE.IN_PROGRESS"), (Outcome.UNKNOWN, "SHIPMENT.PURCHASE.IN_PROGRESS", False)),
        ((401, "UNAUTHORIZED"), (Outcome.UNKNOWN, "unauthorized", True)),
        ((429, "RATE_LIMITED"), (Outcome.UNKNOWN, "carrier_busy", True)),
        ((500, "INTERNAL"), (Outcome.UNKNOWN, "INTERNAL", False)),
        ((503, ""), (Outcome.UNKNOWN, "unreadable_answer", False)),
    ],
)
def test_what_an_error_means(easypost, carrier, key, problem, meant):
    reference = announced(carrier, key)
    easypost.outage = fake.Problem(*problem, "Why it is so.")
    reply = carrier.buy_label(key="k", shipment_key=key, reference=reference, parcel=PARCEL)
    assert (reply.outcome, reply.code, reply.nothing_happened) == meant
    assert reply.message == "Why it is so."
    assert reply.unavailable is (reply.code == "unauthorized")
    with pytest.raises(CarrierUnavailable):
        carrier.find(shipment_key=key)
    with pytest.raises(CarrierUnavailable):
        carrier.rates(PARCEL)


def test_nobody_there_is_not_the_same_as_no_answer(key):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        unreachable = client(f"http://127.0.0.1:{port}/v2")  # bound, and nobody listens
        reply = unreachable.create_shipment(shipment_key=key, parcel=PARCEL)
        assert (reply.outcome, reply.code, reply.unavailable) == (Outcome.UNKNOWN, "carrier_unreachable", True)
        taken.listen()
        slow = client(f"http://127.0.0.1:{port}/v2", timeout_seconds=0.2)
        reply = slow.create_shipment(shipment_key=key, parcel=PARCEL)
        assert (reply.outcome, reply.code, reply.nothing_happened) == (Outcome.UNKNOWN, "carrier_timeout", False)


def test_a_carrier_that_lets_nobody_in_was_not_asked(key):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        shut_out = client(f"http://127.0.0.1:{full.getsockname()[1]}/v2", timeout_seconds=0.5)
        reply = shut_out.create_shipment(shipment_key=key, parcel=PARCEL)
    assert (reply.outcome, reply.code, reply.unavailable) == (Outcome.UNKNOWN, "carrier_unreachable", True)


# --- what is told -----------------------------------------------------------------------------------------------------


def test_what_is_bought_and_tracked(easypost, carrier, key):
    reply = bought(carrier, key)
    assert reply.tracking_url == f"https://track.easypost.example/{reply.tracking_number}"
    assert reply.label_reference == f"https://easypost.example/{reply.tracking_number}.png"
    assert reply.estimated_delivery == date(2026, 5, 8)
    assert easypost.named(key)["options"] == {"print_custom_1": "M-1"}
    for status in ("pre_transit", "in_transit", "out_for_delivery", "failure", "unknown", "delivered"):
        easypost.scan(key, status)
    found = carrier.track(shipment_key=key)
    assert (found.service, found.status, found.shipment_key) == ("USPS:GroundAdvantage", LabelStatus.BOUGHT, key)
    assert [scan.kind for scan in found.scans] == [
        ScanKind.ANNOUNCED,
        ScanKind.IN_TRANSIT,
        ScanKind.OUT_FOR_DELIVERY,
        ScanKind.EXCEPTION,
        ScanKind.DELIVERED,
    ]
    assert (found.scans[1].place, found.scans[1].occurred_at) == ("Houston, US", datetime(2026, 5, 4, 13, tzinfo=UTC))
    assert len({scan.event_id for scan in found.scans}) == 5
    assert carrier.track(shipment_key=key).scans == found.scans  # told twice, they are the same


def test_nothing_is_tracked_before_a_label_is_bought(carrier, key):
    announced(carrier, key)
    assert carrier.track(shipment_key=key) is None
    assert carrier.find(shipment_key=key).status is LabelStatus.ANNOUNCED


def test_rates_are_the_quickest_first(carrier):
    assert [(rate.service, rate.days_max, rate.price_minor, rate.currency) for rate in carrier.rates(PARCEL)] == [
        ("USPS:Priority", 2, 975, "USD"),
        ("USPS:GroundAdvantage", 3, 733, "USD"),
    ]


# --- webhooks ---------------------------------------------------------------------------------------------------------


def test_a_genuine_webhook_tells_of_a_parcel(easypost, carrier, key):
    reply = bought(carrier, key)
    event = easypost.scan(key, "in_transit", "Arrived.")
    body = json.dumps(event).encode()
    notice = carrier.verify(body=body, headers={"x-hmac-signature": fake.signature(body)})
    assert (notice.event_id, notice.kind) == (event["id"], "tracker.updated")
    assert (notice.reference, notice.tracking_number) == (reply.reference, reply.tracking_number)
    assert notice.scans == carrier.track(shipment_key=key).scans


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hmac-Signature": ""},
        {"X-Hmac-Signature": "hmac-sha256-hex=0000"},
        {"X-Hmac-Signature": "hmac-sha256-hex=ä"},
        {"X-Hmac-Signature": fake.signature(b"{}", "another secret")},
    ],
)
def test_a_forged_webhook_is_refused(carrier, headers):
    with pytest.raises(NotGenuine):
        carrier.verify(body=b"{}", headers=headers)


def test_without_a_secret_nothing_is_genuine(easypost):
    keyless = EasyPostCarrier(api_key="k", sender=Address(), timeout_seconds=1, api_base=easypost.url)
    with pytest.raises(NotGenuine):
        keyless.verify(body=b"{}", headers={"X-Hmac-Signature": fake.signature(b"{}", "")})


@pytest.mark.parametrize("body", [b"no json", b"[]", b"{}", b'{"id": "evt_1", "description": "x", "result": null}'])
def test_a_signed_riddle_is_not_understood(carrier, body):
    with pytest.raises(NotUnderstood):
        carrier.verify(body=body, headers={"X-Hmac-Signature": fake.signature(body)})


# --- settings ---------------------------------------------------------------------------------------------------------


def test_it_is_made_from_the_settings(easypost, settings, key):
    settings.EASYPOST_API_KEY, settings.EASYPOST_API_BASE = "EZTK_test", easypost.url
    settings.EASYPOST_WEBHOOK_SECRET = fake.SECRET
    made = module.from_settings()
    assert made is module.from_settings()
    assert bought(made, key).outcome is Outcome.DONE
