"""The order, its lines and its timeline.

The order's status is a state machine (django-fsm). Its transitions are pure: they change the object and nothing else.
Only a saga calls them, through `orders.desk`, which writes the result back and puts each change onto the timeline.
"""

from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django_fsm import transition

from marketplace.kernel.ids import new_id
from orders.fraud.models import DenyEntry, FraudRule, Review, RuleChange
from orders.machine import StatusField


class Status(models.TextChoices):
    CREATED = "CREATED"
    RESERVED = "RESERVED"
    PAYMENT_PENDING = "PAYMENT_PENDING"
    PAID = "PAID"
    CONFIRMED = "CONFIRMED"
    SHIPPED = "SHIPPED"
    IN_TRANSIT = "IN_TRANSIT"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"  # the buyer wanted it and couldn't have it
    CANCELLED = "CANCELLED"  # the buyer, staff or time decided to stop


BEFORE_CONFIRMATION = (Status.CREATED, Status.RESERVED, Status.PAYMENT_PENDING, Status.PAID)
BEFORE_SHIPPING = (*BEFORE_CONFIRMATION, Status.CONFIRMED)
SHIPPED = (Status.SHIPPED, Status.IN_TRANSIT, Status.DELIVERED)
AFTER_CONFIRMATION = (Status.CONFIRMED, *SHIPPED)
ENDED = frozenset({Status.DELIVERED, Status.FAILED, Status.CANCELLED})


# What only time has ended can live again, as long as nobody has said that it is not wanted any more.
REVIVABLE = ("reservation_expired", "payment_timeout")


def may_be_revived(order: Any) -> bool:
    """Whether an order that has ended may go on with money that came late."""
    return order.failure_code in REVIVABLE and not order.failure_detail.get("unwanted")


class Order(models.Model):
    """What a buyer wants, and how far it has come."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    number = models.CharField(max_length=20, unique=True)
    status = StatusField(max_length=16, choices=Status, default=Status.CREATED, protected=True)
    failure_code = models.CharField(max_length=40, blank=True)
    failure_message = models.TextField(blank=True, help_text="for the buyer, in plain words")
    failure_detail = models.JSONField(default=dict, blank=True)
    review_status = models.CharField(max_length=16, blank=True)
    refund_status = models.CharField(max_length=20, blank=True)
    user_id = models.CharField(max_length=150, blank=True, help_text="the buyer's username; empty for a guest")
    email = models.EmailField(blank=True)
    language = models.CharField(max_length=8, default="en", db_default="en", help_text="in which the buyer is told")
    shipping_address = models.JSONField(null=True, blank=True)
    email_key = models.CharField(max_length=254, blank=True, db_default="", help_text="to compare it by")
    address_key = models.CharField(max_length=32, blank=True, db_default="", help_text="to compare it by")
    currency = models.CharField(max_length=3)
    total_minor = models.BigIntegerField(help_text="in the currency's minor units")
    payment_method = models.CharField(max_length=100, blank=True)
    transaction_id = models.CharField(max_length=100, blank=True, help_text="the gateway's id of the payment")
    saga_id = models.UUIDField(unique=True, help_text="the saga that places it")
    reversal_id = models.UUIDField(null=True, blank=True, help_text="the saga that takes it back, once one was started")
    revival_id = models.UUIDField(
        null=True,
        blank=True,
        help_text="the saga about money that came after it had ended, once there was any",
    )
    retry_of = models.UUIDField(
        null=True, blank=True, help_text="the order that came to nothing, which this one is for"
    )
    reserved_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(name="orders_total_not_negative", condition=Q(total_minor__gte=0)),
            models.CheckConstraint(name="orders_status_known", condition=Q(status__in=Status.values)),
            models.CheckConstraint(
                name="orders_review_known", condition=Q(review_status__in=["", "PENDING", "APPROVED", "REJECTED"])
            ),
            models.CheckConstraint(
                name="orders_failure_has_a_code",
                condition=~Q(status__in=["FAILED", "CANCELLED"]) | ~Q(failure_code=""),
            ),
            models.UniqueConstraint(
                name="orders_one_retry_each", fields=["retry_of"], condition=Q(retry_of__isnull=False)
            ),
        ]
        # None has the status in it, not even in its condition: so a change of it is a HOT update, which writes one row
        # version and no index entry. What is to be found by its status is found by its saga, or among the newest.
        indexes: ClassVar = [
            models.Index(fields=["user_id", "-id"], name="orders_of_user", condition=~Q(user_id="")),
            models.Index(fields=["-created_at"], name="orders_newest"),
            models.Index(fields=["email_key", "-id"], name="orders_of_email", condition=~Q(email_key="")),
            models.Index(fields=["address_key", "-id"], name="orders_to_address", condition=~Q(address_key="")),
        ]

    def __str__(self) -> str:
        return self.number

    @transition(field=status, source=Status.CREATED, target=Status.RESERVED)
    def reserve(self, *, until: datetime) -> None:
        """The units are held until `until`."""
        self.reserved_until = until

    @transition(field=status, source=Status.RESERVED, target=Status.PAYMENT_PENDING)
    def await_payment(self, *, until: datetime) -> None:
        """The gateway is being asked; the hold is kept until `until`, so that it can't lapse meanwhile."""
        self.reserved_until = until
        if self.failure_message:  # of an attempt before this one
            self.failure_message, self.failure_detail = "", {}

    @transition(field=status, source=Status.PAYMENT_PENDING, target=Status.RESERVED)
    def offer_another_payment(self, *, until: datetime, message: str, detail: dict[str, Any]) -> None:
        """The bank has declined; until `until` it may be paid by another method, and `message` tells the buyer so."""
        self.reserved_until = until
        self.payment_method = ""
        self.failure_message, self.failure_detail = message, detail

    @transition(field=status, source=Status.PAYMENT_PENDING, target=Status.PAID)
    def pay(self, *, transaction_id: str) -> None:
        """The gateway has authorized the amount under `transaction_id`."""
        self.transaction_id = transaction_id

    @transition(field=status, source=Status.PAID, target=Status.CONFIRMED)
    def confirm(self) -> None:
        """The money is captured and the units are sold: the order stands."""
        self.reserved_until = None

    @transition(field=status, source=Status.CONFIRMED, target=Status.SHIPPED)
    def ship(self) -> None:
        """The parcel has its label and leaves the house: from here on there is no way back."""

    @transition(field=status, source=Status.SHIPPED, target=Status.IN_TRANSIT)
    def hand_over(self) -> None:
        """The carrier has it."""

    @transition(field=status, source=Status.IN_TRANSIT, target=Status.DELIVERED)
    def deliver(self) -> None:
        """It is at the door."""

    @transition(field=status, source=BEFORE_SHIPPING, target=Status.FAILED)
    def fail(self, *, code: str, message: str, detail: dict[str, Any] | None = None) -> None:
        """The buyer can't have it, because of `code`; `message` says so in plain words."""
        self._end(code, message, detail)

    @transition(field=status, source=BEFORE_SHIPPING, target=Status.CANCELLED)
    def cancel(self, *, code: str, message: str, detail: dict[str, Any] | None = None) -> None:
        """The buyer, staff or time decided to stop."""
        self._end(code, message, detail)

    @transition(field=status, source=(Status.FAILED, Status.CANCELLED), target=Status.PAID, conditions=[may_be_revived])
    def revive(self, *, transaction_id: str) -> None:
        """The money came after all, and the units are held anew: as if it had come in time."""
        self.transaction_id = transaction_id
        self.failure_code, self.failure_message, self.failure_detail = "", "", {}
        self.refund_status = ""

    def _end(self, code: str, message: str, detail: dict[str, Any] | None) -> None:
        self.failure_code, self.failure_message, self.failure_detail = code, message, detail or {}
        self.reserved_until = None


class OrderLine(models.Model):
    """So many units of one product, at the price of the moment of the order."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    position = models.PositiveSmallIntegerField()
    sku = models.CharField(max_length=64)
    product_name = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField()
    price_minor = models.BigIntegerField(help_text="per unit, in the currency's minor units")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["order", "sku"], name="orders_line_once_per_sku"),
            models.CheckConstraint(name="orders_line_quantity_positive", condition=Q(quantity__gt=0)),
            models.CheckConstraint(name="orders_line_price_not_negative", condition=Q(price_minor__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}"


class TimelineEntry(models.Model):
    """One change of an order's status: who, when, why. Append-only.

    From a status to the same: something that the story needs, such as money that came back, and no change.
    """

    id = models.BigAutoField(primary_key=True)
    # No constraint: each entry would look its order up, which its saga has in hand.
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="timeline", db_constraint=False)
    from_status = models.CharField(max_length=16, blank=True)
    to_status = models.CharField(max_length=16)
    who = models.CharField(max_length=150)
    why = models.TextField()
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "timeline entries"

    def __str__(self) -> str:
        return f"{self.from_status} → {self.to_status}"


class MoneyCase(models.Model):
    """Something about an order's money, or its parcel, that a person has to see to: the subject of a `payment_case`.

    An order may have several, one after the other: its dispute is answered, and then lost.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="cases")
    opened_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"case of {self.order_id}"


# Django looks for an app's models here; these stand on those above.
from orders.invoicing.models import CreditNote, Invoice, Seller, Series  # noqa: E402
from orders.messages.models import Message  # noqa: E402
from orders.returns.models import Return, ReturnLine  # noqa: E402

__all__ = [
    "AFTER_CONFIRMATION",
    "BEFORE_CONFIRMATION",
    "BEFORE_SHIPPING",
    "ENDED",
    "REVIVABLE",
    "SHIPPED",
    "CreditNote",
    "DenyEntry",
    "FraudRule",
    "Invoice",
    "Message",
    "MoneyCase",
    "Order",
    "OrderLine",
    "Return",
    "ReturnLine",
    "Review",
    "RuleChange",
    "Seller",
    "Series",
    "Status",
    "TimelineEntry",
    "may_be_revived",
]
