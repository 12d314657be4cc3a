import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.contrib.staticfiles import finders
from django.db import connection, transaction

from inventory.demo import load
from inventory.demo.catalogue import SHELVES
from inventory.models import Category, LedgerEntry, Product, Stock
from inventory.selectors import product_by_sku, products, stock_discrepancies
from inventory.services import reserve
from inventory.tests.books import levels, sell, wants

ITEMS = [item for shelf in SHELVES.values() for item in shelf.items]


@pytest.mark.django_db
def test_the_demo_shop_is_on_its_shelves_and_the_ledger_adds_up(now):
    assert load(now=now) == len(ITEMS) == 36
    assert Category.objects.count() == 6
    assert LedgerEntry.objects.filter(kind="RECEIVE").count() == LedgerEntry.objects.count() == 35
    assert stock_discrepancies() == []
    for item in ITEMS:
        assert Stock.objects.get(pk=item.sku).available == item.units
    laptop = product_by_sku("laptop-1")
    assert (laptop.available, laptop.price_minor, laptop.currency, laptop.category) == (25, 129900, "EUR", "Computers")
    assert [product.category_slug for product in products()][::6] == list(SHELVES)


@pytest.mark.django_db
def test_loading_again_changes_nothing_not_even_what_people_did_since(now):
    load(now=now)
    request = wants(("laptop-1", 2))
    with transaction.atomic():
        reserve([request], now=now)
        sell([request.owner_id], now=now)
    Product.objects.filter(sku="laptop-1").update(price_minor=99900, is_active=False)
    Category.objects.filter(slug="audio").update(name="Sound")
    before = (Product.objects.count(), LedgerEntry.objects.count())
    assert load(now=now) == 0
    assert (Product.objects.count(), LedgerEntry.objects.count()) == before
    assert levels("laptop-1") == (23, 23, 0)
    assert Product.objects.get(sku="laptop-1").price_minor == 99900
    assert Category.objects.get(slug="audio").name == "Sound"


@pytest.mark.django_db
def test_only_what_is_missing_is_added(now, stocked):
    stocked("lamp-1", 2, category="home", name="Our own lamp")
    assert load(now=now) == 35
    assert levels("lamp-1") == (2, 2, 0)
    assert product_by_sku("lamp-1").name == "Our own lamp"


@pytest.mark.django_db(transaction=True)
def test_two_that_load_at_once_bring_one_delivery(now):
    def run(_: int) -> int:
        try:
            return load(now=now)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    assert LedgerEntry.objects.count() == 35
    assert levels("laptop-1") == (25, 25, 0)


def test_some_are_nearly_gone_and_exactly_one_is_sold_out():
    units = Counter(item.units for item in ITEMS)
    assert units[0] == 1
    assert sum(units[few] for few in (1, 2, 3)) >= 4


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.sku)
def test_each_product_is_told_in_a_few_sentences_and_has_a_picture_of_its_own(item):
    sentences = re.findall(r"[^.!?]+[.!?](?:\s|$)", item.description)
    assert 2 <= len(sentences) <= 3
    assert item.price_minor > 0
    assert item.weight_grams > 0
    path = finders.find(f"shop/products/{item.sku}.svg")
    assert path, "no picture"
    picture = ElementTree.parse(path).getroot()  # noqa: S314 (our own file)
    assert picture.get("viewBox") == "0 0 600 600"
    assert picture.get("aria-label")
    assert not picture.findall(".//{*}text")  # drawn, not written


def test_no_two_pictures_are_the_same_and_none_is_left_over():
    pictures = {path.stem: path.read_bytes() for path in Path(finders.find("shop/products")).glob("*.svg")}
    assert set(pictures) == {item.sku for item in ITEMS}
    assert len(set(pictures.values())) == len(ITEMS)
