"""Paying again by another method, and trying again what came to nothing: filled in, at today's prices, and once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import IntegrityError, connection
from django.test import Client

from inventory.models import Product
from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from marketplace.sagas.models import SagaInstance
from marketplace.storefront.tests.pages import Page, look, press_buy_now
from orders import access, selectors, services
from orders.api.serializers import as_json
from orders.errors import NotRetryable
from orders.models import Order
from orders.services import NewOrder, OrderLineRequest

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = {
    "name": "Ada Lovelace", "line1": "Main Street 1", "postal_code": "10115", "city": "Berlin", "country": "DE",
    "email": "ada@example.org",
}  # fmt: skip


@pytest.fixture
def declined(shop, guest):
    """The address of a guest's order of two, which the bank has declined."""
    shop.stocked("laptop-1", 5)
    fields = look(guest, "/checkout/laptop-1").fields("/checkout/laptop-1")
    data = {**fields, **ADDRESS, "quantity": "2", "payment_method": "tok_declined", "pay": "now"}
    address = guest.post("/checkout/laptop-1", data).headers["Location"]
    shop.work()
    return address


def press_again(client, address, **changes):
    return client.post(f"{address}/try-again", {**fields(client, address), **changes})


def fields(client, address):
    return look(client, f"{address}/try-again").fields(f"{address}/try-again")


def of(address):
    return selectors.order(address.rpartition("/")[2])


def retries():
    return Order.objects.exclude(retry_of=None).count()


# --- another payment for the same order -------------------------------------------------------------------------------


def test_a_declined_order_asks_for_another_card_and_takes_it(shop, guest, settings):
    settings.PAYMENT_ATTEMPTS = 2
    shop.stocked("laptop-1", 5)
    address = press_buy_now(guest, "laptop-1", payment_method="tok_declined").headers["Location"]
    shop.work()
    page = look(guest, address)
    assert page.text("order-headline") == "Payment failed"
    assert "The card was declined." in page.text("order-what")
    assert "Pay by another method" in page.html
    assert page.one("countdown")["data-until"]
    [payment] = [stage for stage in page.all("stage") if stage["data-stage"] == "payment"]
    assert payment["data-state"] == "paused"

    asked = page.fields(f"{address}/pay")
    assert asked["attempt"] == "2"
    guest.post(f"{address}/pay", {**asked, "payment_method": "tok_visa"})
    shop.work()
    assert look(guest, address).one("order-status")["data-status"] == "CONFIRMED"


def test_a_page_that_is_older_than_the_last_decline_pays_nothing(shop, guest, settings):
    settings.PAYMENT_ATTEMPTS = 3
    shop.stocked("laptop-1", 5)
    address = press_buy_now(guest, "laptop-1", payment_method="tok_declined").headers["Location"]
    shop.work()
    asked = {**look(guest, address).fields(f"{address}/pay"), "payment_method": "tok_declined"}
    for _ in range(2):
        guest.post(f"{address}/pay", asked)
        shop.work()
    assert of(address).payment_attempt == 3
    assert "failed meanwhile" in look(guest, address).html


# --- another order in its place ---------------------------------------------------------------------------------------


def test_everything_is_filled_in_and_one_press_orders_it(shop, guest, declined):
    assert look(guest, declined).one("try-other-card")["href"] == f"{declined}/try-again"
    page = look(guest, f"{declined}/try-again")
    assert page.one("retry-line")["data-sku"] == "laptop-1"
    assert page.one("quantity")["value"] == "2"
    assert page.all("retry-news") == []
    assert page.text("retry-total") == "€20.00"
    assert page.text("retry-address") == "For Ada Lovelace, Main Street 1, 10115 Berlin"
    assert page.text("retry-email") == "News go to ada@example.org"

    answer = press_again(guest, declined, payment_method="tok_visa")
    new = of(answer.headers["Location"])
    shop.work()
    new, old = shop.now(new), of(declined)
    assert (new.status, new.total_minor, new.items[0].quantity) == ("CONFIRMED", 2000, 2)
    assert (new.shipping_address, new.email) == (old.shipping_address, "ada@example.org")
    assert (new.retry_of, old.retried_by) == (old.id, new.id)
    assert as_json(new)["links"]["retryOf"] == f"/api/orders/{old.id}"
    assert as_json(old)["links"]["retriedBy"] == f"/api/orders/{new.id}"
    assert shop.notes(old) == [f"guest: Tried again: {new.number}."]
    assert f"guest: In the place of {old.number}." in shop.notes(new)
    assert look(guest, f"/orders/{new.id}").one("retry-of")["href"] == declined
    assert look(guest, declined).one("retried-by")["href"] == f"/orders/{new.id}"
    assert shop.levels("laptop-1") == (3, 0)


def test_pressed_twice_it_is_one_order_whatever_became_of_it(shop, guest, declined):
    asked = {**fields(guest, declined), "payment_method": "tok_declined"}
    first = guest.post(f"{declined}/try-again", asked).headers["Location"]
    shop.work()
    assert of(first).status == "FAILED"
    second = guest.post(f"{declined}/try-again", asked).headers["Location"]
    assert (second, retries()) == (first, 1)


def test_the_old_link_leads_to_the_order_that_is_alive_and_past_those_that_are_not(shop, guest, declined):
    second = press_again(guest, declined, payment_method="tok_declined").headers["Location"]
    assert guest.get(f"{declined}/try-again").headers["Location"] == second
    shop.work()
    assert guest.get(f"{declined}/try-again").headers["Location"] == f"{second}/try-again"
    third = press_again(guest, second, payment_method="tok_visa").headers["Location"]
    shop.work()
    assert guest.get(f"{second}/try-again").headers["Location"] == third
    assert (of(third).status, retries()) == ("CONFIRMED", 2)


def test_an_order_that_has_not_come_to_nothing_is_not_tried_again(shop, guest):
    shop.stocked("laptop-1", 5)
    address = press_buy_now(guest, "laptop-1").headers["Location"]
    shop.work()
    assert guest.get(f"{address}/try-again").headers["Location"] == address
    assert guest.post(f"{address}/try-again", {}).headers["Location"] == address
    with pytest.raises(NotRetryable):
        services.try_again(of(address).id, NewOrder(lines=()), now=database_now())
    assert retries() == 0


def test_nobody_else_sees_or_presses_it(shop, declined, buyer):
    for stranger in (Client(), buyer):
        assert stranger.get(f"{declined}/try-again").status_code == 404
        assert stranger.post(f"{declined}/try-again", {}).status_code == 404
    assert retries() == 0


def test_the_buyer_with_an_account_stays_the_buyer(shop, buyer):
    shop.stocked("laptop-1", 5)
    address = press_buy_now(buyer, "laptop-1", payment_method="tok_declined").headers["Location"]
    shop.work()
    new = press_again(buyer, address, payment_method="tok_visa").headers["Location"]
    assert of(new).user_id == User.objects.get().username == of(address).user_id


def test_from_a_mail_without_a_login_it_leads_to_the_new_order(shop, buyer):
    shop.stocked("laptop-1", 5)
    address = press_buy_now(buyer, "laptop-1", payment_method="tok_declined").headers["Location"]
    shop.work()
    anywhere = Client()
    old = of(address)
    anywhere.get(f"/orders/{old.id}/open/{access.mailed_key(old.id)}")
    new = press_again(anywhere, address, payment_method="tok_visa").headers["Location"]
    assert of(new).user_id == old.user_id
    assert anywhere.get(new).status_code == 200
    assert anywhere.get(f"{address}/try-again").headers["Location"] == new


# --- what has changed since -------------------------------------------------------------------------------------------


def test_a_price_that_changed_is_told_and_it_is_todays_that_counts(shop, guest, declined):
    asked = {**fields(guest, declined), "payment_method": "tok_visa"}
    Product.objects.update(price_minor=1200)
    page = look(guest, f"{declined}/try-again")
    assert page.text("retry-news") == "The price changed: it was €10.00, and it is €12.00 now."

    answer = Page(guest.post(f"{declined}/try-again", asked))  # a page from before the change
    assert (answer.status, answer.one("refusal")["data-code"]) == (409, "price_changed")
    assert (retries(), answer.fields(f"{declined}/try-again")["price-laptop-1"]) == (0, "1200")
    new = press_again(guest, declined, payment_method="tok_visa").headers["Location"]
    assert of(new).total_minor == 2400


def test_what_is_short_is_told_and_less_is_proposed(shop, guest, declined):
    shop.bought("laptop-1", 4)
    page = look(guest, f"{declined}/try-again")
    assert page.text("retry-news") == "You wanted 2, and only 1 is left."
    assert page.one("quantity")["value"] == "1"


def test_what_is_sold_out_or_not_for_sale_any_more_can_not_be_ordered(shop, guest, declined):
    shop.bought("laptop-1", 5)
    assert look(guest, f"{declined}/try-again").text("retry-news") == "It is sold out now."
    Product.objects.update(is_active=False)
    page = look(guest, f"{declined}/try-again")
    assert page.text("retry-news") == "It isn’t for sale any more."
    assert "disabled" in page.one("try-again-now")
    answer = Page(guest.post(f"{declined}/try-again", {"payment_method": "tok_visa", "quantity-laptop-1": "1"}))
    assert (answer.one("refusal")["data-code"], retries()) == ("unknown_sku", 0)


@pytest.mark.parametrize("bad", [{"quantity-laptop-1": "0"}, {"quantity-laptop-1": "x"}, {"payment_method": "tok_no"}])
def test_a_form_that_makes_no_sense_changes_nothing(guest, declined, bad):
    answer = Page(press_again(guest, declined, **bad))
    assert (answer.status, len(answer.all("refusal")), retries()) == (400, 1, 0)


# --- by construction --------------------------------------------------------------------------------------------------


def test_many_who_press_at_once_get_one_order(shop, declined):
    old = of(declined)
    wish = NewOrder(lines=(OrderLineRequest(1, sku="laptop-1"),), payment_method="tok_visa")
    together = Barrier(4)

    def press(_):
        together.wait()
        try:
            return services.try_again(old.id, wish, now=database_now()).id
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(press, range(4)))) == 1
    assert retries() == 1


def test_the_database_knows_no_second_successor(shop, declined):
    old = of(declined)
    others = [shop.order("laptop-1"), shop.order("laptop-1")]
    Order.objects.filter(pk=others[0].id).update(retry_of=old.id)
    with pytest.raises(IntegrityError):
        Order.objects.filter(pk=others[1].id).update(retry_of=old.id)


def test_money_that_comes_late_for_the_old_order_does_not_bring_it_back_beside_the_new_one(shop):
    shop.stocked("laptop-1", 5)
    old = shop.bought("laptop-1", token="")
    expire(shop, old)
    new = services.try_again(old.id, NewOrder(lines=(OrderLineRequest(1, sku="laptop-1"),)), now=database_now())
    shop.paid_elsewhere(old)
    shop.work()
    assert (shop.now(old).status, shop.money(old)[-1][0]) == ("CANCELLED", "VOID")
    assert shop.now(new).status == "RESERVED"


def test_while_late_money_is_looked_into_it_is_not_tried_again(shop):
    shop.stocked("laptop-1", 5)
    old = shop.bought("laptop-1", token="")
    expire(shop, old)
    shop.paid_elsewhere(old)
    with pytest.raises(NotRetryable):
        services.try_again(old.id, NewOrder(lines=(OrderLineRequest(1, sku="laptop-1"),)), now=database_now())
    shop.work()
    assert (shop.now(old).status, retries()) == ("CONFIRMED", 0)


def expire(shop, order):
    SagaInstance.objects.filter(pk=order.saga_id).update(wait_until=database_now(), due_at=database_now())
    shop.work()
    assert shop.now(order).status == "CANCELLED"
