"""Stock: levels, who holds units now, and the ledger of every unit that ever moved."""

from typing import Any, Final

from django.contrib import admin
from django.db.models import CharField, Model, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from inventory.models import LedgerEntry, Reservation, Stock
from marketplace.operations import wording
from marketplace.operations.admin.base import (
    EndlessAdmin,
    StoryAdmin,
    age,
    as_uuid,
    order_link,
    order_number,
)
from marketplace.operations.admin.filters import RunsLow
from orders.models import Order
from orders.numbers import typed

MOST_HOLDS: Final = 100
MOST_ENTRIES: Final = 50


@admin.register(Stock)
class StockAdmin(StoryAdmin):
    """Read-only: levels, ledger and holds move together or not at all. Deliveries and counts start at the product."""

    story_template = "operations/stock.html"
    list_display = ("sku", "product", "available", "reserved", "on_hand", "low_at")
    list_display_links = ("sku",)
    list_filter = (RunsLow,)
    search_fields = ("product__sku", "product__name")
    ordering = ("product_id",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Stock]":
        """With the product of each."""
        rows: QuerySet[Stock] = super().get_queryset(request)
        return rows.select_related("product")

    @display(description="low at", ordering="product__low_stock_at")
    def low_at(self, stock: Stock) -> int:
        """With so many available or fewer it runs low."""
        return stock.product.low_stock_at

    @display(description="SKU", ordering="product_id")
    def sku(self, stock: Stock) -> str:
        """The SKU."""
        return stock.sku

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The levels, who holds units now, and the newest movements."""
        assert isinstance(obj, Stock)  # noqa: S101 - for the type checker
        status = Subquery(Order.objects.filter(pk=OuterRef("owner_id")).values("status")[:1], output_field=CharField())
        held = Reservation.objects.filter(sku=obj.sku, state=Reservation.State.HELD).order_by("created_at")
        entries = LedgerEntry.objects.filter(sku=obj.sku).order_by("-id")
        return {
            "stock": obj,
            "holds": list(held.annotate(order_number=order_number("owner_id"), order_status=status)[:MOST_HOLDS]),
            "most": MOST_HOLDS,
            "entries": list(entries.annotate(order_number=order_number("owner_id"))[:MOST_ENTRIES]),
            "may_move": request.user.has_perm("inventory.change_stock"),
        }


class OfOrders(EndlessAdmin):
    """Rows that name an order by `owner_id` and a product by `sku`."""

    search_fields = ("sku",)  # what is really looked for is in get_search_results
    search_help_text = "SKU, order number or order id: in full"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """Add the order's number, for the page that is shown."""
        rows: QuerySet[Any] = super().get_queryset(request).annotate(order_number=order_number("owner_id"))
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> tuple["QuerySet[Any]", bool]:
        """Find by product or by order."""
        term = search_term.strip()
        if not term:
            return queryset, False
        identity = as_uuid(term)
        if identity is not None:
            return queryset.filter(owner_id=identity), False
        number = typed(term)
        return queryset.filter(Q(sku=term) | Q(owner_id__in=Order.objects.filter(number=number).values("pk"))), False

    @display(description="order")
    def order(self, row: Any) -> SafeString | str:
        """The order it is about."""
        return order_link(row.owner_id, row.order_number)


@admin.register(LedgerEntry)
class LedgerAdmin(OfOrders):
    """Read-only, and the database refuses changes too."""

    list_display = ("when", "sku", "kind_label", "available_change", "held_change", "order", "actor", "reason")
    list_filter = ("kind",)
    ordering = ("-id",)
    fields = ("id", "sku", "kind", "available_delta", "reserved_delta", "owner_id", "reason", "actor", "created_at")

    @display(description="when")
    def when(self, entry: LedgerEntry) -> SafeString | str:
        """How long ago."""
        return age(entry.created_at)

    @display(
        description="what",
        label={
            "received": "success",
            "back in stock": "success",
            "reserved": "info",
            "sold": "info",
            "adjusted": "warning",
        },
    )
    def kind_label(self, entry: LedgerEntry) -> str:
        """What kind of movement it was."""
        return entry.get_kind_display()

    @display(description="available")
    def available_change(self, entry: LedgerEntry) -> str:
        """By how much what is available changed."""
        return f"{entry.available_delta:+d}" if entry.available_delta else "0"

    @display(description="held")
    def held_change(self, entry: LedgerEntry) -> str:
        """By how much what is held changed."""
        return f"{entry.reserved_delta:+d}" if entry.reserved_delta else "0"


@admin.register(Reservation)
class ReservationAdmin(OfOrders):
    """Read-only: a hold moves by compare-and-set, so that a unit is released exactly once."""

    list_display = ("made", "order", "sku", "quantity", "state_label", "expires")
    list_filter = ("state",)
    ordering = ("-id",)  # ids are made in the order of time
    fields = ("id", "owner_id", "sku", "quantity", "state", "expires_at", "created_at", "updated_at")

    @display(description="made")
    def made(self, hold: Reservation) -> SafeString | str:
        """How long ago."""
        return age(hold.created_at)

    @display(description="state", ordering="state", label=dict(wording.COLOUR_OF_HOLD))
    def state_label(self, hold: Reservation) -> str:
        """The state in its colour."""
        return hold.state

    @display(description="held until")
    def expires(self, hold: Reservation) -> SafeString | str:
        """Until when, if it is held."""
        return age(hold.expires_at) if hold.state == Reservation.State.HELD else wording.NOTHING
