"""The links in mails: they open one order, without a login, for a while, and tell no secret."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.db import transaction

from marketplace.kernel.clock import database_now
from orders import access, services
from orders.messages import links
from orders.services import NewOrder, OrderLineRequest

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(shop):
    shop.stocked("lamp", 5)
    wanted = NewOrder(lines=(OrderLineRequest(quantity=1, sku="lamp"),), payment_method="tok_declined")
    with transaction.atomic():
        placed = services.place(wanted, now=database_now())
    shop.work()
    return placed


def path(address):
    return re.sub(r"^https?://[^/]+", "", address)


def test_a_guest_gets_to_the_order_in_a_browser_that_has_never_been_here(order, client):
    assert client.get(f"/orders/{order.id}").status_code == 404

    opened = client.get(path(links.order_page(order.id)), follow=True)

    assert opened.redirect_chain == [(f"/orders/{order.id}", 302)]
    assert order.number in opened.content.decode()


def test_trying_again_leads_where_that_can_be_done(order, client):
    opened = client.get(path(links.try_again(order.id)), follow=True)

    assert opened.status_code == 200
    assert order.number in opened.content.decode()


def test_it_opens_no_other_order(order, shop, client):
    wanted = NewOrder(lines=(OrderLineRequest(quantity=1, sku="lamp"),))
    with transaction.atomic():
        other = services.place(wanted, now=database_now())
    key = access.mailed_key(order.id)

    assert client.get(f"/orders/{other.id}/open/{key}").status_code == 404
    assert client.get(f"/orders/{order.id}/open/{key[:-1]}").status_code == 404
    assert client.get(f"/orders/{order.id}").status_code == 404


def test_it_ends_after_a_while(order, client, settings):
    address = path(links.order_page(order.id))
    with time_machine.travel(database_now() + timedelta(days=settings.MAIL_LINK_DAYS, minutes=1)):
        assert client.get(address).status_code == 404


def test_it_is_no_client_secret(order):
    address = links.order_page(order.id)

    assert access.client_secret(order.id) not in address
    assert not access.may_see(
        order_id=order.id, owner="", username="", is_staff=False, secret=access.mailed_key(order.id)
    )
