from uuid import UUID

import pytest
from django.db import connection, transaction

from inventory.errors import UnknownProduct
from inventory.models import Category, Product, Reservation
from inventory.selectors import (
    BEFORE_ALL,
    CategoryView,
    Discrepancy,
    HoldView,
    ProductView,
    categories,
    held_owners,
    holds_ending,
    holds_of,
    product_by_sku,
    product_window,
    products,
    stock_discrepancies,
)
from inventory.services import extend, release, reserve
from inventory.tests.books import EXPIRY, later, sell, wants
from marketplace.kernel.ids import new_id
from marketplace.kernel.pagination import Window

pytestmark = pytest.mark.django_db


def skus(found):
    return [product.sku for product in found]


# --- the catalogue ----------------------------------------------------------------------------------------------------


def test_a_product_comes_with_its_shelf_and_its_live_availability(stocked, now, django_assert_num_queries):
    product = stocked("lamp", 5, name="Oak lamp", description="Warm light.", image="shop/products/lamp.svg")
    with transaction.atomic():
        reserve([wants(("lamp", 2))], now=now)
    with django_assert_num_queries(1):
        assert product_by_sku("lamp") == ProductView(
            id=product.id,
            sku="lamp",
            name="Oak lamp",
            description="Warm light.",
            category="Home",
            category_slug="home",
            price_minor=4900,
            currency="EUR",
            available=3,
            image="shop/products/lamp.svg",
            is_active=True,
            weight_grams=0,
        )


@pytest.mark.parametrize("sku", ["no-such-thing", "", "LAMP", "lamp ", "lamp\n", "lamp\x00", "../lamp", "l" * 65])
def test_an_unknown_sku_is_told(stocked, sku):
    stocked("lamp", 5)
    with pytest.raises(UnknownProduct) as refusal:
        product_by_sku(sku)
    assert refusal.value.code == "unknown_sku"
    assert refusal.value.data == {"sku": sku}


@pytest.fixture
def shop(stocked):
    """Two shelves, of which the second in the alphabet is the first in the shop; one product is off sale."""
    stocked("lamp", 5, name="Desk lamp", description="For long evenings.")
    stocked("rug", name="Woollen rug", description="Soft underfoot, 100% wool.")
    stocked("pan", 2, name="Iron pan", description="Heavy and fair.", category="kitchen")
    stocked("old-pan", 1, name="Old pan", category="kitchen", is_active=False)
    Category.objects.filter(slug="home").update(position=1)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["pan", "lamp", "rug"]),
        ({"active_only": False}, ["pan", "old-pan", "lamp", "rug"]),
        ({"category": "home"}, ["lamp", "rug"]),
        ({"category": "Home"}, []),
        ({"category": "garden"}, []),
        ({"skus": ["rug", "pan", "no-such-thing"]}, ["pan", "rug"]),
        ({"skus": ["old-pan"]}, []),
        ({"skus": ["old-pan"], "active_only": False}, ["old-pan"]),
        ({"skus": ["rug", "pan"], "category": "home"}, ["rug"]),
        ({"search": "PAN"}, ["pan"]),
        ({"search": "desk evening"}, ["lamp"]),
        ({"search": "desk wool"}, []),
        ({"search": "kitchen"}, ["pan"]),
        ({"search": "100%"}, ["rug"]),
        ({"search": "%"}, ["rug"]),
        ({"search": "_"}, []),
        ({"search": "   "}, ["pan", "lamp", "rug"]),
        ({"search": "'; DROP TABLE inventory_product; --"}, []),
    ],
)
def test_filters_narrow_the_shelves_in_one_query(shop, filters, expected, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert skus(products(**filters)) == expected


def test_products_are_found_by_their_ids(shop):
    rug = Product.objects.get(sku="rug")
    assert skus(products(ids=[rug.id, new_id()])) == ["rug"]


def test_none_of_nothing_asks_the_database_nothing(shop, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert products(ids=[]) == products(skus=[]) == []


def test_a_product_without_stock_has_none(shop):
    assert {product.sku: product.available for product in products()} == {"lamp": 5, "rug": 0, "pan": 2}


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(10), ["lamp", "pan", "rug"]),
        (Window(2), ["lamp", "pan"]),
        (Window(2, "pan"), ["rug"]),
        (Window(2, "rug"), []),
        (Window(2, "rug", backwards=True), ["pan", "lamp"]),
        (Window(1, "rug", backwards=True), ["pan"]),
    ],
)
def test_a_window_goes_by_sku_both_ways(shop, window, expected, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert skus(product_window(window)) == expected


def test_a_window_takes_the_same_filters(shop):
    assert skus(product_window(Window(10), category="home", search="wool", skus=["rug", "lamp"])) == ["rug"]


def test_shelves_that_have_something_for_sale_in_the_order_of_the_shop(shop):
    Category.objects.create(slug="garden", name="Garden")
    assert categories() == [CategoryView("kitchen", "Kitchen"), CategoryView("home", "Home")]


# --- holds ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def held(stocked, now) -> dict[str, UUID]:
    """Owners whose holds lapse one after the other, and some that don't hold any more."""
    stocked("lamp", 50)
    stocked("mug", 50)
    lines = ("mug", 1), ("lamp", 2)
    requests = {
        "third": wants(*lines, expires_at=later(3)),
        "first": wants(*lines, expires_at=later(1)),
        "second": wants(*lines, expires_at=later(2)),
        "sold": wants(*lines, expires_at=later(1)),
        "released": wants(*lines, expires_at=later(1)),
    }
    owners = {name: request.owner_id for name, request in requests.items()}
    with transaction.atomic():
        reserve(list(requests.values()), now=now)
        sell([owners["sold"]], now=now)
        release([owners["released"]], now=now)
    return owners


@pytest.mark.core
def test_holds_past_their_time_the_longest_overdue_first(held, django_assert_num_queries):
    def past(now, *, limit=10, after=BEFORE_ALL):
        return [owner_id for _, owner_id in holds_ending(after=after, until=now, limit=limit)]

    assert past(EXPIRY) == []
    assert past(later(1)) == [held["first"]]
    with django_assert_num_queries(1):
        assert past(later(3)) == [held["first"], held["second"], held["third"]]
    assert past(later(3), limit=2) == [held["first"], held["second"]]
    assert past(later(3), after=(later(2), held["second"])) == [held["third"]]
    with transaction.atomic():
        extend([held["first"]], until=later(9))
    assert past(later(3)) == [held["second"], held["third"]]


def test_what_an_owner_holds(held):
    assert holds_of(held["sold"]) == [
        HoldView("lamp", 2, "COMMITTED", later(1)),
        HoldView("mug", 1, "COMMITTED", later(1)),
    ]
    assert holds_of(new_id()) == []


def test_live_holds_for_the_auditor(held, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert held_owners() == sorted(held[name] for name in ("first", "second", "third"))


# --- the audit --------------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_books_that_agree(held, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert stock_discrepancies() == []


def tamper(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_units_that_left_without_an_entry_are_noticed(held):
    tamper("UPDATE inventory_stock SET available = available - 4, on_hand = on_hand - 4 WHERE sku = 'mug'")
    assert stock_discrepancies() == [
        Discrepancy("mug", "available", found=42, source="ledger", expected=46),
        Discrepancy("mug", "on_hand", found=45, source="ledger", expected=49),
    ]


def test_units_reserved_for_nobody_are_noticed(held):
    Reservation.objects.filter(owner_id=held["first"], sku="lamp").delete()
    assert stock_discrepancies() == [Discrepancy("lamp", "reserved", found=6, source="reservations", expected=4)]


def test_a_hold_and_an_entry_on_what_is_not_stocked_are_noticed(held):
    tamper(
        "INSERT INTO inventory_reservation (id, owner_id, sku, quantity, state, expires_at)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 'ghost', 3, 'HELD', now())"
    )
    tamper(
        "INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, reason, actor)"
        " VALUES ('spirit', 'ADJUST', 2, 0, '', '')"
    )
    assert stock_discrepancies() == [
        Discrepancy("ghost", "reserved", found=0, source="reservations", expected=3),
        Discrepancy("spirit", "available", found=0, source="ledger", expected=2),
        Discrepancy("spirit", "on_hand", found=0, source="ledger", expected=2),
    ]


def test_levels_that_no_constraint_guards_any_more_are_noticed(held):
    tamper(
        "SET CONSTRAINTS ALL IMMEDIATE;"
        " ALTER TABLE inventory_stock DROP CONSTRAINT inventory_stock_adds_up,"
        " DROP CONSTRAINT inventory_stock_available_not_negative"
    )
    tamper("UPDATE inventory_stock SET available = -1 WHERE sku = 'lamp'")
    assert [(found.level, found.source, found.found) for found in stock_discrepancies()] == [
        ("available", "ledger", -1),
        ("on_hand", "levels", 48),
        ("available", "never negative", -1),
    ]
