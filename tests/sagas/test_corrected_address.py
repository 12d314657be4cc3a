"""An address that staff filled in or corrected: everybody is told the same, but for the invoice, which is issued."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from fulfillment.carriers.base import Address
from fulfillment.selectors import shipments_of
from marketplace.kernel.clock import database_now
from orders import selectors, services
from orders.messages.models import Kind, Message
from orders.messages.writing import write
from orders.models import Invoice, Order

pytestmark = pytest.mark.django_db

ASKED = {"name": "Ada", "line1": "Row 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}
MEANT = Address("Ada", "Row 12", "c/o Babbage", "10117", "Berlin", "DE")
TOLD = {**ASKED, "line1": "Row 12", "line2": "c/o Babbage", "postal_code": "10117"}


@pytest.fixture(params=[ASKED, None], ids=["corrected", "filled in"])
def order(shop, request):
    shop.stocked("lamp", 10)
    placed = shop.order("lamp", address=request.param)
    shop.work()
    assert shop.now(placed).shipping_address == request.param
    services.correct_address(placed.id, MEANT, who="wanda", now=database_now())
    return placed


def test_the_order_says_where_it_really_goes(shop, order):
    assert shop.now(order).shipping_address == TOLD
    assert selectors.orders_by_id([order.id])[order.id].shipping_address == TOLD


def test_what_the_buyer_gave_and_the_invoice_stay(order, shop):
    row = Order.objects.get()
    assert row.shipping_address == order.shipping_address
    assert "Row 12" not in str(Invoice.objects.values().get())


def test_the_timeline_says_who_corrected_it_and_how(shop, order):
    before = "Ada, Row 1, 10115 Berlin, DE" if order.shipping_address else "nowhere"
    said = f"wanda: Corrected where the parcel goes: to Ada, Row 12, c/o Babbage, 10117 Berlin, DE, not {before}."
    assert [note for note in shop.notes(order) if note.startswith("wanda")] == [said]


def test_saving_the_same_again_is_no_correction(shop, order):
    services.correct_address(order.id, MEANT, who="wanda", now=database_now())
    assert len([note for note in shop.notes(order) if note.startswith("wanda")]) == 1


def test_the_buyer_reads_it_on_the_page_in_the_api_and_in_the_mail(shop, order):
    user = get_user_model().objects.create_user("user-1", email="ada@example.org")
    client = Client()
    client.force_login(user)
    assert "For Ada, Berlin" in client.get(f"/orders/{order.id}").content.decode()
    told = client.get(f"/api/orders/{order.id}").json()["shippingAddress"]
    assert (told["line1"], told["line2"], told["postalCode"]) == ("Row 12", "c/o Babbage", "10117")
    mail = Message(kind=Kind.CONFIRMED, order_id=order.id, recipient="ada@example.org", language="en", detail={})
    assert "Row 12" in write(mail, shop.now(order)).text


def test_staff_read_both(order, admin_client):
    page = " ".join(admin_client.get(reverse("admin:orders_order_change", args=[order.id])).content.decode().split())
    assert "<dt>Goes to</dt><dd>Ada, Row 12, c/o Babbage, 10117 Berlin, DE" in page
    gave = "Ada, Row 1, 10115 Berlin, DE" if order.shipping_address else "no address given"
    assert f"<dt>The buyer gave</dt><dd>{gave}" in page


def test_nothing_is_corrected_where_it_is_as_it_was_asked(shop, admin_client):
    shop.stocked("lamp", 10)
    placed = shop.order("lamp", address=ASKED)
    shop.work()
    assert shipments_of([placed.id])[placed.id].line1 == "Row 1"
    assert shop.now(placed).shipping_address == ASKED
    page = admin_client.get(reverse("admin:orders_order_change", args=[placed.id])).content.decode()
    assert "The buyer gave" not in page
