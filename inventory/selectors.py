"""Reading the catalogue and the stock. Nothing here locks, so a number may be old by the time it is read."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce

from inventory.errors import UnknownProduct
from inventory.models import SKU_PATTERN, Product, Reservation
from marketplace.kernel.pagination import Window


@dataclass(frozen=True, slots=True)
class ProductView:
    """A product as the rest of the system sees it. `category` is the shelf's name, `image` a static path."""

    id: UUID
    sku: str
    name: str
    description: str
    category: str
    category_slug: str
    price_minor: int
    currency: str
    available: int
    image: str
    weight_grams: int
    is_active: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """What an order needs to know of a product: what it is called now, and what it costs now."""

    id: UUID
    sku: str
    name: str
    price_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class CategoryView:
    """A shelf of the shop."""

    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class HoldView:
    """One line of what an owner holds or held."""

    sku: str
    quantity: int
    state: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A SKU whose books disagree: its stock row says `found` for `level`, while `source` adds up to `expected`."""

    sku: str
    level: str
    found: int
    source: str
    expected: int


_VIEW: Final[dict[str, Any]] = {
    "category_name": F("category__name"),
    "category_slug": F("category__slug"),
    "available": Coalesce(F("stock__available"), 0),
}
_PLAIN: Final = ("id", "sku", "name", "description", "price_minor", "currency", "image", "weight_grams", "is_active")


def _rows(
    *,
    skus: Collection[str] | None,
    ids: Collection[UUID] | None = None,
    category: str | None,
    search: str | None,
    active_only: bool,
) -> QuerySet[Product, dict[str, Any]]:
    rows = Product.objects.all()
    if active_only:
        rows = rows.filter(is_active=True)
    if skus is not None:
        rows = rows.filter(sku__in=skus)
    if ids is not None:
        rows = rows.filter(id__in=ids)
    if category is not None:
        rows = rows.filter(category__slug=category)
    for word in (search or "").split():
        rows = rows.filter(Q(name__icontains=word) | Q(description__icontains=word) | Q(category__name__icontains=word))
    view: QuerySet[Product, dict[str, Any]] = rows.values(*_PLAIN, **_VIEW)
    return view


def _view(row: dict[str, Any]) -> ProductView:
    values = {name: row[name] for name in _PLAIN}
    return ProductView(
        **values, category=row["category_name"], category_slug=row["category_slug"], available=row["available"]
    )


def products(
    *,
    skus: Collection[str] | None = None,
    ids: Collection[UUID] | None = None,
    category: str | None = None,
    search: str | None = None,
    active_only: bool = True,
) -> list[ProductView]:
    """Return the products that match every filter given, shelf by shelf and by name, with their live availability.

    `category` is a slug. `search` finds products that have each of its words in their name, description or category.
    What is no longer for sale is left out unless `active_only` is false. Unknown SKUs and ids are simply missing from
    the answer. One query.
    """
    rows = _rows(skus=skus, ids=ids, category=category, search=search, active_only=active_only)
    return [_view(row) for row in rows.order_by("category__position", "category__slug", "name", "sku")]


def offers(*, skus: Collection[str], ids: Collection[UUID]) -> list[Offer]:
    """Return what is for sale of `skus` and `ids`; what is not, is missing from the answer. One query.

    By hand, because every order waits for it: to write this query anew takes the ORM longer than to run it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, sku, name, price_minor, currency FROM inventory_product"
            " WHERE is_active AND (sku = ANY(%s) OR id = ANY(%s::uuid[]))",
            [list(skus), list(ids)],
        )
        return [Offer(*row) for row in cursor.fetchall()]


def weights(skus: Collection[str]) -> dict[str, int]:
    """How many grams one unit of each of these weighs, also of what is no longer for sale. One query."""
    return dict(Product.objects.filter(sku__in=list(skus)).values_list("sku", "weight_grams"))


def product_window(
    window: Window, *, skus: Collection[str] | None = None, category: str | None = None, search: str | None = None
) -> list[ProductView]:
    """Return one window of what is for sale, in the order of the SKUs; filters as in `products`. One query."""
    rows = _rows(skus=skus, category=category, search=search, active_only=True)
    if window.position is not None:
        rows = rows.filter(sku__lt=window.position) if window.backwards else rows.filter(sku__gt=window.position)
    return [_view(row) for row in rows.order_by("-sku" if window.backwards else "sku")[: window.limit]]


def product_by_sku(sku: str) -> ProductView:
    """Return the product that is for sale as `sku`; raises `UnknownProduct` (also for what can't be a SKU at all)."""
    found = products(skus=[sku]) if re.match(SKU_PATTERN, sku) else []
    if not found:
        raise UnknownProduct(sku=sku)
    return found[0]


def categories() -> list[CategoryView]:
    """Return the shelves that have something for sale, in the shop's order."""
    rows = (
        Product.objects.filter(is_active=True)
        .order_by("category__position", "category__slug")
        .values_list("category__slug", "category__name")
        .distinct()
    )
    return [CategoryView(slug, name) for slug, name in rows]


BEFORE_ALL: Final = (datetime.min.replace(tzinfo=UTC), UUID(int=0))


def holds_ending(*, after: tuple[datetime, UUID], until: datetime, limit: int) -> list[tuple[datetime, UUID]]:
    """Return at most `limit` live holds that end after `after` and up to `until`, as (end, owner), the next one first.

    The last one is the `after` of the next chunk, `BEFORE_ALL` that of the first. A hold stays on this list until it is
    released, expired, sold or extended. One query, off the index of live holds by their end.
    """
    end, owner = after
    rows = (
        Reservation.objects.filter(state=Reservation.State.HELD, expires_at__gte=end, expires_at__lte=until)
        .exclude(expires_at=end, owner_id__lte=owner)
        .order_by("expires_at", "owner_id")
        .values_list("expires_at", "owner_id")
        .distinct()[:limit]
    )
    return list(rows)


def holds_of(owner_id: UUID) -> list[HoldView]:
    """Return what `owner_id` holds or held, by SKU; empty when it never held anything."""
    rows = Reservation.objects.filter(owner_id=owner_id).order_by("sku")
    return [HoldView(*row) for row in rows.values_list("sku", "quantity", "state", "expires_at")]


def held_owners() -> list[UUID]:
    """Return every owner with a live hold, for the auditor."""
    rows = Reservation.objects.filter(state=Reservation.State.HELD).order_by("owner_id")
    return list(rows.values_list("owner_id", flat=True).distinct())


# One statement, so one snapshot: the books are compared as they stood at a single instant, while the shop goes on.
_AUDIT: Final = """
WITH ledger AS (
    SELECT sku, sum(available_delta) AS available, sum(reserved_delta) AS reserved FROM inventory_ledger GROUP BY sku
), holds AS (
    SELECT sku, sum(quantity) AS reserved FROM inventory_reservation WHERE state = 'HELD' GROUP BY sku
), books AS (
    SELECT sku, coalesce(s.available, 0) AS available, coalesce(s.reserved, 0) AS reserved,
           coalesce(s.on_hand, 0) AS on_hand, coalesce(l.available, 0) AS ledger_available,
           coalesce(l.reserved, 0) AS ledger_reserved, coalesce(h.reserved, 0) AS holds_reserved
    FROM inventory_stock AS s FULL JOIN ledger AS l USING (sku) FULL JOIN holds AS h USING (sku)
)
SELECT sku, c.level, c.found, c.source, c.expected
FROM books CROSS JOIN LATERAL (VALUES
    ('available', available, 'ledger', ledger_available, available = ledger_available),
    ('reserved', reserved, 'ledger', ledger_reserved, reserved = ledger_reserved),
    ('on_hand', on_hand, 'ledger', ledger_available + ledger_reserved, on_hand = ledger_available + ledger_reserved),
    ('reserved', reserved, 'reservations', holds_reserved, reserved = holds_reserved),
    ('on_hand', on_hand, 'levels', available + reserved, on_hand = available + reserved),
    ('available', available, 'never negative', 0, available >= 0),
    ('reserved', reserved, 'never negative', 0, reserved >= 0)
) AS c (level, found, source, expected, agrees)
WHERE NOT c.agrees ORDER BY sku, c.source, c.level
"""


def stock_discrepancies() -> list[Discrepancy]:
    """Return every place where levels, ledger and live reservations disagree, or a level is negative; empty is good.

    Reads the whole ledger once; for the auditor, not for pages.
    """
    with connection.cursor() as cursor:
        cursor.execute(_AUDIT)
        return [
            Discrepancy(sku, level, int(found), source, int(expected))
            for sku, level, found, source, expected in cursor.fetchall()
        ]
