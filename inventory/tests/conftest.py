from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from inventory.models import Category, Product
from inventory.services import receive

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def stocked(db: None) -> Callable[..., Product]:
    """Make a product with so many units in stock: `stocked("lamp", 5)`."""

    def make(sku: str, units: int = 0, *, category: str = "home", **fields: object) -> Product:
        shelf, _ = Category.objects.get_or_create(slug=category, defaults={"name": category.capitalize()})
        values = {"name": sku.capitalize(), "price_minor": 4900, "currency": "EUR"} | fields
        product = Product.objects.create(sku=sku, category=shelf, **values)
        if units:
            receive(sku=sku, quantity=units, now=NOW, actor="tests", reason="delivery")
        return product

    return make
