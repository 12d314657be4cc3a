"""From a real parcel's scans to a real mail server: what the saga tells is what the mails need."""

import pytest
from django.db import transaction

from fulfillment import scanning
from fulfillment import services as fulfillment
from fulfillment.selectors import shipments_of
from marketplace.kernel.clock import database_now
from marketplace.outbox.models import OutboxEvent
from orders import services
from orders.messages import locales
from orders.messages.models import Message
from orders.services import NewOrder, OrderLineRequest
from tests.messages.conftest import BERLIN

pytestmark = pytest.mark.django_db(transaction=True)

SUBJECTS = {"en": ["is on the way", "has arrived"], "de": ["ist unterwegs", "ist angekommen"]}
FOLLOWED = {"carrier", "service", "trackingNumber", "trackingUrl", "estimatedDelivery"}


@pytest.fixture
def parcel(shop, sandbox_carrier, send):
    """An order that has its label; its buyer knows that it is confirmed."""
    shop.stocked("lamp", 5)

    def ship(language="en"):
        lines = (OrderLineRequest(quantity=1, sku="lamp"),)
        buyer = {"user_id": "", "email": "ada@example.org", "language": language}
        wanted = NewOrder(lines=lines, shipping_address=BERLIN, payment_method="tok_visa", **buyer)
        with transaction.atomic():
            order = services.place(wanted, now=database_now())
        shop.work()
        send()
        assert services.packed([order.id], who="wanda", now=database_now()).packed == {order.id}
        shop.work()
        return shop.now(order)

    return ship


@pytest.fixture
def scan(shop, sandbox_carrier):
    """Let it be scanned, and look what was seen."""

    def until_worked(order, *kinds):
        sandbox_carrier.scan(shipment(order).label_key, *kinds)
        seen = fulfillment.look(order.id)
        with transaction.atomic():
            scanning.take_in([scanning.News(shipment(order).id, seen.scans)], now=database_now())
        scanning.pass_on(now=database_now())
        shop.work()

    return until_worked


def shipment(order):
    return shipments_of([order.id])[order.id]


def told(order):
    return list(Message.objects.filter(order_id=order.id).order_by("created_at").values_list("kind", "status"))


@pytest.mark.parametrize("language", SUBJECTS)
def test_the_buyer_can_follow_the_parcel_from_the_mail(parcel, scan, send, postman, language):
    order = parcel(language)
    scan(order, "PICKED_UP")
    send()
    scan(order, "OUT_FOR_DELIVERY")
    scan(order, "DELIVERED")
    send()
    send()

    *_, on_the_way, delivered = postman.taken
    view = shipment(order)
    assert told(order) == [("received", "SENT"), ("confirmed", "SENT"), ("on_the_way", "SENT"), ("delivered", "SENT")]
    assert [mail.subject.partition(order.number)[2].strip() for mail in (on_the_way, delivered)] == SUBJECTS[language]
    for said in (on_the_way.text, on_the_way.html):
        assert f"{view.tracking_number} (Sandbox Parcel)" in said
        assert view.tracking_url in said
        assert locales.day(view.estimated_delivery, language) in said


@pytest.mark.usefixtures("postman")
def test_each_event_says_how_the_parcel_is_followed(parcel, scan):
    order = parcel()
    scan(order, "PICKED_UP")
    scan(order, "DELIVERED")

    view = shipment(order)
    for kind in ("ORDER_SHIPPED", "ORDER_IN_TRANSIT", "ORDER_DELIVERED"):
        data = OutboxEvent.objects.get(type=kind, subject_id=order.id).data
        assert data.keys() >= FOLLOWED
        assert (data["trackingNumber"], data["trackingUrl"]) == (view.tracking_number, view.tracking_url)
        assert data["estimatedDelivery"] == view.estimated_delivery.isoformat()
        assert "" not in {data[name] for name in FOLLOWED}


def test_a_parcel_that_is_delivered_before_anybody_was_told_is_told_of_once(parcel, scan, send, postman):
    order = parcel()
    scan(order, "PICKED_UP", "OUT_FOR_DELIVERY", "DELIVERED")
    send()

    assert [mail.subject for mail in postman.taken[2:]] == [f"Your order {order.number} has arrived"]
