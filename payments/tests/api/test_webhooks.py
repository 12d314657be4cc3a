"""POST /api/payments/webhooks/{gateway}: what is taken in, what is turned away, and how fast."""

import json
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection
from rest_framework.test import APIClient

from marketplace.inbox import arrival
from marketplace.inbox.arrival import LARGEST
from payments.models import WebhookEvent
from payments.testing import sign, signed_webhook

pytestmark = [pytest.mark.django_db, pytest.mark.core]

ADDRESS = "/api/payments/webhooks/sandbox"


@pytest.fixture(autouse=True)
def _secret(settings):
    settings.SANDBOX_WEBHOOK_SECRET = "whsec_YSBzZWNyZXQgb2YgdGhlIHRlc3RzLCBhbmQgb25seSB0aGVpcnM="


def post(headers, body, address=ADDRESS):
    extra = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return APIClient().generic("POST", address, body, content_type="application/json", **extra)


def problem(response):
    assert response["Content-Type"] == "application/problem+json"
    return response.status_code, json.loads(response.content)["code"]


def test_is_written_down_once_however_often_it_comes():
    headers, body = signed_webhook("order-1:authorize", "ch_1", event_id="evt_7")
    replies = [post(headers, body) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [202, 202, 202]
    assert [reply.json() for reply in replies] == [
        {"eventId": "evt_7", "duplicate": duplicate} for duplicate in (False, True, True)
    ]
    event = WebhookEvent.objects.get()
    assert (event.gateway, event.event_id, event.kind) == ("sandbox", "evt_7", "authorization.authorized")
    assert (event.authorization_key, event.reference, event.status) == ("order-1:authorize", "ch_1", "RECEIVED")
    assert event.payload == body.decode()
    assert event.given_up_at - event.received_at == timedelta(hours=24)


def test_what_only_the_buyers_browser_needs_is_not_kept():
    _, body = signed_webhook("key")
    body = body.replace(b'"data"', b'"client_secret" : "pi_1_secret_2", "data"', 1)
    assert post(sign(body.decode(), event_id="evt_1", at=datetime.now(UTC)), body).status_code == 202
    assert '"client_secret" : "(not kept)", "data"' in WebhookEvent.objects.get().payload


def test_the_same_event_signed_anew_is_the_same_event():
    for age in (timedelta(), timedelta(seconds=100)):
        assert post(*signed_webhook("key", event_id="evt_7", age=age)).status_code == 202
    assert WebhookEvent.objects.count() == 1


@pytest.mark.parametrize("age", [timedelta(seconds=301), timedelta(seconds=-400), timedelta(days=365)])
def test_a_stale_one_is_turned_away(age):
    assert problem(post(*signed_webhook("key", age=age))) == (400, "webhook_not_genuine")
    assert not WebhookEvent.objects.exists()


def test_a_forged_one_is_turned_away():
    other = "whsec_" + "B" * 40
    headers, body = signed_webhook("key")
    forgeries = [
        signed_webhook("key", secret=other),
        (headers, body.replace(b"key", b"kez")),
        ({**headers, "webhook-id": "evt_2"}, body),
        ({**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}, body),
        ({**headers, "webhook-signature": "v1,AAAA"}, body),
        ({**headers, "webhook-signature": "nonsense"}, body),
        ({**headers, "webhook-signature": "v1,é"}, body),
        ({**headers, "webhook-timestamp": "now"}, body),
        ({}, body),
        ({}, b"\xff\xfe"),
    ]
    for forged in forgeries:
        assert problem(post(*forged)) == (400, "webhook_not_genuine")
    assert not WebhookEvent.objects.exists()


@pytest.mark.parametrize("body", ["", "not JSON", "[]", "{}", '{"id": "evt_1", "data": 3}', '{"id": ""}', "1" * 5000])
def test_a_genuine_one_that_makes_no_sense_is_turned_away(body):
    headers = sign(body, event_id="evt_1", at=datetime.now(UTC))
    assert problem(post(headers, body.encode())) == (400, "webhook_not_understood")
    assert not WebhookEvent.objects.exists()


@pytest.mark.parametrize("change", [{"event_id": "e" * 256}, {"event_id": "evt_\x00"}, {"reference": "r" * 256}])
def test_what_no_row_can_hold_is_turned_away(change):
    assert problem(post(*signed_webhook("key", **change))) == (400, "webhook_not_understood")


def test_one_that_is_too_large_is_turned_away():
    headers, _ = signed_webhook("key")
    assert problem(post(headers, b" " * (LARGEST + 1))) == (413, "webhook_too_large")
    assert problem(post(headers, b" " * (2 * 1024 * 1024))) == (413, "body_too_large")


@pytest.mark.parametrize("gateway", ["nobody", "stripe", "paypal", "SANDBOX"])
def test_who_is_no_gateway_here_has_no_address(gateway):
    assert problem(post(*signed_webhook("key"), f"/api/payments/webhooks/{gateway}")) == (404, "unknown_gateway")


def test_is_for_posting_only():
    assert problem(APIClient().get(ADDRESS)) == (405, "method_not_allowed")


@pytest.mark.django_db(transaction=True)
def test_is_on_record_when_redis_is_down(settings, nobody_listens):
    settings.REDIS_URL = nobody_listens.replace("http", "redis")
    settings.CELERY_BROKER_URL = settings.REDIS_URL
    started = time.monotonic()
    assert post(*signed_webhook("key")).status_code == 202
    assert time.monotonic() - started < 30
    assert WebhookEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_gateway_sends_it_again_when_postgresql_is_down(nobody_listens):
    WebhookEvent.objects.exists()
    known = connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict["PORT"] = nobody_listens.rpartition(":")[2]
    try:
        response = post(*signed_webhook("key"))
    finally:
        connection.settings_dict["PORT"] = known
        connection.close()
    assert problem(response) == (503, "unavailable")
    assert response["Retry-After"]
    assert post(*signed_webhook("key")).json()["duplicate"] is False


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_a_database_that_is_stuck(process_environment, patience_with_webhooks, monkeypatch):
    with psycopg.connect(process_environment["DATABASE_URL"]) as other, monkeypatch.context() as patch:
        patch.setattr(arrival, "_PATIENCE", patience_with_webhooks)
        other.execute("LOCK TABLE payments_webhookevent IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        response = post(*signed_webhook("key"))
        assert time.monotonic() - started < 30
    assert problem(response) == (503, "unavailable")
    assert post(*signed_webhook("key")).status_code == 202
