"""Refunds by the API: for staff, once for each key."""

from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from tests.api.test_orders import post, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def sold(shop):
    """A confirmed order of 12.99 EUR, by user-1."""
    shop.stocked("laptop-1", 5, price_minor=1299)
    order = post(signed_in()).json()
    shop.work()
    return order


def staff():
    return signed_in("ada", is_staff=True, is_superuser=True)


def refund(client, order, *, key="", **asked):
    address = f"/api/orders/{order['id']}/refunds"
    return client.post(
        address, {"reason": "Late.", **asked}, format="json", HTTP_IDEMPOTENCY_KEY=key or f"key-{uuid4()}"
    )


@pytest.mark.core
def test_a_part_and_then_the_rest(shop, sold):
    client = staff()
    reply = refund(client, sold, amount="3.00")
    assert reply.status_code == 202
    asked = reply.json()
    assert (asked["status"], asked["amount"], asked["currency"]) == ("PENDING", "3.00", "EUR")
    assert (asked["requestedBy"], asked["source"], asked["reason"]) == ("ada", "STAFF", "Late.")
    order = signed_in().get(f"/api/orders/{sold['id']}").json()
    assert (order["status"], order["refundStatus"]) == ("CONFIRMED", "PENDING")
    shop.work()

    order = signed_in().get(f"/api/orders/{sold['id']}").json()
    assert (order["refundStatus"], order["payment"]["status"]) == ("PARTIALLY_REFUNDED", "PARTIALLY_REFUNDED")
    assert refund(client, sold).json()["amount"] == "9.99"
    shop.work()
    order = signed_in().get(f"/api/orders/{sold['id']}").json()
    assert (order["status"], order["refundStatus"]) == ("CONFIRMED", "REFUNDED")
    listed = client.get(f"/api/orders/{sold['id']}/refunds").json()["results"]
    assert [(one["status"], one["amount"]) for one in listed] == [("DONE", "3.00"), ("DONE", "9.99")]
    assert listed[0]["settledAt"]
    assert listed[0]["transactionId"].startswith("re_")


def test_one_key_is_one_refund(shop, sold):
    client = staff()
    first, second = (refund(client, sold, key="the-key", amount="3.00") for _ in range(2))
    assert (first.json(), second.headers["Idempotency-Replayed"]) == (second.json(), "true")
    other = refund(client, sold, key="the-key", amount="4.00")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(client.get(f"/api/orders/{sold['id']}/refunds").json()["results"]) == 1


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"amount": "13.00"}, 422, "refund_too_large"),
        ({"amount": "0"}, 422, "refund_too_large"),
        ({"amount": "3.005"}, 400, "invalid_amount"),
        ({"amount": "-1"}, 400, "validation_error"),
        ({"reason": ""}, 400, "validation_error"),
        ({"reason": None}, 400, "validation_error"),
        ({"amonut": "3.00"}, 400, "validation_error"),
    ],
)
def test_what_makes_no_sense_changes_nothing(sold, asked, status, code):
    client = staff()
    reply = refund(client, sold, **asked)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert client.get(f"/api/orders/{sold['id']}/refunds").json() == {"results": []}


def test_without_a_key_nothing_is_done(sold):
    reply = staff().post(f"/api/orders/{sold['id']}/refunds", {"reason": "Late."}, format="json")
    assert (reply.status_code, reply.json()["code"]) == (400, "idempotency_key_missing")


@pytest.mark.parametrize("method", ["get", "post"])
def test_it_is_for_staff(sold, method):
    address = f"/api/orders/{sold['id']}/refunds"
    for client, status in ((APIClient(), 401), (signed_in(), 403), (signed_in("bob", is_staff=True), 403)):
        reply = getattr(client, method)(address, {"reason": "x"}, format="json", HTTP_IDEMPOTENCY_KEY="k" * 20)
        assert reply.status_code == status


def test_an_order_that_is_not_there_or_was_never_paid(shop, sold):
    client = staff()
    reply = refund(client, {"id": uuid4()})
    assert (reply.status_code, reply.json()["code"]) == (404, "unknown_order")
    declined = post(
        signed_in(), {"items": [{"sku": "laptop-1", "quantity": 1}], "paymentMethod": "tok_declined"}
    ).json()
    shop.work()
    reply = refund(client, declined)
    assert (reply.status_code, reply.json()["code"]) == (409, "nothing_to_refund")
