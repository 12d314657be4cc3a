"""What people may change: products, and stock by deliveries and counts."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.urls import reverse

from inventory.models import Category, LedgerEntry, Product, Stock
from inventory.selectors import stock_discrepancies
from marketplace.accounts.models import User


@pytest.fixture
def laptop(shelf):
    return Product.objects.get(sku="laptop-1")


def change(product) -> str:
    return reverse("admin:inventory_product_change", args=[product.pk])


def form(product, **changed):
    """The form as a browser sends it back."""
    return {
        "name": product.name,
        "description": product.description,
        "category": product.category_id,
        "price": "1299.00",
        "image": product.image,
        "weight_grams": product.weight_grams,
        "low_stock_at": product.low_stock_at,
        "is_active": "on",
        **changed,
    }


def errors(response) -> dict[str, list[str]]:
    assert response.status_code == 200
    return dict(response.context["adminform"].form.errors)


def test_a_product_is_changed(staff, laptop):
    response = staff.get(change(laptop))
    assert 'value="1299.00"' in response.content.decode()
    data = form(laptop, name="A better one", price=" 1.5 ", description="New.")
    data.pop("is_active")
    assert staff.post(change(laptop), data).status_code == 302
    laptop.refresh_from_db()
    assert (laptop.name, laptop.price_minor, laptop.description, laptop.is_active) == (
        "A better one",
        150,
        "New.",
        False,
    )


def test_the_sku_and_the_currency_stay_whatever_is_sent(staff, laptop):
    assert staff.post(change(laptop), form(laptop, sku="other-1", currency="JPY", name="Changed")).status_code == 302
    laptop.refresh_from_db()
    assert (laptop.sku, laptop.currency, laptop.name) == ("laptop-1", "EUR", "Changed")
    assert 'name="sku"' not in staff.get(change(laptop)).content.decode()


@pytest.mark.parametrize(
    "price", ["", "12.345", "-1", "1e400", "NaN", "twelve", "1,5", "Infinity", "99999999999999999999"]
)
def test_a_price_that_is_none(staff, laptop, price):
    assert set(errors(staff.post(change(laptop), form(laptop, price=price)))) == {"price"}
    laptop.refresh_from_db()
    assert laptop.price_minor == 129900


def test_a_new_product(staff, laptop):
    data = {**form(laptop), "sku": "chair-1", "name": "Chair", "currency": "jpy", "price": "500"}
    response = staff.post(reverse("admin:inventory_product_add"), data)
    assert response.status_code == 302, errors(response)
    chair = Product.objects.get(sku="chair-1")
    assert (chair.currency, chair.price_minor) == ("JPY", 500)
    assert not Stock.objects.filter(product=chair).exists()


@pytest.mark.parametrize(
    ("field", "value"), [("sku", "Chair 1"), ("sku", "laptop-1"), ("currency", "E1R"), ("name", ""), ("category", "")]
)
def test_a_new_product_that_is_none(staff, laptop, field, value):
    data = {**form(laptop), "sku": "chair-1", "name": "Chair", "currency": "EUR", field: value}
    assert field in errors(staff.post(reverse("admin:inventory_product_add"), data))
    assert Product.objects.count() == 1


def test_a_shelf_with_products_can_not_be_taken_away(staff, laptop):
    shelf = Category.objects.get()
    staff.post(reverse("admin:inventory_category_delete", args=[shelf.pk]), {"post": "yes"})
    assert Category.objects.filter(pk=shelf.pk).exists()


def move(what, product) -> str:
    return reverse(f"admin:inventory_product_{what}", args=[product.pk])


def test_a_delivery(staff, laptop):
    assert "Receive units" in staff.get(change(laptop)).content.decode()
    response = staff.post(move("receive", laptop), {"units": "5", "reason": "delivery 4711"}, follow=True)
    assert response.redirect_chain == [("/admin/inventory/stock/laptop-1/change/", 302)]
    assert "5 units of laptop-1 came in." in response.content.decode()
    stock = Stock.objects.get()
    assert (stock.available, stock.on_hand) == (15, 15)
    entry = LedgerEntry.objects.latest("id")
    assert (entry.kind, entry.available_delta, entry.actor, entry.reason) == ("RECEIVE", 5, "staff", "delivery 4711")
    assert LogEntry.objects.get().change_message == "5 units of laptop-1 came in. delivery 4711"
    assert stock_discrepancies() == []


def test_the_first_delivery_of_a_new_product(shelf, staff):
    product = shelf.stocked("new-1", 0)
    assert staff.get(move("levels", product), follow=True).redirect_chain == [(change(product), 302)]
    staff.post(move("receive", product), {"units": "1", "reason": "first"})
    assert Stock.objects.get(product=product).available == 1
    assert staff.get(move("levels", product))["Location"] == "/admin/inventory/stock/new-1/change/"


def test_a_count(staff, laptop):
    page = staff.get(move("count", laptop)).content.decode()
    assert 'name="believed" value="10"' in page
    counted = {"units": "9", "believed": "10", "reason": "yearly count"}
    response = staff.post(move("count", laptop), counted, follow=True)
    assert "The stock of laptop-1 was corrected by -1." in response.content.decode()
    assert Stock.objects.get().on_hand == 9
    again = staff.post(move("count", laptop), counted)  # a second click, or a count that was overtaken
    assert "Units have come or gone since the count began." in again.content.decode()
    assert Stock.objects.get().on_hand == 9


def test_what_was_found_or_lost(staff, laptop):
    staff.post(move("adjust", laptop), {"units": "-3", "reason": "broken"})
    staff.post(move("adjust", laptop), {"units": "1", "reason": "found"})
    assert Stock.objects.get().available == 8
    assert stock_discrepancies() == []


@pytest.mark.parametrize(
    ("what", "data", "field"),
    [
        ("receive", {"units": "5"}, "reason"),
        ("receive", {"units": "5", "reason": "   "}, "reason"),
        ("receive", {"units": "5", "reason": "x" * 201}, "reason"),
        ("receive", {"units": "0", "reason": "why"}, "units"),
        ("receive", {"units": "-5", "reason": "why"}, "units"),
        ("receive", {"units": "1000001", "reason": "why"}, "units"),
        ("receive", {"units": "1.5", "reason": "why"}, "units"),
        ("receive", {"units": "", "reason": "why"}, "units"),
        ("adjust", {"units": "0", "reason": "why"}, "units"),
        ("adjust", {"units": "-11", "reason": "why"}, "units"),
        ("adjust", {"units": "5"}, "reason"),
    ],
)
def test_a_movement_that_is_none(staff, laptop, what, data, field):
    response = staff.post(move(what, laptop), data)
    assert response.status_code == 200
    assert set(response.context["form"].errors) == {field}
    assert Stock.objects.get().available == 10
    assert LedgerEntry.objects.count() == 1


def test_held_units_can_not_be_counted_away(shelf, staff, laptop):
    shelf.bought("laptop-1", 8, token="")
    response = staff.post(move("adjust", laptop), {"units": "-3", "reason": "lost"})
    assert "There are 2." in response.content.decode()
    stock = Stock.objects.get()
    assert (stock.available, stock.reserved) == (2, 8)


def test_looking_moves_nothing(staff, laptop):
    assert staff.get(move("receive", laptop), {"units": "5", "reason": "x"}).status_code == 200
    assert LedgerEntry.objects.count() == 1


@pytest.mark.parametrize("what", ["receive", "adjust"])
def test_who_may_only_look_may_not_move(clerk, laptop, what):
    user = User.objects.get(username="clerk")
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_product", "view_stock", "change_product"]))
    assert clerk.post(move(what, laptop), {"units": "5", "reason": "x"}).status_code == 403
    assert clerk.get(move(what, laptop)).status_code == 403
    page = clerk.get("/admin/inventory/stock/laptop-1/change/").content.decode()
    assert "Receive units" not in page
    assert LedgerEntry.objects.count() == 1


def test_who_may_only_look_sees_the_price_too(clerk, laptop):
    User.objects.get(username="clerk").user_permissions.set(Permission.objects.filter(codename="view_product"))
    html = clerk.get(change(laptop)).content.decode()
    assert "1299.00 EUR" in html
    assert 'name="_save"' not in html
    assert clerk.post(change(laptop), form(laptop, name="Mine")).status_code == 403


def test_a_product_that_is_not_there(staff, db):
    for what in ("receive", "adjust", "levels"):
        for key in ("01000000-0000-7000-8000-000000000000", "nonsense"):
            assert staff.get(f"/admin/inventory/product/{key}/{what}/").status_code == 404
