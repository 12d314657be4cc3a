"""One row for each mail to a buyer: the order to send it, the claim on it, and the record of what became of it."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from marketplace.kernel.ids import new_id


class Kind(models.TextChoices):
    """What a mail says."""

    RECEIVED = "received", "order received"
    PAYMENT_FAILED = "payment_failed", "payment failed"
    OUT_OF_STOCK = "out_of_stock", "out of stock"
    EXPIRING = "expiring", "reservation about to end"
    CONFIRMED = "confirmed", "confirmed"
    ON_THE_WAY = "on_the_way", "on the way"
    DELIVERED = "delivered", "delivered"
    CANCELLED = "cancelled", "cancelled"
    REFUNDED = "refunded", "refunded"
    FAILED = "failed", "could not be completed"
    RETURN_REQUESTED = "return_requested", "return asked for"
    RETURN_APPROVED = "return_approved", "return approved"
    RETURN_RECEIVED = "return_received", "return arrived, money to follow"
    RETURN_REJECTED = "return_rejected", "return rejected"
    RETURN_EXPIRED = "return_expired", "return ran out of time"
    RETURN_SETTLED = "return_settled", "return over, without a refund"


class Status(models.TextChoices):
    """How far a mail is."""

    WAITING = "WAITING"
    SENT = "SENT"
    SKIPPED = "SKIPPED"  # it had become untrue before it was sent
    FAILED = "FAILED"
    NO_RECIPIENT = "NO_RECIPIENT"  # the buyer left no address


class Message(models.Model):
    """A mail to one recipient about one order. Its id is in its Message-ID, through all attempts.

    `cause` names what calls for it (an event, the end of a hold, a person's wish); with the recipient it is unique, so
    that nothing calls for the same mail twice. `due_at` says when it is next tried, or until when a worker has it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    cause = models.CharField(max_length=80)
    recipient = models.EmailField(blank=True)
    order = models.ForeignKey("orders.Order", on_delete=models.CASCADE, related_name="messages", db_constraint=False)
    kind = models.CharField(max_length=16, choices=Kind)
    language = models.CharField(max_length=8, default=settings.LANGUAGE_CODE)
    detail = models.JSONField(default=dict, help_text="what the event told beside the order")
    status = models.CharField(max_length=12, choices=Status, default=Status.WAITING)
    outcome = models.TextField(blank=True, help_text="why it was not sent, or not yet")
    subject = models.CharField(max_length=255, blank=True)
    tries = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True)
    given_up_at = models.DateTimeField(help_text="not tried any more after this")
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True)
    again_of = models.UUIDField(null=True, help_text="the mail that this one repeats")
    asked_by = models.CharField(max_length=150, blank=True, help_text="who had it sent again")
    reason = models.TextField(blank=True, help_text="why")

    class Meta:
        permissions: ClassVar = [("resend_message", "Can have a mail sent again")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["cause", "recipient"], name="orders_message_once"),
            models.CheckConstraint(name="orders_message_status_known", condition=Q(status__in=Status.values)),
            models.CheckConstraint(name="orders_message_kind_known", condition=Q(kind__in=Kind.values)),
            models.CheckConstraint(
                name="orders_message_due_while_waiting",
                condition=Q(status="WAITING", due_at__isnull=False) | (~Q(status="WAITING") & Q(due_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="orders_message_sent_to_somebody",
                condition=~Q(status="SENT") | (Q(sent_at__isnull=False) & ~Q(recipient="")),
            ),
            models.CheckConstraint(
                name="orders_message_again_by_somebody",
                condition=Q(again_of__isnull=True) | (~Q(asked_by="") & ~Q(reason="")),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_at", "id"], name="orders_message_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["-id"], name="orders_message_failed", condition=Q(status="FAILED")),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, to {self.recipient or 'nobody'}"
