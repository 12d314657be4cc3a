"""A visitor who switches to German: the page, the order, its mails and what lies in the parcel are German."""

import pytest
from django.test import Client

from fulfillment import printing
from fulfillment.selectors import shipments_of
from marketplace.accounts.models import User
from marketplace.paper.testing import pages
from marketplace.storefront.tests.pages import Page, look, press_buy_now
from orders.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("browser_asks_for", ["en-GB", "fr"])
def test_switches_buys_and_is_told_in_german(shop, send, postman, browser_asks_for):
    shop.stocked("laptop-1", 5, price_minor=129_900)
    buyer = Client(headers={"Accept-Language": browser_asks_for})
    buyer.force_login(User.objects.create_user("ada", email="ada@example.org"))
    page = look(buyer, "/products/laptop-1")
    assert page.text("buy-now") == "Buy Now"

    page = Page(buyer.post("/language", {**page.fields("/language"), "language": "de"}, follow=True))
    assert page.text("buy-now") == "Jetzt kaufen"
    address = press_buy_now(buyer, "laptop-1").headers["Location"]
    shop.work()
    send()

    page = look(buyer, address)
    assert page.text("order-headline") == "Es gehört Ihnen"
    assert page.text("total") == "1.299,00 €"
    order = Order.objects.get()
    subjects = [f"Ihre Bestellung {order.number}", f"Ihre Bestellung {order.number} ist bestätigt"]
    assert [mail.subject for mail in postman.taken] == subjects
    [slip] = pages(printing.slips([shipments_of([order.id])[order.id].id]))
    assert "Packliste" in slip.text
