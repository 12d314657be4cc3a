"""Invoices and credit notes over HTTP: who gets them, when, and in which language."""

import pytest
from django.test import Client

from marketplace.kernel.clock import database_now
from marketplace.paper.testing import pages
from orders import access, services
from orders.invoicing import services as invoicing
from orders.models import Order
from tests.api.test_orders import signed_in

pytestmark = pytest.mark.django_db

GUEST = ""


@pytest.fixture
def lamp(shop):
    return shop.stocked("lamp", 9, price_minor=119_000)


def text(reply):
    assert reply.status_code == 200, reply.content
    assert reply["Content-Type"] == "application/pdf"
    assert reply["Cache-Control"] == "private, no-store"
    return "\n".join(page.text for page in pages(reply.content)).replace("\xa0", " ")


def problem(reply):
    assert reply["Content-Type"] == "application/problem+json"
    return reply.status_code, reply.json()["code"]


def invoice(client, order, query="", **headers):
    return client.get(f"/api/orders/{order.id}/invoice{query}", **headers)


def test_owner_guest_and_staff_get_it_and_nobody_else(shop, lamp):
    order = shop.bought("lamp")
    number = signed_in().get(f"/api/orders/{order.id}").json()["links"]["invoice"]
    assert number == f"/api/orders/{order.id}/invoice"

    secret = {"HTTP_X_ORDER_SECRET": access.client_secret(order.id)}
    for reply in (
        invoice(signed_in(), order),
        invoice(signed_in("boss", is_staff=True), order),
        invoice(Client(), order, **secret),
    ):
        assert order.number in text(reply)
        assert "€1,190.00" in text(reply)
        assert reply["Content-Disposition"].startswith('inline; filename="invoice-20')
    for reply in (
        invoice(signed_in("user-2"), order),
        invoice(Client(), order),
        invoice(Client(), order, HTTP_X_ORDER_SECRET="os_wrong"),
    ):
        assert problem(reply) == (404, "unknown_order")


def test_there_is_none_before_the_order_is_confirmed(shop, lamp):
    order = shop.order("lamp")
    assert problem(invoice(signed_in(), order)) == (404, "not_invoiced")
    assert "invoice" not in signed_in().get(f"/api/orders/{order.id}").json()["links"]
    failed = shop.bought("lamp", token="tok_declined")
    assert problem(invoice(signed_in(), failed)) == (404, "not_invoiced")


def test_it_is_in_the_buyers_language_or_in_that_which_is_asked_for(shop, lamp):
    order = shop.bought("lamp")
    Order.objects.filter(pk=order.id).update(language="de")
    assert "1.190,00 €" in text(invoice(signed_in(), order))
    assert "€1,190.00" in text(invoice(signed_in(), order, "?locale=en-GB"))
    for tag in ("xx", "de-", "../../etc", "e" * 500, "de_DE", "d\u00e9"):
        assert problem(invoice(signed_in(), order, f"?locale={tag}")) == (400, "validation_error"), tag


@pytest.mark.parametrize("accept", ["*/*", "application/pdf", "application/json", "text/html,application/pdf;q=0.9"])
def test_whatever_a_client_accepts(shop, lamp, accept):
    order = shop.bought("lamp")
    assert order.number in text(invoice(signed_in(), order, HTTP_ACCEPT=accept))
    assert problem(invoice(signed_in("user-2"), order, HTTP_ACCEPT=accept)) == (404, "unknown_order")


def test_credit_notes(shop, lamp):
    order = shop.bought("lamp")
    client = signed_in()
    address = f"/api/orders/{order.id}/credit-notes"
    assert client.get(address).json() == {"results": []}
    now = database_now()
    invoicing.credit(order.id, amount_minor=11_900, reason="A scratch.", key="k", now=now)
    services.cancel(order.id, actor="user-1", now=now)
    shop.work()

    links = client.get(f"/api/orders/{order.id}").json()["links"]
    assert (links["creditNotes"], links["invoice"]) == (address, f"/api/orders/{order.id}/invoice")
    first, second = client.get(address).json()["results"]
    assert {name: first[name] for name in ("amount", "taxAmount", "currency", "reason")} == {
        "amount": "119.00", "taxAmount": "19.00", "currency": "EUR", "reason": "A scratch.",
    }  # fmt: skip
    assert (second["amount"], second["reason"]) == ("1071.00", "cancelled_by_buyer")
    assert "A scratch." in text(client.get(f"{address}/{first['number']}"))
    assert second["number"] in text(client.get(f"{address}/{second['number']}?locale=de"))

    assert problem(client.get(f"{address}/CN-2026-999999")) == (404, "unknown_credit_note")
    assert problem(signed_in("user-2").get(f"{address}/{first['number']}")) == (404, "unknown_order")
    other = shop.bought("lamp")
    reply = client.get(f"/api/orders/{other.id}/credit-notes/{first['number']}")
    assert problem(reply) == (404, "unknown_credit_note")


def test_the_orders_page_leads_there(shop, lamp):
    order = shop.bought("lamp")
    client = Client()
    assert client.get(f"/orders/{order.id}/invoice").status_code == 404
    session = client.session
    session["orders"] = {str(order.id): access.client_secret(order.id)}
    session.save()
    page = client.get(f"/orders/{order.id}").content.decode()
    assert f'href="/orders/{order.id}/invoice"' in page
    assert order.number in text(client.get(f"/orders/{order.id}/invoice"))
    [note] = [invoicing.credit(order.id, amount_minor=1, reason="r", key="k", now=database_now())]
    assert note.number in client.get(f"/orders/{order.id}").content.decode()
    assert note.number in text(client.get(f"/orders/{order.id}/credit-notes/{note.number}"))
