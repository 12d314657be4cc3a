"""The lists: what they show, what they find, and that a longer list asks no more questions."""

from datetime import timedelta

import pytest
from django.urls import reverse

from marketplace.kernel.clock import database_now
from marketplace.outbox.models import Unpublished
from marketplace.sagas.models import SagaInstance
from orders.models import Order
from payments.models import Payment

ORDERS = "/admin/orders/order/"
SAGAS = "/admin/sagas/sagainstance/"
PAYMENTS = "/admin/payments/payment/"
EVENTS = "/admin/outbox/outboxevent/"
HOLDS = "/admin/inventory/reservation/"
LEDGER = "/admin/inventory/ledgerentry/"
STOCK = "/admin/inventory/stock/"
PRODUCTS = "/admin/inventory/product/"


def numbers(response) -> set[str]:
    """The orders on the page."""
    html = response.content.decode()
    return {order.number for order in Order.objects.all() if order.number in html}


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        (ORDERS, 4),  # session, user, count, page; the sagas' statuses come with the page
        (SAGAS, 4),
        (PAYMENTS, 4),
        (HOLDS, 3),  # no count
        (LEDGER, 3),
        (EVENTS, 4),  # no count, and which of the page wait
        (STOCK, 4),
        (PRODUCTS, 5),  # and the categories to filter by
        ("/admin/accounts/user/", 4),
        ("/admin/idempotency/idempotencyrecord/", 3),
        ("/admin/django_celery_beat/periodictask/", 4),
    ],
)
def test_a_longer_list_asks_no_more(shop, staff, django_assert_num_queries, path, queries):
    for sku in ("a-1", "b-1", "c-1"):
        shop.stocked(sku, 5)
        shop.bought(sku, token="tok_visa")
        shop.bought(sku, token="tok_declined")
        shop.bought(sku, token="")
    with django_assert_num_queries(queries):
        assert staff.get(path).status_code == 200


def test_an_order_is_told_on_one_line(shop, staff):
    order = shop.bought("laptop-1", 2, token="tok_declined")
    html = staff.get(ORDERS).content.decode()
    for text in (order.number, "FAILED", "user-1", "2598.00 EUR", "payment_declined", "COMPENSATED", "now"):
        assert text in html


def test_a_saga_tells_its_attempt_once_there_was_more_than_one(shop, staff):
    shop.bought("laptop-1", token="tok_review")
    listed = staff.get(SAGAS).content.decode()
    assert "fraud review" in listed
    assert "attempt" not in listed.partition("<tbody")[2]
    SagaInstance.objects.update(attempt=3)
    assert "fraud review, attempt 3" in staff.get(SAGAS).content.decode()


def test_orders_are_found_by_what_people_have_in_hand(shop, staff):
    paid, other = shop.bought("laptop-1"), shop.order("laptop-1", user="user-2")
    Order.objects.filter(pk=paid.id).update(email="Ann@Example.com")
    transaction = Payment.objects.get().gateway_reference
    for term in (
        paid.number,
        paid.number.lower(),
        paid.number.removeprefix("M-"),
        str(paid.id),
        str(paid.saga_id),
        f" {paid.id} ",
        "user-1",
        "ann@example.com",
        transaction,
    ):
        assert numbers(staff.get(ORDERS, {"q": term})) == {paid.number}, term
    assert numbers(staff.get(ORDERS, {"q": "user-2"})) == {other.number}
    for term in ("nobody", "M-1", "99999999999999999999", "%", "'; DROP TABLE orders_order; --"):
        assert numbers(staff.get(ORDERS, {"q": term})) == set(), term
    assert staff.get(ORDERS, {"q": "\x00"}).status_code == 200
    assert numbers(staff.get(ORDERS, {"q": ""})) == {paid.number, other.number}


def test_orders_are_filtered(shop, staff):
    confirmed = shop.bought("laptop-1")
    declined = shop.bought("laptop-1", token="tok_declined")
    waiting, parked = shop.bought("laptop-1", token=""), shop.order("laptop-1")
    SagaInstance.objects.filter(pk=parked.saga_id).update(status="NEEDS_ATTENTION", due_at=None)
    shown = {
        "status__exact=CONFIRMED": [confirmed],
        "failure_code=payment_declined": [declined],
        "failure_code=out_of_stock": [],
        "stuck=yes": [parked],
        "stuck=unfinished": [parked, waiting],
        "created_at__gte=2000-01-01T00:00:00%2B00:00": [confirmed, declined, parked, waiting],
        "created_at__lt=2000-01-01T00:00:00%2B00:00": [],
    }
    for query, orders in shown.items():
        assert numbers(staff.get(f"{ORDERS}?{query}")) == {order.number for order in orders}, query


def test_sagas_are_filtered_and_found(shop, staff):
    done, parked = shop.bought("laptop-1"), shop.order("laptop-1")
    late, waiting = shop.order("laptop-1"), shop.order("laptop-1", token="")
    past = database_now() - timedelta(minutes=6)
    SagaInstance.objects.filter(pk=parked.saga_id).update(status="NEEDS_ATTENTION", due_at=None, attention="Help.")
    SagaInstance.objects.filter(pk=late.saga_id).update(started_at=past)
    SagaInstance.objects.filter(pk=waiting.saga_id).update(
        started_at=past, wait_until=database_now() + timedelta(minutes=9), current_step="payment_request"
    )
    shown = {
        "stuck=yes": [parked, late],
        "stuck=unfinished": [done, parked, late, waiting],  # the one that is done is being shipped
        "status__exact=COMPLETED": [done],
        "current_step=payment_request": [waiting],
        f"q={done.saga_id}": [done],
        f"q={done.id}": [done],
        f"q={done.number}": [done],
        "q=nothing": [],
    }
    for query, orders in shown.items():
        assert numbers(staff.get(f"{SAGAS}?{query}")) == {order.number for order in orders}, query
    assert "Help." in staff.get(f"{SAGAS}?stuck=yes").content.decode()


def test_payments_are_found(shop, staff):
    paid, _ = shop.bought("laptop-1"), shop.bought("laptop-1", token="tok_declined")
    row = Payment.objects.get(reference_id=paid.id)
    for term in (paid.number, str(paid.id), str(row.id), row.gateway_reference, row.authorization_key):
        assert numbers(staff.get(PAYMENTS, {"q": term})) == {paid.number}, term
    assert numbers(staff.get(f"{PAYMENTS}?status__exact=CAPTURED")) == {paid.number}
    html = staff.get(PAYMENTS).content.decode()
    assert row.gateway_reference in html
    assert "card_declined" in html


def test_events_say_whether_they_are_published(shop, staff):
    order, other = shop.bought("laptop-1"), shop.order("laptop-1")
    assert "not yet" in staff.get(EVENTS).content.decode()
    assert numbers(staff.get(f"{EVENTS}?waiting=yes")) == {order.number, other.number}
    Unpublished.objects.all().delete()
    page = staff.get(EVENTS)
    assert numbers(page) == {order.number, other.number}
    assert "not yet" not in page.content.decode()
    assert numbers(staff.get(f"{EVENTS}?waiting=yes")) == set()
    assert numbers(staff.get(EVENTS, {"q": order.number})) == {order.number}
    assert numbers(staff.get(f"{EVENTS}?topic=payment-events")) == {order.number}


def test_the_ledger_and_the_holds_name_their_orders(shop, staff):
    sold, held = shop.bought("laptop-1"), shop.bought("laptop-1", token="")
    assert numbers(staff.get(LEDGER)) == {sold.number, held.number}
    assert numbers(staff.get(LEDGER, {"q": sold.number})) == {sold.number}
    assert numbers(staff.get(LEDGER, {"q": "laptop-1"})) == {sold.number, held.number}
    assert numbers(staff.get(f"{LEDGER}?kind__exact=COMMIT")) == {sold.number}
    assert numbers(staff.get(f"{HOLDS}?state__exact=HELD")) == {held.number}
    assert reverse("admin:orders_order_change", args=[held.id]) in staff.get(HOLDS).content.decode()


def test_stock_and_products_show_their_levels(shop, staff):
    shop.bought("laptop-1", 3, token="")
    shop.stocked("gone-1", 0)
    for path in (STOCK, PRODUCTS):
        html = staff.get(path).content.decode()
        assert "laptop-1" in html
        assert ">7<" in html.replace(" ", "").replace("\n", "")
    assert "gone-1" in staff.get(PRODUCTS).content.decode()


def test_dates_that_are_none_are_forgiven(shop, staff):
    shop.order("laptop-1")
    assert staff.get(f"{ORDERS}?created_at__gte=nonsense").status_code in {200, 302}
    assert staff.get(f"{ORDERS}?p=99").status_code in {200, 302}
    assert staff.get(f"{ORDERS}?stuck=nonsense").status_code == 200
