"""Invoices and credit notes in the admin."""

import pytest
from django.urls import reverse

from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.operations.tests.admin.test_stories import in_order, order_page, read, words
from marketplace.paper.testing import pages
from orders import services
from orders.invoicing import selectors
from orders.models import Order

INVOICES, NOTES = "/admin/orders/invoice/", "/admin/orders/creditnote/"


@pytest.fixture
def cancelled(shop):
    order = shop.bought("laptop-1", 2)
    services.cancel(order.id, actor="user-1", now=database_now())
    shop.work()
    return shop.now(order)


def pdf(reply):
    assert (reply.status_code, reply["Content-Type"]) == (200, "application/pdf")
    return "\n".join(page.text for page in pages(reply.content))


def test_the_orders_page_has_its_papers(shop, staff, cancelled):
    [note] = selectors.credit_notes(cancelled.id)
    text = order_page(staff, cancelled)
    in_order(text, "Papers", cancelled.papers.invoice, "2598.00 EUR", note.number, "−2598.00 EUR", "cancelled_by_buyer")
    assert "Papers" not in order_page(staff, shop.order("laptop-1"))


def test_an_invoices_page(staff, cancelled):
    text = read(staff, "orders_invoice_change", cancelled.id)
    in_order(
        text, f"Invoice {cancelled.papers.invoice}", f"order {cancelled.number}", "All of it is credited.", "Lines",
        "The laptop-1", "2598.00 EUR", "414.81 EUR at 19 %", "Marketplace Demo GmbH, Musterstraße 1, 10115 Berlin, DE",
    )  # fmt: skip


def test_the_files_are_in_the_buyers_language(staff, shop, cancelled):
    Order.objects.filter(pk=cancelled.id).update(language="de")
    assert "Rechnung" in pdf(staff.get(reverse("admin:orders_invoice_pdf", args=[cancelled.id])))
    [number] = cancelled.papers.credit_notes
    assert number in pdf(staff.get(reverse("admin:orders_creditnote_pdf", args=[cancelled.id, number])))
    for name, *arguments in (
        ("orders_creditnote_pdf", cancelled.id, "CN-1"),
        ("orders_invoice_pdf", shop.order("laptop-1").id),
        ("orders_invoice_pdf", new_id()),
    ):
        assert staff.get(reverse(f"admin:{name}", args=arguments)).status_code == 404


def test_only_who_may_see_them_gets_the_files(clerk, cancelled):
    [number] = cancelled.papers.credit_notes
    assert clerk.get(reverse("admin:orders_invoice_pdf", args=[cancelled.id])).status_code == 403
    assert clerk.get(reverse("admin:orders_creditnote_pdf", args=[cancelled.id, number])).status_code == 403


@pytest.mark.parametrize("address", [INVOICES, NOTES])
def test_the_lists_find_by_number_and_order(staff, shop, cancelled, address):
    other = shop.bought("laptop-1")
    services.cancel(other.id, actor="user-1", now=database_now())
    shop.work()
    number = cancelled.papers.invoice if address == INVOICES else cancelled.papers.credit_notes[0]
    for term in (
        number,
        cancelled.number,
        cancelled.number.lower(),
        str(cancelled.id),
        cancelled.number.removeprefix("M-"),
    ):
        text = words(staff.get(address, {"q": term}))
        assert cancelled.number in text, term
        assert other.number not in text, term
    for term in ("nonsense", "2026-", "9" * 30, "CN-2026-99999999999999999999"):
        assert cancelled.number not in words(staff.get(address, {"q": term})), term
