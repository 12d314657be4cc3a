"""Sending something back, on the pages: asked for, withdrawn, and read in plain words."""

import pytest

from fulfillment.testing import carrier_server, sandbox_carrier  # noqa: F401
from marketplace.kernel.clock import database_now
from marketplace.storefront.tests.pages import look
from orders.returns import services
from orders.returns.selectors import returns_of
from orders.returns.services import Back
from tests.shop import delivered

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = {"name": "Ada", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}


@pytest.fixture
def order(shop, sandbox_carrier):  # noqa: F811
    """A delivered order of two."""
    shop.stocked("laptop-1", 2)
    return delivered(shop, shop.order("laptop-1", 2, address=ADDRESS), sandbox_carrier)


def ask(client, order, **changes):
    address = f"/orders/{order.id}/return"
    fields = {"laptop-1": "1", "reason": "Too loud.", **changes}
    return client.post(address, {**look(client, address).fields(address), **fields})


def test_from_the_wish_to_the_money(buyer, order, shop, settings):
    settings.SHIP_FROM_STREET = "Hallenweg 7"
    page = look(buyer, f"/orders/{order.id}")
    assert page.one("return-something")["href"] == f"/orders/{order.id}/return"
    assert ask(buyer, order).headers["Location"] == f"/orders/{order.id}"
    [wish] = returns_of(order.id)
    assert (wish.requested_by, [(line.sku, line.quantity) for line in wish.lines]) == ("user-1", [("laptop-1", 1)])

    page = look(buyer, f"/orders/{order.id}")
    assert page.text("return-headline") == "We have your wish"
    assert page.all("return-something") == page.all("return-address") == []
    services.decide(wish.id, "APPROVED", actor="ada", reason="Fine.", now=database_now())
    shop.work()
    page = look(buyer, f"/orders/{order.id}")
    assert page.text("return-headline") == "Please send it back"
    assert wish.number in page.text("return-what")
    assert page.all("withdraw-return") == []
    for line in (settings.SELLER_NAME, "Hallenweg 7", "10115 Berlin"):
        assert line in page.text("return-address")
    services.receive(wish.id, back={"laptop-1": Back(1)}, reason="As new.", actor="wanda", now=database_now())
    shop.work()
    page = look(buyer, f"/orders/{order.id}")
    assert page.all("return-address") == []
    assert (page.text("return-headline"), page.text("return-what")) == (
        "Your money is back",
        "We sent €10.00 back to you.",
    )
    assert page.one("return-something")


def test_thinking_better_of_it(buyer, order, shop):
    ask(buyer, order)
    [wish] = returns_of(order.id)
    for _ in range(2):
        buyer.post(f"/orders/{order.id}/returns/{wish.id}/withdraw")
    shop.work()
    page = look(buyer, f"/orders/{order.id}")
    assert page.text("return-headline") == "You have withdrawn this return"


def test_a_bad_wish_changes_nothing(buyer, order):
    for changes in ({"laptop-1": "3"}, {"laptop-1": "0"}, {"reason": ""}, {"laptop-1": "x"}, {"laptop-1": "-1"}):
        assert ask(buyer, order, **changes).status_code == 422
    assert returns_of(order.id) == []


def test_when_the_term_is_over(buyer, order, settings):
    settings.RETURN_DAYS = 0
    assert look(buyer, f"/orders/{order.id}").all("return-something") == []
    answer = buyer.get(f"/orders/{order.id}/return", follow=True)
    assert "The time to return something of this order is over." in answer.content.decode()


def test_it_is_nobody_elses(guest, order):
    assert guest.get(f"/orders/{order.id}/return").status_code == 404
    assert guest.post(f"/orders/{order.id}/return", {"laptop-1": "1", "reason": "Mine!"}).status_code == 404
    assert returns_of(order.id) == []
