"""A return of a delivered order, and its lines."""

from typing import ClassVar, Final

from django.db import models
from django.db.models import F, Q

from marketplace.kernel.ids import new_id


class ReturnStatus(models.TextChoices):
    """Where a return is. Only its saga changes it."""

    REQUESTED = "REQUESTED", "asked for"
    APPROVED = "APPROVED", "approved, to come back"
    RECEIVED = "RECEIVED", "is back"
    REFUNDED = "REFUNDED", "settled"
    REJECTED = "REJECTED", "rejected"
    WITHDRAWN = "WITHDRAWN", "withdrawn by the buyer"
    EXPIRED = "EXPIRED", "ran out of time"


OPEN: Final = (ReturnStatus.REQUESTED, ReturnStatus.APPROVED, ReturnStatus.RECEIVED)
BACK: Final = (ReturnStatus.RECEIVED, ReturnStatus.REFUNDED)  # something came back by it


class Verdict(models.TextChoices):
    """What was said about a request, by whoever was first."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    WITHDRAWN = "WITHDRAWN"


class Return(models.Model):
    """What a buyer sends back of an order. Its id is its refund's too: there is one refund of a return at most.

    What people say of it (asked, decided, received) is written together with the signal to its saga; the saga's own are
    the status, the deadlines and what was refunded.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    order = models.ForeignKey("orders.Order", on_delete=models.PROTECT, related_name="returns")
    sequence = models.PositiveSmallIntegerField(help_text="the first return of its order is 1")
    status = models.CharField(max_length=9, choices=ReturnStatus, default=ReturnStatus.REQUESTED)
    saga_id = models.UUIDField(unique=True)
    reason = models.TextField(help_text="the buyer's own words")
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField()
    answer_by = models.DateTimeField(help_text="until then somebody has to decide")
    verdict = models.CharField(max_length=9, choices=Verdict, blank=True)
    decided_by = models.CharField(max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True, help_text="the buyer reads it where it was rejected")
    arrive_by = models.DateTimeField(null=True, blank=True, help_text="until then the parcel has to be back")
    received_by = models.CharField(max_length=150, blank=True)
    received_at = models.DateTimeField(null=True, blank=True)
    receipt_note = models.TextField(blank=True, help_text="what staff say of what came back")
    refunded_minor = models.BigIntegerField(default=0, help_text="in the minor units of the order's currency")
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-requested_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["order", "sequence"], name="orders_return_number_once"),
            models.UniqueConstraint(
                fields=["order"], condition=Q(status__in=OPEN), name="orders_return_one_open_per_order"
            ),
            models.CheckConstraint(name="orders_return_status_known", condition=Q(status__in=ReturnStatus.values)),
            models.CheckConstraint(name="orders_return_says_why", condition=~Q(reason="")),
            models.CheckConstraint(
                name="orders_return_decided_by_somebody",
                condition=Q(verdict="", decided_at__isnull=True, decided_by="")
                | (Q(verdict__in=Verdict.values, decided_at__isnull=False) & ~Q(decided_by="")),
            ),
            models.CheckConstraint(
                name="orders_return_goes_on_when_approved",
                condition=Q(verdict="APPROVED") | ~Q(status__in=["APPROVED", "RECEIVED", "REFUNDED"]),
            ),
            models.CheckConstraint(
                name="orders_return_received_by_somebody",
                condition=Q(received_at__isnull=False) | ~Q(status__in=["RECEIVED", "REFUNDED"]),
            ),
            models.CheckConstraint(
                name="orders_return_closed_when_over",
                condition=Q(status__in=OPEN, closed_at__isnull=True)
                | (~Q(status__in=OPEN) & Q(closed_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="orders_return_refund_when_settled",
                condition=Q(refunded_minor=0) | Q(status="REFUNDED", refunded_minor__gt=0),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-requested_at"], name="orders_returns_newest"),
            models.Index(fields=["answer_by"], name="orders_returns_open", condition=Q(status__in=OPEN)),
        ]

    def __str__(self) -> str:
        return f"return {self.sequence} of order {self.order_id}"


class ReturnLine(models.Model):
    """So many units of one line of the order; when they are back, what became of them."""

    request = models.ForeignKey(Return, on_delete=models.CASCADE, related_name="lines")
    position = models.PositiveSmallIntegerField()
    sku = models.CharField(max_length=64)
    product_name = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField(help_text="that the buyer wants to send back")
    price_minor = models.BigIntegerField(help_text="per unit, as it was paid")
    restocked = models.PositiveIntegerField(default=0, help_text="are back, and go onto the shelf")
    written_off = models.PositiveIntegerField(default=0, help_text="are back, and can't be sold again")

    class Meta:
        ordering: ClassVar = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["request", "sku"], name="orders_returnline_once_per_sku"),
            models.CheckConstraint(name="orders_returnline_quantity_positive", condition=Q(quantity__gt=0)),
            models.CheckConstraint(
                name="orders_returnline_no_more_than_asked_for",
                condition=Q(quantity__gte=F("restocked") + F("written_off")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}"
