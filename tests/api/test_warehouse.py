"""The API for a warehouse's own system: many orders at once, each with its answer, and nothing moved that shall not."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fulfillment.models import Shipment
from fulfillment.selectors import shipments_of
from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from orders import selectors, services
from tests.api.test_orders import signed_in

pytestmark = pytest.mark.django_db

WHERE = {"name": "Ada", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}


@pytest.fixture
def wms(db):
    """The warehouse's system, by the token of a user who may pack, and nothing else."""
    user = User.objects.create(username="wms", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="pack_shipment"))
    return signed_in("wms")


@pytest.fixture
def sold(shop, sandbox_carrier):
    """Three confirmed orders."""
    shop.stocked("lamp", 10)
    orders = [shop.order_lines([("lamp", count)], address=WHERE) for count in (1, 2, 3)]
    shop.work()
    return orders


def packed(client, *names):
    return client.post("/api/fulfillment/packed", {"orders": [str(name) for name in names]}, format="json")


def cant_ship(client, *names, reason="Broken."):
    asked = {"orders": [str(name) for name in names], "reason": reason}
    return client.post("/api/fulfillment/cant-ship", asked, format="json")


def results(reply):
    assert reply.status_code == 200, reply.content
    return [(one["result"], one["code"]) for one in reply.json()["results"]]


@pytest.mark.core
def test_each_order_gets_its_answer(shop, sold, wms, sandbox_carrier):
    first, second, third = sold
    services.cancel(third.id, actor="user-1", now=database_now())

    reply = packed(wms, first.number, second.id, third.number, "M-999999")
    again = packed(wms, first.number.removeprefix("M-"))
    shop.work()

    assert results(reply) == [
        ("PACKED", None),
        ("PACKED", None),
        ("REFUSED", "being_taken_back"),
        ("REFUSED", "unknown_order"),
    ]
    said = reply.json()["results"]
    assert [one["order"] for one in said] == [first.number, str(second.id), third.number, "M-999999"]
    assert [one["orderId"] for one in said] == [str(first.id), str(second.id), str(third.id), None]
    assert results(again) == [("WAS_PACKED", None)]
    assert "by wms" in again.json()["results"][0]["detail"]
    assert [selectors.order(one.id).status for one in sold] == ["SHIPPED", "SHIPPED", "CANCELLED"]
    assert results(packed(wms, first.number, third.number)) == [("WAS_PACKED", None), ("REFUSED", "not_to_be_sent")]
    view = shipments_of([first.id])[first.id]
    assert (view.packed_by, bool(sandbox_carrier.shipment(view.label_key)["tracking_number"])) == ("wms", True)


def test_what_can_not_be_sent_is_taken_back(shop, sold, wms):
    first, second, third = sold
    packed(wms, first.number)
    shop.work()
    shop.order("lamp", token="tok_delayed_success")
    unpaid = shop.order("lamp")

    reply = cant_ship(wms, first.number, second.number, unpaid.number, "nothing")
    again = cant_ship(wms, second.number)
    shop.work()

    assert results(reply) == [
        ("REFUSED", "already_shipped"),
        ("TAKEN_BACK", None),
        ("REFUSED", "not_confirmed"),
        ("REFUSED", "unknown_order"),
    ]
    assert results(again) == [("WAS_TAKEN_BACK", None)]
    ended = selectors.order(second.id)
    assert (ended.status, ended.failure_code, ended.refund_status) == ("FAILED", "cannot_ship", "REFUNDED")
    assert ("wms", "Can't be shipped: Broken.") in [(e.who, e.why) for e in selectors.timeline(second.id)]
    assert selectors.order(third.id).status == "CONFIRMED"


def test_what_is_to_be_packed_page_by_page(sold, wms):
    first = wms.get("/api/fulfillment/to-pack?limit=2").json()
    second = wms.get(first["next"]).json()

    found = first["results"] + second["results"]  # one group made all of them: in whatever order
    assert sorted(one["number"] for one in found) == [order.number for order in sold]
    assert second["next"] is None
    assert wms.get(second["previous"]).json()["results"] == first["results"]
    one = next(one for one in found if one["number"] == sold[1].number)
    assert one["items"] == [{"sku": "lamp", "productName": "The lamp", "quantity": 2}]
    assert (one["shippingAddress"]["city"], one["weightGrams"], one["orderId"]) == ("Berlin", 200, str(sold[1].id))
    packed(wms, sold[0].number)
    assert len(wms.get("/api/fulfillment/to-pack").json()["results"]) == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "required"),
        ({"orders": []}, "empty"),
        ({"orders": ["M-1"] * 2}, "named_twice"),
        ({"orders": [f"M-{n}" for n in range(1001)]}, "max_length"),
        ({"orders": ["x" * 65]}, "max_length"),
        ({"orders": ["M-1"], "who": "me"}, "unknown_field"),
    ],
)
def test_what_is_not_well_formed_changes_nothing(sold, wms, body, code):
    reply = wms.post("/api/fulfillment/packed", body, format="json")

    assert reply.status_code == 400
    assert code in {error["code"] for error in reply.json()["errors"]}
    assert set(Shipment.objects.values_list("status", flat=True)) == {"CREATED"}
    assert cant_ship(wms, sold[0].number, reason=" ").status_code == 400


@pytest.mark.parametrize("who", [{}, {"is_staff": True}])
def test_only_who_may_pack(sold, who):
    client = signed_in(f"clerk-{uuid4()}", **who)

    for reply in (packed(client, sold[0].number), cant_ship(client, sold[0].number)):
        assert reply.status_code == 403
    assert client.get("/api/fulfillment/to-pack").status_code == 403
    client.credentials()
    assert packed(client, sold[0].number).status_code == 401
    assert set(Shipment.objects.values_list("status", flat=True)) == {"CREATED"}


def test_as_many_statements_for_three_as_for_one(sold, wms):
    packed(wms, "M-1")

    def statements(*orders):
        with CaptureQueriesContext(
            connection,
        ) as seen:
            packed(wms, *(order.number for order in orders))
        return len(seen)

    assert statements(sold[0]) == statements(*sold[1:])
