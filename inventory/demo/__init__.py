"""A demo shop: six shelves of things that could exist, with pictures, a few nearly gone and one sold out."""

from datetime import datetime
from typing import Final

from django.db import transaction

from inventory.demo.catalogue import SHELVES
from inventory.locks import lock_stock
from inventory.models import Category, LedgerEntry, Product, Stock
from inventory.services import receive

CURRENCY: Final = "EUR"


@transaction.atomic
def load(*, now: datetime) -> int:
    """Put the demo shop on the shelves; return how many products are new. Its own transaction.

    Safe to run again, also at the same time: what exists stays as it is, with what people have changed or bought since.
    Stock comes in through `receive`, so the ledger adds up.
    """
    Category.objects.bulk_create(
        [
            Category(slug=shelf.slug, name=shelf.name, position=place)
            for place, shelf in enumerate(SHELVES.values(), start=1)
        ],
        ignore_conflicts=True,
    )
    categories = {category.slug: category for category in Category.objects.all()}
    items = {item.sku: (item, categories[shelf.slug]) for shelf in SHELVES.values() for item in shelf.items}
    before = Product.objects.filter(sku__in=items).count()
    Product.objects.bulk_create(
        [
            Product(
                sku=item.sku,
                name=item.name,
                description=item.description,
                category=category,
                price_minor=item.price_minor,
                currency=CURRENCY,
                image=f"shop/products/{item.sku}.svg",
                weight_grams=item.weight_grams,
            )
            for item, category in items.values()
        ],
        ignore_conflicts=True,
    )
    Stock.objects.bulk_create([Stock(product_id=sku) for sku in items], ignore_conflicts=True)
    lock_stock(items)  # whoever loads at the same time waits here, and then finds the deliveries in the ledger
    delivered = set(LedgerEntry.objects.filter(sku__in=items).values_list("sku", flat=True))
    for sku, (item, _) in items.items():
        if item.units and sku not in delivered:
            receive(sku=sku, quantity=item.units, now=now, actor="", reason="first delivery of the demo shop")
    return len(items) - before
