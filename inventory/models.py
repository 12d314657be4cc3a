"""The catalogue, what is in stock, who holds it, and the ledger of every unit that ever moved.

The database keeps the promises: levels can't be negative or disagree with each other, an owner has one hold on a SKU at
most, and the ledger can't be rewritten (a trigger, in the migrations). Reservations and ledger entries name their SKU
without a foreign key: they are only ever written while that SKU's stock row is locked, and the hot path is spared a
look-up per row.
"""

from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from marketplace.kernel.ids import new_id

SKU_PATTERN = r"^[a-z0-9][a-z0-9-]{0,63}\Z"


class Category(models.Model):
    """A shelf of the shop."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=80)
    position = models.PositiveSmallIntegerField(default=0, help_text="shelves are shown in this order")

    class Meta:
        verbose_name_plural = "categories"
        ordering: ClassVar = ["position", "slug"]

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    """Something for sale. Its SKU is its name for other parts of the system and never changes."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    sku = models.CharField(
        "SKU",
        max_length=64,
        unique=True,
        validators=[RegexValidator(SKU_PATTERN, "A SKU is lower-case letters, digits and hyphens.")],
    )
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="products")
    price_minor = models.BigIntegerField("price", help_text="in minor units (cents, yen)")
    currency = models.CharField(max_length=3)
    image = models.CharField(max_length=200, blank=True, help_text="a static path, such as shop/products/laptop-1.svg")
    weight_grams = models.PositiveIntegerField(default=0)
    low_stock_at = models.PositiveIntegerField(
        "low stock at", default=5, help_text="with so many available or fewer it is on the list of what runs low"
    )
    is_active = models.BooleanField(default=True, help_text="shown in the shop, and can be ordered")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["sku"]
        constraints: ClassVar = [
            models.CheckConstraint(name="inventory_product_price_not_negative", condition=Q(price_minor__gte=0)),
            models.CheckConstraint(name="inventory_product_currency_code", condition=Q(currency__regex="^[A-Z]{3}$")),
            models.CheckConstraint(
                name="inventory_product_sku_is_plain", condition=Q(sku__regex="^[a-z0-9][a-z0-9-]{0,63}$")
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Stock(models.Model):
    """How many units of a SKU are in the house, free and promised. Written only by `inventory.services`.

    The primary key is the SKU itself, so the row can be found and locked without the catalogue.
    """

    product = models.OneToOneField(
        Product, to_field="sku", db_column="sku", primary_key=True, on_delete=models.PROTECT, related_name="stock"
    )
    on_hand = models.IntegerField(default=0)
    available = models.IntegerField(default=0)
    reserved = models.IntegerField(default=0)

    class Meta:
        verbose_name_plural = "stock"
        constraints: ClassVar = [
            models.CheckConstraint(name="inventory_stock_adds_up", condition=Q(on_hand=F("available") + F("reserved"))),
            models.CheckConstraint(name="inventory_stock_available_not_negative", condition=Q(available__gte=0)),
            models.CheckConstraint(name="inventory_stock_reserved_not_negative", condition=Q(reserved__gte=0)),
            models.CheckConstraint(name="inventory_stock_on_hand_not_negative", condition=Q(on_hand__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.sku}: {self.available} available, {self.reserved} reserved"

    @property
    def sku(self) -> str:
        """The SKU this row counts."""
        sku: str = self.product_id
        return sku


class Reservation(models.Model):
    """Units of one SKU kept for one owner (an order, known here only by its id). Its state moves by compare-and-set."""

    class State(models.TextChoices):
        HELD = "HELD", "held"
        COMMITTED = "COMMITTED", "sold"
        RELEASED = "RELEASED", "released"
        EXPIRED = "EXPIRED", "expired"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner_id = models.UUIDField()
    sku = models.CharField("SKU", max_length=64)
    quantity = models.IntegerField()
    state = models.CharField(max_length=9, choices=State, default=State.HELD)
    expires_at = models.DateTimeField()
    restocked = models.IntegerField(
        default=0, db_default=0, help_text="of these, so many came back onto the shelf after they were sold"
    )
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner_id", "sku"], name="inventory_reservation_one_per_owner_and_sku"),
            models.CheckConstraint(name="inventory_reservation_quantity_positive", condition=Q(quantity__gt=0)),
            models.CheckConstraint(
                name="inventory_reservation_state_known",
                condition=Q(state__in=["HELD", "COMMITTED", "RELEASED", "EXPIRED"]),
            ),
            # Of what came back in part the rest is sold for good: the whole of it can't come back a second time.
            models.CheckConstraint(
                name="inventory_reservation_restocked_of_what_was_sold",
                condition=Q(restocked=0) | Q(state="COMMITTED", restocked__gt=0, restocked__lte=F("quantity")),
            ),
        ]
        indexes: ClassVar = [
            # All lines of an owner lapse together, so the owner as second column lets "the next owners past their
            # time" be read off the index in order, without sorting all that are overdue.
            models.Index(fields=["expires_at", "owner_id"], name="inventory_held_by_expiry", condition=Q(state="HELD")),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}, {self.get_state_display()}"


class LedgerEntry(models.Model):
    """One change of a SKU's levels. Append-only: the database refuses UPDATE and DELETE.

    A SKU's level is the sum of its deltas: `available` that of `available_delta`, `reserved` that of `reserved_delta`,
    `on_hand` that of both.
    """

    class Kind(models.TextChoices):
        RECEIVE = "RECEIVE", "received"
        RESERVE = "RESERVE", "reserved"
        RELEASE = "RELEASE", "released"
        EXPIRE = "EXPIRE", "hold expired"
        COMMIT = "COMMIT", "sold"
        RESTOCK = "RESTOCK", "back in stock"
        ADJUST = "ADJUST", "adjusted"

    id = models.BigAutoField(primary_key=True)
    sku = models.CharField("SKU", max_length=64)
    kind = models.CharField(max_length=7, choices=Kind)
    available_delta = models.IntegerField()
    reserved_delta = models.IntegerField()
    owner_id = models.UUIDField(null=True, help_text="the order it was moved for, if any")
    reason = models.CharField(max_length=200, blank=True)
    actor = models.CharField(max_length=150, blank=True, help_text="who did it by hand; empty for the system itself")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "inventory_ledger"
        verbose_name = "ledger entry"
        verbose_name_plural = "ledger"
        constraints: ClassVar = [
            # Each kind moves units one way only, so a wrong sign can't be written, whoever writes it.
            models.CheckConstraint(
                name="inventory_ledger_moves_as_its_kind_says",
                condition=Q(kind__in=["RECEIVE", "RESTOCK"], available_delta__gt=0, reserved_delta=0)
                | Q(kind="RESERVE", available_delta__lt=0, reserved_delta=-F("available_delta"))
                | Q(kind__in=["RELEASE", "EXPIRE"], available_delta__gt=0, reserved_delta=-F("available_delta"))
                | Q(kind="COMMIT", available_delta=0, reserved_delta__lt=0)
                | (Q(kind="ADJUST", reserved_delta=0) & ~Q(available_delta=0)),
            ),
            models.CheckConstraint(
                name="inventory_ledger_owner_where_one_is_due",
                condition=Q(kind__in=["RECEIVE", "ADJUST"]) | Q(owner_id__isnull=False),
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["sku", "id"], name="inventory_ledger_of_sku")]

    def __str__(self) -> str:
        return f"{self.sku} {self.kind} {self.available_delta:+d} available, {self.reserved_delta:+d} reserved"
