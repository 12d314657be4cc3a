"""The order's page: who may see it, how it keeps up, and what can be done there."""

import pytest
from django.test import Client

from fulfillment.models import Shipment
from marketplace.accounts.models import User
from marketplace.kernel.clock import database_now
from marketplace.sagas import runner
from marketplace.sagas.models import SagaInstance
from marketplace.storefront.tests.pages import Page, look, press_buy_now
from orders.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def client_of(username, **more):
    client = Client()
    client.force_login(User.objects.create_user(username, **more))
    return client


class TestWhoMaySee:
    @pytest.mark.parametrize("what", ["", "/progress"])
    def test_an_order_is_for_its_buyer_and_for_staff(self, shop, buyer, guest, what):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(buyer, "laptop-1").headers["Location"] + what
        assert look(buyer, address).status == 200
        assert look(client_of("staff", is_staff=True), address).status == 200
        for other in (guest, client_of("user-2")):
            page = look(other, address)
            assert page.status == 404
            assert "laptop" not in page.html

    def test_a_guests_order_is_for_the_visit_that_placed_it(self, shop, guest):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(guest, "laptop-1").headers["Location"]
        assert look(guest, address).status == 200
        assert look(Client(), address).status == 404
        assert look(client_of("user-2"), address).status == 404

    def test_signing_in_keeps_the_visits_orders_and_signing_out_forgets_them(self, shop, guest, person):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(guest, "laptop-1").headers["Location"]
        guest.post("/sign-in", {"username": "user-1", "password": "correct horse"})
        assert look(guest, address).status == 200
        guest.post("/sign-out")
        assert look(guest, address).status == 404

    @pytest.mark.parametrize("action", ["pay", "cancel"])
    def test_nobody_pays_or_cancels_for_others(self, shop, buyer, guest, action):
        shop.stocked("laptop-1", 5)
        order = shop.order("laptop-1", token="")
        shop.work()
        for other in (guest, client_of("user-2")):
            assert other.post(f"/orders/{order.id}/{action}", {"payment_method": "tok_visa"}).status_code == 404
        shop.work()
        assert shop.now(order).status == "RESERVED"

    def test_an_order_that_never_was(self, db, guest):
        assert look(guest, "/orders/00000000-0000-7000-8000-000000000000").status == 404
        assert look(guest, "/orders/7").status == 404


class TestProgress:
    def test_it_answers_only_what_is_new(self, shop, guest):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(guest, "laptop-1").headers["Location"]
        polled = look(guest, address).by_id("order")["hx-get"]
        assert guest.get(polled).status_code == 204

        shop.work(queues=("inventory",))
        page = look(guest, polled)
        assert page.one("order-status")["data-status"] == "RESERVED"
        assert [step["data-step"] for step in page.all("saga-step")] == [
            "validate_inventory", "reserve_inventory", "authorize_payment",
        ]  # fmt: skip
        assert guest.get(page.by_id("order")["hx-get"]).status_code == 204
        assert "<html" not in page.html

    def test_it_asks_now_and_then_while_the_parcel_is_to_come_and_no_more_once_it_is_there(self, shop, guest):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(guest, "laptop-1").headers["Location"]
        polled = look(guest, address).by_id("order")["hx-get"]
        shop.work()
        page = look(guest, polled)
        assert page.one("order-outcome")["data-outcome"] == "CONFIRMED"
        assert page.by_id("order")["hx-trigger"] == "every 10s"
        assert guest.get(page.by_id("order")["hx-get"]).status_code == 204
        assert (
            "Confirmed" in page.by_id("order")["data-announce"] or "confirmed" in page.by_id("order")["data-announce"]
        )

    @pytest.mark.parametrize(
        ("status", "shipment", "reached"),
        [("SHIPPED", "LABELLED", 2), ("IN_TRANSIT", "EXCEPTION", 2), ("DELIVERED", "DELIVERED", 4)],
    )
    def test_it_says_where_the_parcel_is(self, shop, guest, status, shipment, reached):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(guest, "laptop-1").headers["Location"]
        shop.work()
        seen = look(guest, address).by_id("order")["hx-get"]
        assert not look(guest, address).all("tracking")
        Order.objects.update(status=status)
        url = "https://carrier.example/SB1" if reached == 2 else "javascript:alert(1)"
        at = dict.fromkeys(["packed_at", "labelled_at"], database_now())
        at |= {"delivered_at": database_now()} if status == "DELIVERED" else {}
        Shipment.objects.update(
            status=shipment, tracking_number="SB1", tracking_url=url, label_key="k", carrier_reference="shp_1", **at
        )

        page = look(guest, seen)
        states = [stage["data-state"] for stage in page.all("parcel-stage")]
        assert states.count("done") == reached
        assert ("paused" in states) == (shipment == "EXCEPTION")
        assert page.text("tracking") == "SB1"
        assert page.one("tracking").get("href") == (url if reached == 2 else None)
        assert bool(page.all("expected")) == (status != "DELIVERED")
        assert ("hx-get" in page.by_id("order")) == (status != "DELIVERED")

    def test_only_new_lines_are_printed_as_new(self, shop, guest):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(guest, "laptop-1").headers["Location"]
        shop.work()
        page = look(guest, f"{address}/progress?seen=x&lines=3")
        assert [step.get("class") for step in page.all("saga-step")] == [None, None, "fresh", "fresh", "fresh", "fresh"]

    @pytest.mark.parametrize("lines", ["", "-1", "x", "99999999999", "²"])
    def test_a_strange_count_does_no_harm(self, shop, guest, lines):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(guest, "laptop-1").headers["Location"]
        assert look(guest, f"{address}/progress?seen=x&lines={lines}").status == 200

    def test_while_a_person_is_looking_it_asks_now_and_then(self, shop, guest):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(guest, "laptop-1").headers["Location"]
        SagaInstance.objects.update(status="NEEDS_ATTENTION", due_at=None, attention="stuck")
        page = look(guest, address)
        assert page.text("order-headline") == "A person is looking at this"
        assert page.by_id("order")["hx-trigger"] == "every 3s"
        assert "stuck" not in page.html
        assert not page.all("cancel-order")


class TestCancel:
    def test_before_it_is_confirmed(self, shop, buyer):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(buyer, "laptop-1").headers["Location"]
        page = look(buyer, address)
        assert page.text("cancel-order") == "Cancel this order"
        buyer.post(f"{address}/cancel", page.fields(f"{address}/cancel"))
        shop.work()

        page = look(buyer, address)
        assert page.one("order-outcome")["data-code"] == "cancelled_by_buyer"
        assert page.text("order-headline") == "You cancelled this order"
        assert page.text("money") == "No money was taken."
        assert not page.all("cancel-order")
        assert shop.levels("laptop-1") == (5, 0)
        assert shop.money(Order.objects.get()) == []

    def test_after_it_is_confirmed_the_money_goes_back(self, shop, buyer):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(buyer, "laptop-1").headers["Location"]
        shop.work()
        page = look(buyer, address)
        assert page.text("cancel-order") == "Cancel this order"
        assert "we send your €10.00 back to your card" in page.html

        page = Page(buyer.post(f"{address}/cancel", page.fields(f"{address}/cancel"), follow=True))
        assert page.text("order-headline") == "We are cancelling your order"
        assert page.text("order-what") == "Stopping your parcel…"
        assert page.text("money") == "The €10.00 you paid is on its way back to your card."
        assert page.by_id("order")["hx-trigger"] == "every 700ms"
        assert [stage["data-state"] for stage in page.all("stage")] == ["done", "done", "done", "undoing"]
        assert not page.all("parcel")
        assert not page.all("cancel-order")
        assert not page.all("stamp")

        shop.work()
        page = look(buyer, address)
        assert page.one("order-outcome")["data-code"] == "cancelled_by_buyer"
        assert page.text("order-headline") == "You cancelled this order"
        assert page.text("money") == "All of your money, €10.00, was sent back to your card."
        assert [step["data-step"] for step in page.all("saga-step")][-3:] == [
            "refund_payment", "restock_inventory", "close_order",
        ]  # fmt: skip
        assert [step["data-mark"] for step in page.all("saga-step")][-3:] == ["undone"] * 3
        assert [stage["data-state"] for stage in page.all("stage")] == ["undone", "undone", "done", "undone"]
        assert page.text("stamp") == "Cancelled"
        assert not page.all("cancel-order")
        assert shop.levels("laptop-1") == (5, 0)

    def test_while_a_person_sees_to_the_refund(self, shop, buyer):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(buyer, "laptop-1").headers["Location"]
        shop.work()
        buyer.post(f"{address}/cancel")
        shop.work(queues=("fulfillment",))  # stops the parcel
        runner.park(SagaInstance.objects.get(name="reverse_order").id, ZeroDivisionError("a bug"))

        page = look(buyer, address)
        assert page.text("order-headline") == "A person is looking at this"
        assert page.text("money") == "The €10.00 you paid is on its way back to your card."
        assert page.all("stage")[1]["data-state"] == "parked"
        assert not page.all("cancel-order")

    def test_while_the_bank_can_not_be_reached(self, shop, buyer):
        shop.stocked("laptop-1", 5)
        shop.gateway.kill()
        address = press_buy_now(buyer, "laptop-1").headers["Location"]
        shop.work()

        page = look(buyer, address)
        assert page.text("order-headline") == "Your order is waiting its turn"
        assert "We can’t go on just now; we will, by ourselves" in page.html
        assert page.all("cancel-order")

    def test_what_has_failed_can_not_be_cancelled(self, shop, buyer):
        shop.stocked("laptop-1", 5)
        order = shop.order("laptop-1", token="tok_declined")
        shop.work()
        page = Page(buyer.post(f"/orders/{order.id}/cancel", follow=True))
        assert page.text("notice") == "This order can't be cancelled any more."
        assert page.one("order-status")["data-status"] == "FAILED"

    def test_by_somebody_of_the_shop(self, shop, buyer):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(buyer, "laptop-1").headers["Location"]
        client_of("staff", is_staff=True).post(f"{address}/cancel")
        shop.work()
        assert look(buyer, address).text("order-headline") == "We cancelled this order"

    def test_looking_cancels_nothing(self, shop, buyer):
        shop.stocked("laptop-1", 5)
        address = press_buy_now(buyer, "laptop-1").headers["Location"]
        assert buyer.get(f"{address}/cancel").status_code == 405
        assert Client(enforce_csrf_checks=True).post(f"{address}/cancel").status_code == 403
        shop.work()
        assert look(buyer, address).one("order-status")["data-status"] == "CONFIRMED"


class TestMyOrders:
    def numbers(self, page):
        return [element["text"].split(",")[0] for element in page.elements if element.get("class") == "muted small"]

    def test_one_sees_ones_own_page_by_page(self, shop, buyer):
        shop.stocked("laptop-1", 99)
        placed = [shop.order("laptop-1").number for _ in range(23)]
        shop.order("laptop-1", user="user-2")

        first = look(buyer, "/orders")
        second = look(buyer, "/orders" + first.one("older")["href"])
        third = look(buyer, "/orders" + second.one("older")["href"])
        seen = self.numbers(first) + self.numbers(second) + self.numbers(third)
        assert seen == placed[::-1]
        assert not third.all("older")
        back = next(element for element in third.elements if element.get("rel") == "prev")
        assert self.numbers(look(buyer, "/orders" + back["href"])) == self.numbers(second)

    def test_a_guest_sees_those_of_the_visit(self, shop, guest):
        shop.stocked("laptop-1", 99)
        assert "Nothing here yet" in look(guest, "/orders").html
        press_buy_now(guest, "laptop-1")
        press_buy_now(guest, "laptop-1")
        shop.order("laptop-1")
        assert len(look(guest, "/orders").all("order-row")) == 2
        assert not look(Client(), "/orders").all("order-row")

    @pytest.mark.parametrize("query", ["older=x", "newer=x", "older=00000000-0000-0000-0000-000000000000"])
    def test_a_strange_address_does_no_harm(self, shop, buyer, query):
        assert look(buyer, f"/orders?{query}").status == 200
