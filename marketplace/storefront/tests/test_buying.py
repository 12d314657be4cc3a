"""One press of Buy Now, from the product's page to the order's, with everything real behind it and no JavaScript."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings as site
from django.db import connection
from django.test import Client

from inventory.models import Product, Reservation, Stock
from marketplace.accounts.models import User
from marketplace.storefront.cards import CARDS
from marketplace.storefront.tests.pages import ADDRESS, Page, look, press_buy_now, remember_address
from orders.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stranger():
    """A browser on its first visit: nobody knows where its things are sent."""
    return Client()


@pytest.fixture
def guest():
    """A browser whose last order of this visit went to Ada Lovelace."""
    return remember_address(Client())


@pytest.fixture
def buyer(buyer):
    """That of a buyer with an account, likewise."""
    return remember_address(buyer)


@pytest.mark.core
def test_a_guest_presses_once_and_sees_it_confirmed(shop, guest):
    shop.stocked("laptop-1", 5, price_minor=129_900)

    response = guest.post("/buy", look(guest, "/products/laptop-1").fields("/buy"))

    order = Order.objects.get()
    assert response.headers["Location"] == f"/orders/{order.id}"
    started = look(guest, f"/orders/{order.id}")
    assert started.one("order-status")["data-status"] == "CREATED"
    assert started.by_id("order")["hx-trigger"] == "every 700ms"
    assert '<noscript><meta http-equiv="refresh" content="1"></noscript>' in started.html

    shop.work()

    page = look(guest, f"/orders/{order.id}")
    assert page.one("order-outcome")["data-outcome"] == "CONFIRMED"
    assert page.text("order-headline") == "It’s yours"
    assert page.text("money") == "€1,299.00 was taken from your card, once."
    assert [stage["data-state"] for stage in page.all("stage")] == ["done"] * 4
    assert [step["data-step"] for step in page.all("saga-step")] == [
        "validate_inventory", "reserve_inventory", "authorize_payment", "check_fraud", "capture_payment",
        "confirm_order",
    ]  # fmt: skip
    assert page.by_id("order")["hx-trigger"] == "every 10s"  # the parcel is followed now
    assert '<noscript><meta http-equiv="refresh" content="60"></noscript>' in page.html
    assert shop.levels("laptop-1") == (4, 0)
    assert shop.money(order) == [("AUTHORIZE", 129_900), ("CAPTURE", 129_900)]


def test_a_buyer_with_an_account_owns_the_order(shop, buyer, person):
    shop.stocked("laptop-1", 5)
    press_buy_now(buyer, "laptop-1", quantity="2")
    order = Order.objects.get()
    assert (order.user_id, order.email, order.payment_method) == ("user-1", "one@example.org", "tok_visa")
    assert order.lines.get().quantity == 2
    assert look(buyer, f"/orders/{order.id}").status == 200


@pytest.mark.parametrize(
    ("token", "code", "headline"),
    [
        ("tok_declined", "payment_declined", "The bank said no"),
        ("tok_insufficient_funds", "payment_declined", "The bank said no"),
        ("tok_fraud", "fraud_rejected", "We couldn’t accept this order"),
    ],
)
def test_an_order_that_fails_says_that_no_money_was_taken_and_offers_another_card(shop, guest, token, code, headline):
    shop.stocked("laptop-1", 5)
    response = press_buy_now(guest, "laptop-1", payment_method=token, quantity="2")
    shop.work()

    page = look(guest, response.headers["Location"])
    assert page.one("order-outcome")["data-code"] == code
    assert page.text("order-headline") == headline
    assert page.text("money").startswith("No money was taken.")
    assert page.text("stamp") == "Not charged"
    assert page.one("try-other-card")["href"] == f"{response.headers['Location']}/try-again"
    undone = [step["data-step"] for step in page.all("saga-step") if step["data-direction"] == "compensating"]
    assert undone[-1] == "reserve_inventory"
    assert shop.levels("laptop-1") == (5, 0)
    assert "CAPTURE" not in [kind for kind, _ in shop.money(Order.objects.get())]


@pytest.mark.parametrize("token", ["tok_flaky", "tok_timeout"])
def test_a_bank_with_trouble_is_asked_again_and_charges_once(shop, guest, token):
    shop.stocked("laptop-1", 5)
    response = press_buy_now(guest, "laptop-1", payment_method=token)
    shop.work(seconds=60)

    page = look(guest, response.headers["Location"])
    assert page.one("order-outcome")["data-outcome"] == "CONFIRMED"
    tries = [step["data-attempt"] for step in page.all("saga-step") if step["data-step"] == "authorize_payment"]
    assert tries == [str(number) for number in range(1, len(tries) + 1)]
    assert len(tries) > 1
    assert shop.money(Order.objects.get()) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]


class TestWhereItGoes:
    def test_the_first_time_it_is_asked_at_the_checkout_and_then_one_press_is_enough(self, shop, stranger):
        shop.stocked("laptop-1", 5)
        page = look(stranger, "/products/laptop-1")
        assert not page.all("sent-to")
        assert not page.all("payment-method")  # it is chosen where the address is given
        chosen = {**page.fields("/checkout/laptop-1"), "quantity": "2"}
        assert chosen == {"quantity": "2"}

        asked = look(stranger, "/checkout/laptop-1", query_params=chosen)
        assert asked.one("quantity")["value"] == "2"
        shop.work()
        assert (Order.objects.count(), Reservation.objects.count()) == (0, 0)
        assert shop.levels("laptop-1") == (5, 0)
        stranger.post("/checkout/laptop-1", {**asked.fields("/checkout/laptop-1"), **ADDRESS, "pay": "now"})

        page = look(stranger, "/products/laptop-1")
        assert page.text("sent-to") == (
            "Sent to Ada Lovelace, 12 St James’s Square, SW1Y 4JH London, United Kingdom. Change where it goes"
        )
        assert page.one("change-address")["href"] == "/checkout/laptop-1"
        stranger.post("/buy", page.fields("/buy"))
        shop.work()
        orders = Order.objects.order_by("id").values_list("shipping_address", "lines__quantity", "status")
        assert list(orders) == [(ADDRESS, 2, "CONFIRMED"), (ADDRESS, 1, "CONFIRMED")]

    def test_it_goes_where_the_page_says_whatever_was_asked_for_elsewhere_since(self, shop, guest):
        shop.stocked("laptop-1", 5)
        page = look(guest, "/products/laptop-1")
        remember_address(guest, city="Dover")
        guest.post("/buy", page.fields("/buy"))
        assert "London" in page.text("sent-to")
        assert Order.objects.get().shipping_address["city"] == "London"

    @pytest.mark.parametrize("missing", [*ADDRESS, "all"])
    def test_a_press_that_does_not_say_where_leads_to_the_checkout_with_what_was_chosen(self, shop, guest, missing):
        shop.stocked("laptop-1", 5)
        form = look(guest, "/products/laptop-1").fields("/buy")
        form |= dict.fromkeys(ADDRESS if missing == "all" else [missing], "")
        response = guest.post("/buy", {**form, "quantity": "3", "payment_method": "tok_flaky"})
        assert response.headers["Location"] == "/checkout/laptop-1?quantity=3&payment_method=tok_flaky"
        page = look(guest, response.headers["Location"])
        assert page.text("notice") == "Please check where it goes. Nothing is ordered yet."
        assert page.one("quantity")["value"] == "3"
        assert page.fields("/checkout/laptop-1")["payment_method"] == "tok_flaky"
        assert Order.objects.count() == 0

    @pytest.mark.parametrize("kept", [{"name": ""}, {"country": "XX"}, {"email": "nobody"}, {"line1": "x" * 101}])
    def test_what_can_not_be_used_any_more_is_asked_for_again(self, shop, stranger, kept):
        shop.stocked("laptop-1", 5)
        remember_address(stranger, **kept)
        page = look(stranger, "/products/laptop-1")
        if page.all("sent-to"):
            page = look(stranger, stranger.post("/buy", page.fields("/buy")).headers["Location"])
            assert page.status == 200
        assert page.fields("/checkout/laptop-1")["quantity"] == "1"
        assert Order.objects.count() == 0


class TestPressedTwice:
    def test_the_same_page_makes_one_order(self, shop, buyer):
        shop.stocked("laptop-1", 5)
        form = look(buyer, "/products/laptop-1").fields("/buy")
        first, second = buyer.post("/buy", form), buyer.post("/buy", form)
        assert first.headers["Location"] == second.headers["Location"]
        shop.work()
        assert Order.objects.count() == 1
        assert shop.levels("laptop-1") == (4, 0)

    def test_a_first_visit_whose_presses_come_without_a_session_makes_one_order(self, shop):
        shop.stocked("laptop-1", 5)
        form = {**look(Client(), "/checkout/laptop-1").fields("/checkout/laptop-1"), **ADDRESS, "pay": "now"}
        browsers = [Client(), Client()]
        addresses = {browser.post("/checkout/laptop-1", form).headers["Location"] for browser in browsers}
        assert len(addresses) == 1
        assert Order.objects.count() == 1
        assert [look(browser, addresses.copy().pop()).status for browser in browsers] == [200, 200]

    @pytest.mark.parametrize("first_visit", [True, False])
    def test_at_the_same_instant_makes_one_order(self, shop, guest, monkeypatch, first_visit):
        monkeypatch.setattr("marketplace.idempotency.services.WAIT_SECONDS", 60.0)  # the machine may be busy
        shop.stocked("laptop-1", 5)
        page, action = ("/checkout/laptop-1",) * 2 if first_visit else ("/products/laptop-1", "/buy")
        form = {**look(guest, page).fields(action), "pay": "now"}
        session = "" if first_visit else guest.cookies[site.SESSION_COOKIE_NAME].value

        def press(_: int) -> str:
            browser = Client()
            browser.cookies[site.SESSION_COOKIE_NAME] = session
            try:
                return str(browser.post(action, form).headers["Location"])
            finally:
                connection.close()

        with ThreadPoolExecutor(6) as crowd:
            addresses = set(crowd.map(press, range(6)))
        assert len(addresses) == 1
        assert Order.objects.count() == 1

    def test_each_page_has_a_key_of_its_own_and_is_not_kept_for_going_back(self, shop, guest):
        shop.stocked("laptop-1", 5)
        keys = {look(guest, "/products/laptop-1").fields("/buy")["key"] for _ in range(3)}
        assert len(keys) == 3
        assert guest.get("/products/laptop-1").headers["Cache-Control"] == "no-store"

    def test_a_used_page_with_another_wish_is_refused_once_and_then_works(self, shop, guest):
        shop.stocked("laptop-1", 5)
        form = look(guest, "/products/laptop-1").fields("/buy")
        guest.post("/buy", form)

        page = Page(guest.post("/buy", {**form, "quantity": "3"}))
        assert page.status == 422
        assert page.text("refusal") == (
            "You have already ordered from this page. Press again if you want this as well. Nothing was ordered."
        )
        assert Order.objects.count() == 1

        guest.post("/buy", page.fields("/buy"))
        assert sorted(Order.objects.values_list("lines__quantity", flat=True)) == [1, 3]


class TestChangedMeanwhile:
    def test_another_price_is_shown_before_anything_is_ordered(self, shop, guest):
        shop.stocked("laptop-1", 5, price_minor=1000)
        form = look(guest, "/products/laptop-1").fields("/buy")
        Product.objects.update(price_minor=1200)

        page = Page(guest.post("/buy", {**form, "quantity": "2"}))

        assert page.status == 409
        assert page.one("refusal")["data-code"] == "price_changed"
        assert page.text("refusal") == (
            "The price changed while you were looking: it was €10.00, and it is €12.00 now. Nothing was ordered."
        )
        assert Order.objects.count() == 0
        again = page.fields("/buy")
        assert (again["price_minor"], again["quantity"]) == ("1200", "2")
        guest.post("/buy", again)
        assert Order.objects.get().total_minor == 2400

    def test_sold_out_meanwhile_is_told_on_the_order(self, shop, guest):
        shop.stocked("laptop-1", 2)
        response = press_buy_now(guest, "laptop-1", quantity="3")
        shop.work()
        page = look(guest, response.headers["Location"])
        assert page.one("order-outcome")["data-code"] == "out_of_stock"
        assert page.text("shortfalls") == "The laptop-1: you asked for 3, only 2 left."
        assert page.one("take-fewer")["href"] == "/products/laptop-1?quantity=2"
        assert page.text("money") == "No money was taken."
        assert shop.levels("laptop-1") == (2, 0)

    def test_not_for_sale_any_more(self, shop, guest):
        shop.stocked("laptop-1", 2)
        form = look(guest, "/products/laptop-1").fields("/buy")
        Product.objects.update(is_active=False)
        response = guest.post("/buy", form, follow=True)
        assert "That isn’t for sale any more. Nothing was ordered." in response.content.decode()
        assert Order.objects.count() == 0


class TestNotUnderstood:
    @pytest.mark.parametrize(
        ("quantity", "words"),
        [
            ("0", "At least 1"),
            ("-1", "At least 1"),
            ("1000000000", "At most 999"),
            ("two", "whole number"),
            ("1.5", "whole number"),
            ("", "How many"),
        ],
    )
    def test_a_quantity_that_makes_no_sense(self, shop, guest, quantity, words):
        shop.stocked("laptop-1", 5)
        page = Page(press_buy_now(guest, "laptop-1", quantity=quantity))
        assert page.status == 400
        assert words in page.by_id("quantity-error")["text"]
        assert page.one("quantity")["aria-invalid"] == "true"
        assert page.one("refusal")["data-code"] == "invalid_form"
        assert Order.objects.count() == 0

    @pytest.mark.parametrize("changes", [{"key": "short"}, {"price_minor": "x"}, {"payment_method": "tok_gold"}])
    def test_a_form_that_was_tampered_with(self, shop, guest, changes):
        shop.stocked("laptop-1", 5)
        page = Page(press_buy_now(guest, "laptop-1", **changes))
        assert page.status == 400
        assert len(page.fields("/buy")["key"]) >= 16
        assert Order.objects.count() == 0

    @pytest.mark.parametrize("sku", ["", "no-such-thing", "../etc", "a" * 300, "nul\x00"])
    def test_an_unknown_product(self, shop, guest, sku):
        shop.stocked("laptop-1", 5)
        response = press_buy_now(guest, "laptop-1", sku=sku)
        assert response.status_code in {302, 404}
        assert Order.objects.count() == 0

    def test_looking_at_the_address_buys_nothing(self, db, guest):
        assert guest.get("/buy").status_code == 405

    def test_without_the_csrf_token_nothing_is_bought(self, shop, guest):
        shop.stocked("laptop-1", 5)
        form = look(guest, "/products/laptop-1").fields("/buy")
        response = Client(enforce_csrf_checks=True).post("/buy", form)
        assert response.status_code == 403
        assert "This page was open for too long" in response.content.decode()
        assert Order.objects.count() == 0


class TestWhoMayBuy:
    def test_guests_are_asked_to_sign_in_where_they_can_not_order(self, shop, guest, settings):
        settings.GUEST_CHECKOUT = False
        shop.stocked("laptop-1", 5)
        response = press_buy_now(guest, "laptop-1")
        assert response.headers["Location"] == "/sign-in?next=%2Fproducts%2Flaptop-1"
        assert Order.objects.count() == 0

    def test_they_are_asked_before_they_fill_in_an_address(self, shop, stranger, person, settings):
        settings.GUEST_CHECKOUT = False
        shop.stocked("laptop-1", 5)
        response = stranger.get("/checkout/laptop-1?quantity=2")
        assert response.headers["Location"] == "/sign-in?next=%2Fcheckout%2Flaptop-1%3Fquantity%3D2"
        signed_in = stranger.post(
            response.headers["Location"], {"username": "user-1", "password": "correct horse"}, follow=True
        )
        assert signed_in.request["PATH_INFO"] == "/checkout/laptop-1"
        assert Page(signed_in).one("quantity")["value"] == "2"

    def test_one_buyers_key_means_nothing_for_another(self, shop, buyer):
        shop.stocked("laptop-1", 5)
        form = look(buyer, "/products/laptop-1").fields("/buy")
        other = Client()
        other.force_login(User.objects.create_user("user-2"))
        assert buyer.post("/buy", form).headers["Location"] != other.post("/buy", form).headers["Location"]
        assert sorted(Order.objects.values_list("user_id", flat=True)) == ["user-1", "user-2"]


class TestAvailability:
    def test_it_says_how_little_is_left(self, shop, guest):
        shop.stocked("many", 6)
        shop.stocked("few", 2)
        shop.stocked("none", 0)
        assert look(guest, "/products/many").text("availability") == "In stock"
        assert look(guest, "/products/few").text("availability") == "Only 2 left"
        page = look(guest, "/products/none")
        assert page.text("availability") == "Sold out"
        assert "disabled" in page.one("buy-now")
        assert "disabled" not in look(guest, "/products/few").one("buy-now")

    def test_the_page_is_told_when_it_changes_and_only_then(self, shop, guest):
        shop.stocked("laptop-1", 1)
        asked = look(guest, "/products/laptop-1").by_id("availability")["hx-get"]
        assert guest.get(asked).status_code == 204

        Stock.objects.update(available=0, reserved=1)
        page = look(guest, asked)
        assert page.text("availability") == "Sold out"
        assert page.one("buy-now")["hx-swap-oob"] == "true"
        assert "disabled" in page.one("buy-now")
        assert guest.get(page.by_id("availability")["hx-get"]).status_code == 204

    def test_every_test_card_can_be_chosen(self, shop, guest):
        shop.stocked("laptop-1", 1)
        page = look(guest, "/products/laptop-1")
        assert [e["value"] for e in page.elements if e["tag"] == "option"] == [card.token for card in CARDS]
