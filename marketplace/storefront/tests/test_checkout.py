"""The longer way: an address, another card, or a reservation that is paid later."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from fulfillment.carriers.base import Address
from inventory.models import Reservation
from marketplace.accounts.models import User
from marketplace.sagas.models import SagaInstance
from marketplace.storefront.tests.pages import ADDRESS, Page, look
from orders import services
from orders.models import Order
from orders.tasks import expire_reservations

pytestmark = pytest.mark.django_db(transaction=True)


def check_out(client, product, *, pay, **changes):
    form = look(client, f"/checkout/{product}").fields(f"/checkout/{product}")
    return client.post(f"/checkout/{product}", {**form, **ADDRESS, "email": "ada@example.org", "pay": pay, **changes})


def test_an_order_with_an_address_and_another_card(shop, guest):
    shop.stocked("laptop-1", 5)
    response = check_out(guest, "laptop-1", pay="now", payment_method="tok_declined", quantity="2")
    order = Order.objects.get()
    assert response.headers["Location"] == f"/orders/{order.id}"
    assert order.shipping_address == ADDRESS
    assert (order.email, order.payment_method, order.lines.get().quantity) == ("ada@example.org", "tok_declined", 2)
    shop.work()
    assert "For Ada Lovelace, London" in look(guest, f"/orders/{order.id}").html


def test_the_next_press_goes_to_the_same_place(shop, guest):
    shop.stocked("laptop-1", 5)
    check_out(guest, "laptop-1", pay="now")
    page = look(guest, "/products/laptop-1")
    assert page.text("sent-to").startswith("Sent to Ada Lovelace, 12 St James’s Square, SW1Y 4JH London")
    guest.post("/buy", page.fields("/buy"))
    addresses = Order.objects.values_list("shipping_address", "email")
    assert list(addresses) == [(ADDRESS, "ada@example.org")] * 2
    assert look(guest, "/checkout/laptop-1").fields("/checkout/laptop-1")["city"] == "London"


@pytest.mark.parametrize("missing", list(ADDRESS))
def test_an_address_with_a_gap_is_shown_again_with_everything_else(shop, guest, missing):
    shop.stocked("laptop-1", 5)
    page = Page(check_out(guest, "laptop-1", pay="now", quantity="4", **{missing: ""}))
    assert page.status == 400
    assert page.by_id(f"id_{missing}")["aria-invalid"] == "true"
    assert page.by_id(f"id_{missing}_error")["text"] == "This field is required."
    assert page.one("quantity")["value"] == "4"
    assert Order.objects.count() == 0


def test_the_address_bar_can_not_change_what_is_bought(shop, guest):
    shop.stocked("laptop-1", 5)
    shop.stocked("bag", 5)
    check_out(guest, "laptop-1", pay="now", sku="bag")
    assert Order.objects.get().lines.get().sku == "laptop-1"


class TestPayLater:
    @pytest.mark.core
    def test_it_is_held_until_the_buyer_pays(self, shop, guest):
        shop.stocked("laptop-1", 5, price_minor=129_900)
        address = check_out(guest, "laptop-1", pay="later").headers["Location"]
        shop.work()

        page = look(guest, address)
        order = Order.objects.get()
        assert page.one("order-status")["data-status"] == "RESERVED"
        assert page.text("order-headline") == "Set aside for you"
        assert page.text("money") == "No money has been taken."
        assert page.one("countdown")["data-until"].startswith(order.reserved_until.strftime("%Y-%m-%dT%H:%M:%S"))
        assert page.text("countdown") in {"15:00", "14:59", "14:58"}
        assert page.by_id("order")["hx-trigger"] == "every 3s"
        assert page.text("pay-now") == "Pay €1,299.00"
        assert shop.levels("laptop-1") == (4, 1)
        assert shop.money(order) == []

        response = guest.post(f"{address}/pay", page.fields(f"{address}/pay"))
        assert response.headers["Location"] == f"{address}?paying=1"
        waiting = look(guest, f"{address}?paying=1")
        assert not waiting.all("pay-now")
        assert waiting.by_id("order")["hx-trigger"] == "every 700ms"
        shop.work()

        assert look(guest, address).one("order-outcome")["data-outcome"] == "CONFIRMED"
        assert shop.levels("laptop-1") == (4, 0)
        assert shop.money(order) == [("AUTHORIZE", 129_900), ("CAPTURE", 129_900)]

    def test_paying_twice_pays_once(self, shop, guest):
        shop.stocked("laptop-1", 5)
        address = check_out(guest, "laptop-1", pay="later").headers["Location"]
        shop.work()
        for _ in range(2):
            guest.post(f"{address}/pay", {"payment_method": "tok_visa"})
        shop.work()
        assert shop.money(Order.objects.get()) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]

    def test_paying_what_does_not_wait_for_it_says_so(self, shop, guest):
        shop.stocked("laptop-1", 5)
        address = check_out(guest, "laptop-1", pay="now").headers["Location"]
        shop.work()
        response = guest.post(f"{address}/pay", {"payment_method": "tok_declined"}, follow=True)
        assert Page(response).text("notice") == "This order is not waiting for a payment."
        assert shop.money(Order.objects.get()) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]

    def test_an_unknown_card_is_not_sent_to_the_bank(self, shop, guest):
        shop.stocked("laptop-1", 5)
        address = check_out(guest, "laptop-1", pay="later").headers["Location"]
        shop.work()
        response = guest.post(f"{address}/pay", {"payment_method": "gold"}, follow=True)
        assert Page(response).text("notice") == "Please choose how you want to pay."
        assert Order.objects.get().status == "RESERVED"

    def test_whoever_waits_too_long_reads_that_it_went_back(self, shop, guest):
        shop.stocked("laptop-1", 5)
        address = check_out(guest, "laptop-1", pay="later").headers["Location"]
        shop.work()
        past = timezone.now() - timedelta(seconds=1)
        Order.objects.update(reserved_until=past)
        Reservation.objects.update(expires_at=past)
        SagaInstance.objects.update(wait_until=past, due_at=past)
        expire_reservations()
        shop.work()

        page = look(guest, address)
        assert page.one("order-outcome")["data-code"] == "reservation_expired"
        assert page.text("order-headline") == "The time to pay ran out"
        assert page.text("money") == "No money was taken."
        assert page.text("stamp") == "Cancelled"
        assert page.one("order-again")["href"] == f"{address}/try-again"
        assert "No card was used" in page.html
        assert shop.levels("laptop-1") == (5, 0)


class TestOfAnAccount:
    """Where somebody's last order went is known the next time they sign in, wherever they do; and to them alone."""

    @pytest.fixture
    def bought(self, shop, buyer):
        shop.stocked("laptop-1", 9)
        check_out(buyer, "laptop-1", pay="now")

    @pytest.fixture
    def elsewhere(self, person):
        client = Client()
        client.force_login(person)
        return client

    def test_it_is_filled_in(self, bought, elsewhere):
        form = look(elsewhere, "/checkout/laptop-1").fields("/checkout/laptop-1")
        assert {name: form[name] for name in [*ADDRESS, "email"]} == {**ADDRESS, "email": "ada@example.org"}
        assert "London" in look(elsewhere, "/products/laptop-1").text("sent-to")

    def test_nobody_else_is_told(self, bought, guest):
        somebody = Client()
        somebody.force_login(User.objects.create_user("user-2"))
        for client in (somebody, guest):
            assert look(client, "/checkout/laptop-1").fields("/checkout/laptop-1")["city"] == ""
            assert not look(client, "/products/laptop-1").all("sent-to")

    def test_what_this_visit_chose_comes_first(self, shop, bought, elsewhere):
        check_out(elsewhere, "laptop-1", pay="now", city="Dover")
        shop.work()
        assert look(elsewhere, "/checkout/laptop-1").fields("/checkout/laptop-1")["city"] == "Dover"

    def test_a_guest_of_this_browser_does_not(self, bought, guest):
        check_out(guest, "laptop-1", pay="now", city="Dover")
        guest.post("/sign-in", {"username": "user-1", "password": "correct horse"})
        assert look(guest, "/checkout/laptop-1").fields("/checkout/laptop-1")["city"] == "London"

    def test_who_has_not_ordered_before_keeps_what_they_said_as_a_guest(self, shop, guest, person):
        shop.stocked("laptop-1", 9)
        check_out(guest, "laptop-1", pay="now", city="Dover")
        guest.post("/sign-in", {"username": "user-1", "password": "correct horse"})
        assert look(guest, "/checkout/laptop-1").fields("/checkout/laptop-1")["city"] == "Dover"

    def test_after_signing_out_nothing_is_left(self, bought, buyer):
        buyer.post("/sign-out")
        assert look(buyer, "/checkout/laptop-1").fields("/checkout/laptop-1")["city"] == ""

    def test_a_correction_by_staff_counts(self, shop, bought, elsewhere):
        shop.work()
        meant = Address("Ada", "Row 12", "c/o Babbage", "10117", "Berlin", "DE")
        services.correct_address(Order.objects.get().id, meant, who="wanda", now=timezone.now())
        form = look(elsewhere, "/checkout/laptop-1").fields("/checkout/laptop-1")
        assert (form["line1"], form["city"], form["country"]) == ("Row 12, c/o Babbage", "Berlin", "DE")

    def test_orders_without_an_address_are_passed_over(self, shop, bought, elsewhere):
        shop.order("laptop-1", user="user-1")
        assert look(elsewhere, "/checkout/laptop-1").fields("/checkout/laptop-1")["city"] == "London"

    @pytest.mark.parametrize(
        "odd", [{"line1": "x" * 100, "line2": "y"}, {"country": "KZ"}, {"city": ["Rome"]}, {"postal_code": None}]
    )
    def test_what_the_form_can_not_hold_is_asked_for(self, shop, bought, elsewhere, odd):
        Order.objects.update(shipping_address={**ADDRESS, **odd})
        page = look(elsewhere, "/checkout/laptop-1")
        assert (page.status, page.fields("/checkout/laptop-1")["line1"]) == (200, "")
        assert not look(elsewhere, "/products/laptop-1").all("sent-to")
