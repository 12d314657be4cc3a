"""What we know about money: payments, every call that we made for them, and what was given back.

Rows are written by `payments.services` in whole groups; nothing else writes here.
"""

from typing import Final

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from marketplace.kernel.ids import new_id
from payments.gateways.base import Dispute, Risk
from payments.states import (
    CODE_LENGTH,
    AttemptOutcome,
    CaseKind,
    CaseStatus,
    NewsStatus,
    Operation,
    PaymentStatus,
    RefundSource,
    RefundStatus,
    WebhookStatus,
)

# An idempotency key at a gateway: 1 to 255 printable ASCII characters without blanks.
KEY_LENGTH: Final = 255
EVENT_ID_LENGTH: Final = 255


class Payment(models.Model):
    """Money for one order, from the request to hold it until the last cent is taken, let go or given back.

    An order may have several, one after the other: the next one comes into the world only when the one before it is
    given up, which is for good. A trigger says both, so at most one payment of an order is alive at any time.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    reference_id = models.UUIDField(help_text="The order that is paid for.")
    sequence = models.PositiveSmallIntegerField(default=1, help_text="1 for the order's first payment, then 2, ...")
    gateway = models.CharField(max_length=32)
    method = models.CharField(max_length=255, help_text="The gateway's token, never card data.")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=20, choices=PaymentStatus, default=PaymentStatus.PENDING)
    authorization_key = models.CharField(max_length=KEY_LENGTH, blank=True, help_text="Empty until it was asked for.")
    gateway_reference = models.CharField("transaction", max_length=255, blank=True)
    captured_minor = models.BigIntegerField(default=0)
    refunded_minor = models.BigIntegerField(default=0)
    reversed_minor = models.BigIntegerField(
        "reversed", default=0, db_default=0, help_text="What the bank took back by itself, in minor units."
    )
    dispute = models.CharField(
        max_length=4,
        choices=[(one.value, one.name.capitalize()) for one in Dispute],
        blank=True,
        default="",
        db_default="",
    )
    action_url = models.TextField(
        blank=True, default="", db_default="", help_text="Where the buyer confirms a payment that is PENDING."
    )
    risk = models.CharField(
        max_length=8, blank=True, default="", db_default="", help_text="What the gateway's own check says of it."
    )
    card_country = models.CharField(
        max_length=2,
        blank=True,
        default="",
        db_default="",
        help_text="Where it was issued, if the gateway tells.",
    )
    failure_code = models.CharField(max_length=CODE_LENGTH, blank=True)
    failure_message = models.TextField(blank=True)
    given_up_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When its order went on to another payment: from then on, money under this one goes back.",
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["reference_id", "sequence"], name="payment_once_per_reference"),
            models.UniqueConstraint(
                fields=["authorization_key"],
                condition=~Q(authorization_key=""),
                name="payment_by_authorization_key",
            ),
            models.UniqueConstraint(
                fields=["gateway", "gateway_reference"],
                condition=~Q(gateway_reference=""),
                name="payment_by_gateway_reference",
            ),
            models.CheckConstraint(condition=Q(sequence__gte=1), name="payment_sequence_starts_at_one"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="payment_amount_positive"),
            models.CheckConstraint(condition=Q(currency__regex="^[A-Z]{3}$"), name="payment_currency_is_iso_4217"),
            models.CheckConstraint(
                condition=Q(refunded_minor__gte=0, reversed_minor__gte=0)
                & Q(refunded_minor__lte=F("captured_minor") - F("reversed_minor"))
                & Q(captured_minor__lte=F("amount_minor")),
                name="payment_refunded_within_captured_within_amount",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "AUTHORIZED", "VOIDED", "FAILED"], captured_minor=0)
                | Q(status="CAPTURED", captured_minor__gt=F("reversed_minor"), refunded_minor=0)
                | Q(
                    status="PARTIALLY_REFUNDED",
                    refunded_minor__gt=0,
                    refunded_minor__lt=F("captured_minor") - F("reversed_minor"),
                )
                | Q(status="FAILED", reversed_minor__gt=0, reversed_minor=F("captured_minor") - F("refunded_minor"))
                | Q(status="REFUNDED", refunded_minor__gt=0, refunded_minor=F("captured_minor")),
                name="payment_status_says_what_the_amounts_say",
            ),
            models.CheckConstraint(
                condition=Q(dispute__in=[one.value for one in Dispute]), name="payment_dispute_is_known"
            ),
            models.CheckConstraint(condition=Q(risk__in=[one.value for one in Risk]), name="payment_risk_is_known"),
            models.CheckConstraint(condition=~Q(status="FAILED") | ~Q(failure_code=""), name="payment_failed_says_why"),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "VOIDED"]) | ~Q(authorization_key=""),
                name="payment_was_asked_for_before_it_moved",
            ),
        ]
        indexes = [
            # "All payments since": rows come in the order of time, so a few kilobytes of BRIN do.
            BrinIndex(fields=["created_at"], name="payments_of_a_period", autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"payment {self.id} ({self.status})"


class Attempt(models.Model):
    """One call to a gateway, written before it is made. An empty outcome: nobody has come back from it."""

    id = models.BigAutoField(primary_key=True)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="attempts")
    operation = models.CharField(max_length=9, choices=Operation)
    idempotency_key = models.CharField(max_length=KEY_LENGTH)
    number = models.PositiveIntegerField(help_text="1 for the key's first call, then 2, ...")
    outcome = models.CharField(max_length=7, choices=AttemptOutcome, blank=True)
    code = models.CharField(max_length=CODE_LENGTH, blank=True)
    message = models.TextField(blank=True)
    gateway_reference = models.CharField(max_length=255, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["idempotency_key", "number"], name="attempt_once_per_key_and_number"),
            models.CheckConstraint(condition=Q(number__gte=1), name="attempt_number_starts_at_one"),
            models.CheckConstraint(condition=Q(operation__in=Operation.values), name="attempt_operation_is_known"),
            models.CheckConstraint(condition=Q(outcome__in=AttemptOutcome.values), name="attempt_outcome_is_known"),
            models.CheckConstraint(condition=~Q(idempotency_key=""), name="attempt_has_a_key"),
            models.CheckConstraint(
                condition=Q(outcome="", finished_at__isnull=True) | (~Q(outcome="") & Q(finished_at__isnull=False)),
                name="attempt_finished_with_its_outcome",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.idempotency_key} #{self.number}: {self.get_outcome_display()}"


class Refund(models.Model):
    """Money given back, with a state of its own.

    While it is PENDING, `amount_minor` is what we expect to give back; once DONE, what the gateway says that it gave
    (0 when there was nothing). Two deferred constraint triggers say that the DONE ones of a payment add up to its
    `refunded_minor` (with the payment's own CHECK it follows that they never exceed what was captured), and that no
    refund is asked for beyond what the DONE and PENDING ones have left of it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    amount_minor = models.BigIntegerField()
    asked_minor = models.BigIntegerField(
        null=True, blank=True, help_text="What was asked for, in minor units; empty: all that was left."
    )
    status = models.CharField(max_length=7, choices=RefundStatus, default=RefundStatus.PENDING)
    source = models.CharField(
        max_length=7, choices=RefundSource, default=RefundSource.SAGA, db_default=RefundSource.SAGA
    )
    idempotency_key = models.CharField(
        max_length=KEY_LENGTH, help_text="At the gateway: the newest, where one was refused."
    )
    request_key = models.CharField(
        max_length=KEY_LENGTH, blank=True, default="", db_default="", help_text="By which it was asked for here, once."
    )
    gateway_reference = models.CharField(max_length=255, blank=True)
    reason = models.TextField(blank=True)
    actor = models.CharField("who", max_length=150, blank=True, default="", db_default="")
    failure_code = models.CharField(max_length=CODE_LENGTH, blank=True, default="", db_default="")
    failure_message = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True, help_text="When it was done, or refused.")
    told_at = models.DateTimeField(
        null=True, blank=True, help_text="When whoever paid, and the world, were told that it is done."
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["idempotency_key"], name="refund_once_per_key"),
            models.UniqueConstraint(
                fields=["payment", "request_key"], condition=~Q(request_key=""), name="refund_once_per_request"
            ),
            models.UniqueConstraint(
                fields=["payment", "gateway_reference"],
                condition=~Q(gateway_reference=""),
                name="refund_by_gateway_reference",
            ),
            models.CheckConstraint(
                condition=Q(asked_minor__isnull=True) | Q(asked_minor__gt=0), name="refund_asks_for_something"
            ),
            models.CheckConstraint(condition=Q(source__in=RefundSource.values), name="refund_source_is_known"),
            models.CheckConstraint(
                condition=~Q(source="STAFF")
                | (~Q(actor="") & ~Q(reason="") & ~Q(request_key="") & Q(asked_minor__isnull=False)),
                name="refund_by_staff_says_who_why_and_how_much",
            ),
            models.CheckConstraint(
                condition=Q(told_at__isnull=True) | Q(status="DONE"), name="refund_is_told_once_it_is_done"
            ),
            models.CheckConstraint(condition=Q(amount_minor__gte=0), name="refund_amount_not_negative"),
            models.CheckConstraint(condition=Q(status__in=RefundStatus.values), name="refund_status_is_known"),
            models.CheckConstraint(condition=~Q(idempotency_key=""), name="refund_has_a_key"),
        ]
        indexes = [
            models.Index(fields=["-created_at"], name="refunds_newest"),
            models.Index(fields=["created_at"], name="refunds_under_way", condition=Q(status="PENDING")),
        ]

    def __str__(self) -> str:
        return f"refund {self.id} ({self.status})"


class Observation(models.Model):
    """News: a payment was seen to have changed at the gateway without, or before, an answer to a call of ours.

    Written with the change itself; those who listen (`payments.observations`) are told in a transaction of their own.
    """

    id = models.BigAutoField(primary_key=True)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="observations")
    event_id = models.CharField(
        max_length=EVENT_ID_LENGTH + 20, help_text="Of the webhook, or of the look, that brought it."
    )
    kind = models.CharField(max_length=16)
    detail = models.JSONField(default=dict)
    occurred_at = models.DateTimeField(help_text="By the gateway's clock.")
    status = models.CharField(max_length=8, choices=NewsStatus, default=NewsStatus.NEW)
    due_at = models.DateTimeField(null=True, help_text="When to go on with it; empty once it is settled.")
    tries = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["payment", "event_id"], name="observation_once_per_event"),
            models.CheckConstraint(condition=Q(status__in=NewsStatus.values), name="observation_status_is_known"),
            models.CheckConstraint(
                condition=Q(status__in=["NEW", "UNDOING"], due_at__isnull=False)
                | Q(status__in=["TOLD", "UNDONE", "PARKED"], due_at__isnull=True),
                name="observation_is_due_until_it_is_settled",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="observations_due", condition=Q(due_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} ({self.status})"


class ReconciliationCase(models.Model):
    """One difference between our books and a gateway's, from when it was first seen until somebody settled it."""

    id = models.BigAutoField(primary_key=True)
    gateway = models.CharField(max_length=30)
    key = models.CharField(max_length=KEY_LENGTH, help_text="the authorization's, at the gateway")
    kind = models.CharField(max_length=15, choices=CaseKind)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, blank=True, related_name="cases")
    reference_id = models.UUIDField(null=True, blank=True)
    attempt_id = models.BigIntegerField(null=True, blank=True, help_text="the call that nobody answered")
    ours = models.TextField(blank=True)
    theirs = models.TextField(blank=True)
    status = models.CharField(max_length=7, choices=CaseStatus, default=CaseStatus.OPEN)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.TextField(blank=True)
    actor = models.CharField(max_length=150, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["gateway", "key"], condition=Q(status="OPEN"), name="reconciliation_one_open_case_per_charge"
            ),
            models.CheckConstraint(condition=Q(kind__in=CaseKind.values), name="reconciliation_kind_is_known"),
            models.CheckConstraint(
                condition=Q(status="OPEN", closed_at__isnull=True) | (~Q(status="OPEN") & Q(closed_at__isnull=False)),
                name="reconciliation_closed_with_its_status",
            ),
            models.CheckConstraint(
                condition=~Q(status="BY_HAND") | (~Q(actor="") & ~Q(reason="")), name="reconciliation_by_hand_says_why"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.key} ({self.status})"


class WatchedKey(models.Model):
    """A payment that is over, and whose authorization may yet land at the gateway. See `payments.watch`."""

    payment = models.OneToOneField(Payment, on_delete=models.PROTECT, primary_key=True, related_name="watched")
    until = models.DateTimeField(help_text="When the gateway forgets the key.")
    due_at = models.DateTimeField(help_text="When to look next.")
    looks = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["due_at"]
        indexes = [models.Index(fields=["due_at"], name="watched_keys_due")]

    def __str__(self) -> str:
        return f"watched until {self.until:%Y-%m-%d %H:%M}"


class WebhookEvent(models.Model):
    """One event that a gateway has told of, once, however often it was sent. Written by `payments.inbox`."""

    id = models.BigAutoField(primary_key=True)
    gateway = models.CharField(max_length=32)
    event_id = models.CharField(max_length=EVENT_ID_LENGTH)
    kind = models.CharField(max_length=100)
    authorization_key = models.CharField(max_length=KEY_LENGTH, blank=True)
    reference = models.CharField(max_length=255, blank=True)
    payload = models.TextField(help_text="As it came; a hint and no more.")
    occurred_at = models.DateTimeField(help_text="By the gateway's clock.")
    received_at = models.DateTimeField()
    given_up_at = models.DateTimeField(help_text="Until then it is tried again.")
    status = models.CharField(max_length=8, choices=WebhookStatus, default=WebhookStatus.RECEIVED)
    due_at = models.DateTimeField(null=True, help_text="When to look into it; empty once that is over.")
    tries = models.PositiveIntegerField(default=0)
    outcome = models.TextField(blank=True, help_text="What came of it, or what was in the way.")
    processed_at = models.DateTimeField(null=True)
    replayed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-id"]
        permissions = [("replay_webhookevent", "Can have a webhook looked into again")]
        constraints = [
            models.UniqueConstraint(fields=["gateway", "event_id"], name="webhook_once_per_event"),
            models.CheckConstraint(condition=~Q(event_id=""), name="webhook_has_an_event"),
            models.CheckConstraint(condition=Q(status__in=WebhookStatus.values), name="webhook_status_is_known"),
            models.CheckConstraint(
                condition=Q(status__in=["RECEIVED", "PARKED"], due_at__isnull=False)
                | Q(status__in=["DONE", "FAILED"], due_at__isnull=True, processed_at__isnull=False),
                name="webhook_is_due_until_it_is_over",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="webhooks_due", condition=Q(due_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id} ({self.status})"
