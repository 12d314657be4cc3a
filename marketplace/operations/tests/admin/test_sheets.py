"""The catalogue out and in as CSV, and the list of what runs low."""

import re
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from inventory.models import LedgerEntry, Product, Stock

IMPORT = "/admin/inventory/product/import/"
CHANGED = b'sku,name,description,on_hand\nlaptop-1,A better one,"two\nlines",7\n'


def upload(browser, content: bytes):
    return browser.post(IMPORT, {"sheet": SimpleUploadedFile("products.csv", content), "reason": "yearly count"})


def hidden(response) -> dict[str, str]:
    """What the page would send back."""
    page = response.content.decode()
    return {
        name: unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="(content|digest|reason)" value="([^"]*)"', page)
    }


def test_the_catalogue_comes_as_a_file(staff, shelf):
    response = staff.get("/admin/inventory/product/export/")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="products-\d{4}-\d\d-\d\d\.csv"', response["Content-Disposition"])
    lines = b"".join(response.streaming_content).decode("utf-8-sig").splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("laptop-1,")
    assert lines[1].endswith(",10")


def test_a_sheet_is_shown_first_and_then_taken_in(staff, shelf):
    response = upload(staff, CHANGED)
    page = response.content.decode()
    assert "1 changed" in page
    assert "A better one" in page
    assert "(-3)" in page
    assert Stock.objects.get().on_hand == 10
    done = staff.post(IMPORT, hidden(response), follow=True)
    assert done.redirect_chain == [("/admin/inventory/product/", 302)]
    assert "0 new, 1 changed." in done.content.decode()
    laptop = Product.objects.get()
    assert (laptop.name, laptop.description, laptop.stock.on_hand) == ("A better one", "two\nlines", 7)
    entry = LedgerEntry.objects.latest("id")
    assert (entry.actor, entry.reason, entry.available_delta) == ("staff", "yearly count", -3)
    assert "on_hand: 10 → 7" in LogEntry.objects.get().change_message


def test_what_has_changed_meanwhile_is_shown_anew(staff, shelf):
    seen = hidden(upload(staff, CHANGED))
    Product.objects.update(name="Somebody was faster")
    response = staff.post(IMPORT, seen)
    page = response.content.decode()
    assert "Nothing was changed." in page
    assert "Somebody was faster" in page
    assert Stock.objects.get().on_hand == 10
    staff.post(IMPORT, hidden(response))
    assert Product.objects.get().name == "A better one"


def test_each_bad_line_is_named_and_nothing_changes(staff, shelf):
    page = upload(staff, CHANGED + b"other,,,x\n\nlaptop-1,a,b,1\n").content.decode()
    assert "Nothing was changed" in page
    for said in ("Needed for a new product.", "Not a whole number", "was in line 2 already"):
        assert said in page
    assert 'name="digest"' not in page
    assert Product.objects.get().name != "A better one"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"nothing"])
def test_a_file_that_is_none(staff, shelf, content):
    assert 'name="digest"' not in upload(staff, content).content.decode()


@pytest.mark.parametrize("sent", [{"content": "%%%"}, {"digest": ""}, {"digest": "0" * 64}, {"reason": ""}])
def test_what_the_page_has_not_sent_changes_nothing(staff, shelf, sent):
    staff.post(IMPORT, {**hidden(upload(staff, CHANGED)), **sent})
    assert Product.objects.get().name != "A better one"


def test_only_who_may_change_everything_in_it_may_import(clerk, shelf):
    user = clerk.get("/admin/").wsgi_request.user
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_product", "change_product"]))
    assert clerk.get("/admin/inventory/product/export/").status_code == 200
    assert clerk.get(IMPORT).status_code == 403
    assert upload(clerk, CHANGED).status_code == 403


def test_what_runs_low_is_a_list(staff, shelf):
    for sku, units, fields in [("low-1", 5, {}), ("gone-1", 0, {}), ("old-1", 1, {"is_active": False})]:
        product = shelf.stocked(sku, units)
        Stock.objects.get_or_create(product=product)
        Product.objects.filter(sku=sku).update(**fields)
    link = reverse("admin:inventory_stock_changelist")
    assert f'href="{link}?low=yes"' in staff.get(link).content.decode()

    def listed(query: str) -> list[str]:
        return [row.sku for row in staff.get(link + query).context["cl"].result_list]

    assert listed("?low=yes") == ["gone-1", "low-1"]
    assert listed("?low=gone") == ["gone-1"]
    assert listed("") == ["gone-1", "laptop-1", "low-1", "old-1"]
