"""Returns by the API: asked for once per key, listed, withdrawn; by the buyer, or whoever holds the order's secret."""

import pytest
from django.test import Client

from orders.access import client_secret
from orders.returns.selectors import returns_of
from tests.shop import delivered

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = {"name": "Ada", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}


@pytest.fixture
def order(shop, sandbox_carrier):
    shop.stocked("laptop", 2)
    return delivered(shop, shop.order("laptop", 2, user="", address=ADDRESS), sandbox_carrier)


def post(order, address="returns", body=None, *, key="key-of-sixteen-letters", secret=None):
    headers = {"Idempotency-Key": key, "X-Order-Secret": client_secret(order.id) if secret is None else secret}
    return Client(headers=headers).post(
        f"/api/orders/{order.id}/{address}", body or {}, content_type="application/json"
    )


WISH = {"items": [{"sku": "laptop", "quantity": 1}], "reason": "Too loud."}


def test_asked_for_once_listed_and_withdrawn(shop, order):
    first, again = post(order, body=WISH), post(order, body=WISH)
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    told = first.json()
    assert (told["status"], told["number"], told["message"]) == ("REQUESTED", f"{order.number}-R1", None)
    assert told["items"] == [
        {"sku": "laptop", "productName": "The laptop", "quantity": 1, "price": "10.00", "received": 0}
    ]
    other = post(order, body=WISH, key="another-key-of-sixteen")
    assert (other.status_code, other.json()["code"]) == (409, "return_under_way")

    assert post(order, f"returns/{told['id']}/withdraw").status_code == 200
    shop.work()
    assert post(order, f"returns/{told['id']}/withdraw").json()["status"] == "WITHDRAWN"
    browser = Client(headers={"X-Order-Secret": client_secret(order.id)})
    [listed] = browser.get(f"/api/orders/{order.id}/returns").json()["results"]
    assert (listed["id"], listed["status"], listed["refundedAmount"]) == (told["id"], "WITHDRAWN", "0.00")


def test_a_bad_wish_changes_nothing(order, settings):
    two = {"items": [WISH["items"][0], WISH["items"][0]], "reason": "Twice."}
    for body in ({}, {**WISH, "items": []}, {**WISH, "reason": ""}, two):
        assert post(order, body=body).status_code in (400, 422)
    more = post(order, body={**WISH, "items": [{"sku": "laptop", "quantity": 3}]})
    assert (more.status_code, more.json()["code"]) == (409, "not_returnable")
    settings.RETURN_DAYS = 0
    late = post(order, body=WISH)
    assert (late.status_code, late.json()["code"]) == (409, "return_term_over")
    assert returns_of(order.id) == []


def test_to_others_there_is_no_such_order(order):
    assert post(order, body=WISH, secret="os_guess").status_code == 404
    assert Client().get(f"/api/orders/{order.id}/returns").status_code == 404
    assert returns_of(order.id) == []
