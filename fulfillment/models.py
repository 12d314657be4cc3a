"""What we know about parcels: shipments, every call that we made for them, and every scan.

Rows are written by `fulfillment.services` in whole groups, and by `fulfillment.inbox`; nothing else writes here.
"""

from typing import Final

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q

from fulfillment.carriers.base import Address, LabelRefund, ScanKind
from fulfillment.states import CODE_LENGTH, CallOutcome, EventStatus, Operation, ShipmentStatus
from marketplace.kernel.ids import new_id

# An idempotency key at a carrier: 1 to 255 printable ASCII characters without blanks.
KEY_LENGTH: Final = 255
EVENT_ID_LENGTH: Final = 255


class Shipment(models.Model):
    """One parcel for one order, from the wish to pack it until it is at the door."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    reference_id = models.UUIDField(unique=True, help_text="The order that is shipped.")
    number = models.CharField(max_length=20, help_text="What people call it: the order's number.")
    status = models.CharField(max_length=16, choices=ShipmentStatus, default=ShipmentStatus.CREATED)
    carrier = models.CharField(max_length=32)
    service = models.CharField(max_length=64)
    name = models.CharField(max_length=100, blank=True)
    line1 = models.CharField(max_length=100, blank=True)
    line2 = models.CharField(max_length=100, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    city = models.CharField(max_length=100, blank=True)
    country = models.CharField(max_length=2, blank=True)
    language = models.CharField(
        max_length=8, default="en", db_default="en", help_text="Of its packing slip: the order's."
    )
    weight_grams = models.PositiveIntegerField()
    label_key = models.CharField(
        max_length=KEY_LENGTH, blank=True, help_text="The key by which the carrier knows it; empty until it was asked."
    )
    carrier_reference = models.CharField(max_length=255, blank=True, help_text="The carrier's own id of it.")
    tracking_number = models.CharField(max_length=100, blank=True)
    tracking_url = models.TextField(blank=True)
    label_reference = models.TextField(blank=True, help_text="Where the carrier keeps the label's document.")
    estimated_from = models.DateField(help_text="The earliest day on which it is expected at the door.")
    estimated_delivery = models.DateField(help_text="The latest day.")
    packed_by = models.CharField(max_length=150, blank=True)
    packed_at = models.DateTimeField(null=True, blank=True)
    labelled_at = models.DateTimeField(null=True, blank=True)
    label_printed_at = models.DateTimeField(null=True, blank=True, help_text="When its label was printed last.")
    label_printing_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when somebody is at printing it, for the first time."
    )
    label_refund = models.CharField(
        max_length=9,
        blank=True,
        default="",
        db_default="",
        choices=[(one.value, one.name) for one in LabelRefund if one],
        help_text="What became of the money for a label that was given back.",
    )
    label_refund_at = models.DateTimeField(null=True, blank=True, help_text="Since when that is so.")
    label_refund_look_at = models.DateTimeField(
        null=True, blank=True, help_text="When the carrier is asked about it next."
    )
    delivered_at = models.DateTimeField(null=True, blank=True, help_text="By the carrier's clock.")
    cancelled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        permissions = [("pack_shipment", "Can pack shipments, and say that one can't be sent")]
        constraints = [
            models.UniqueConstraint(fields=["label_key"], condition=~Q(label_key=""), name="shipment_by_label_key"),
            models.UniqueConstraint(
                fields=["carrier", "tracking_number"], condition=~Q(tracking_number=""), name="shipment_by_tracking"
            ),
            models.CheckConstraint(condition=Q(status__in=ShipmentStatus.values), name="shipment_status_is_known"),
            models.CheckConstraint(condition=Q(weight_grams__gt=0), name="shipment_weighs_something"),
            models.CheckConstraint(
                condition=Q(estimated_from__lte=F("estimated_delivery")), name="shipment_estimate_is_in_order"
            ),
            models.CheckConstraint(
                condition=~Q(status="LABELLED") | (~Q(label_key="") & ~Q(tracking_number="")),
                name="shipment_labelled_has_a_tracking_number",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["CREATED", "CANCELLED"]) | ~Q(packed_at=None), name="shipment_packed_says_when"
            ),
            models.CheckConstraint(
                condition=~Q(status="CANCELLED") | ~Q(cancelled_at=None), name="shipment_cancelled_says_when"
            ),
        ]
        indexes = [
            # What the warehouse has to do, oldest first.
            models.Index(
                fields=["status", "id"], name="shipments_in_the_house", condition=Q(status__in=["CREATED", "PACKED"])
            ),
            # How many of the newest come back.
            models.Index(fields=["-delivered_at"], name="shipments_delivered", condition=Q(delivered_at__isnull=False)),
            # What a carrier's webhook is about that knows none of our keys.
            models.Index(
                fields=["carrier", "carrier_reference"],
                name="shipments_by_reference",
                condition=~Q(carrier_reference=""),
            ),
            # Whose label is there, and was never printed.
            models.Index(
                fields=["id"], name="shipments_to_be_printed", condition=Q(status="LABELLED", label_printed_at=None)
            ),
            # Whose carrier is to be asked about the money for a label, and where it has said no.
            models.Index(
                fields=["label_refund_look_at"],
                name="shipments_label_refund_due",
                condition=Q(label_refund="SUBMITTED"),
            ),
            models.Index(
                fields=["-label_refund_at"], name="shipments_label_not_refunded", condition=Q(label_refund="REJECTED")
            ),
        ]

    def __str__(self) -> str:
        return f"shipment {self.number} ({self.status})"

    @property
    def address(self) -> Address:
        """Where it goes."""
        return Address(self.name, self.line1, self.line2, self.postal_code, self.city, self.country)


class ShipmentLine(models.Model):
    """So many units of one SKU in a parcel."""

    shipment = models.ForeignKey(Shipment, on_delete=models.CASCADE, related_name="lines")
    sku = models.CharField(max_length=64)
    name = models.CharField(max_length=200, blank=True)
    quantity = models.PositiveIntegerField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["shipment", "sku"], name="shipment_line_once_per_sku"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="shipment_line_quantity_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}"


class Batch(models.Model):
    """Parcels that go through the packing together, in the order in which their labels are printed.

    Written by `fulfillment.batches`. `refused` is what somebody wanted to pack along with them and what was in the way:
    texts for people, by what they had scanned.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    shipment_ids = ArrayField(models.UUIDField())
    refused = models.JSONField(default=dict, blank=True)
    made_by = models.CharField(max_length=150)
    made_at = models.DateTimeField()
    printed_by = models.CharField(max_length=150, blank=True, help_text="Who printed its labels last.")
    printed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "batches"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(shipment_ids__len__gte=1, shipment_ids__len__lte=1000), name="batch_is_one_pdf"
            ),
            models.CheckConstraint(
                condition=Q(printed_by="", printed_at=None) | (~Q(printed_by="") & Q(printed_at__isnull=False)),
                name="batch_printed_says_who_and_when",
            ),
        ]

    def __str__(self) -> str:
        return f"{len(self.shipment_ids)} parcels, {self.made_at:%Y-%m-%d %H:%M}"


class CarrierCall(models.Model):
    """One call to a carrier, written before it is made. An empty outcome: nobody has come back from it."""

    id = models.BigAutoField(primary_key=True)
    shipment = models.ForeignKey(Shipment, on_delete=models.PROTECT, related_name="calls")
    operation = models.CharField(max_length=4, choices=Operation)
    idempotency_key = models.CharField(max_length=KEY_LENGTH)
    number = models.PositiveIntegerField(help_text="1 for the key's first call, then 2, ...")
    outcome = models.CharField(max_length=7, choices=CallOutcome, blank=True)
    code = models.CharField(max_length=CODE_LENGTH, blank=True)
    message = models.TextField(blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["idempotency_key", "number"], name="carrier_call_once_per_key_and_number"),
            models.CheckConstraint(condition=Q(number__gte=1), name="carrier_call_number_starts_at_one"),
            models.CheckConstraint(condition=Q(operation__in=Operation.values), name="carrier_call_is_known"),
            models.CheckConstraint(condition=Q(outcome__in=CallOutcome.values), name="carrier_call_outcome_is_known"),
            models.CheckConstraint(condition=~Q(idempotency_key=""), name="carrier_call_has_a_key"),
            models.CheckConstraint(
                condition=Q(outcome="", finished_at__isnull=True) | (~Q(outcome="") & Q(finished_at__isnull=False)),
                name="carrier_call_finished_with_its_outcome",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.idempotency_key} #{self.number}: {self.get_outcome_display()}"


class Scan(models.Model):
    """One thing that happened to a parcel at its carrier. Append-only, once for each event of the carrier's.

    `told_at` is set once those who listen have heard of it (`fulfillment.scanning`). Until then it is tried again,
    after growing pauses, for as long as that takes.
    """

    id = models.BigAutoField(primary_key=True)
    shipment = models.ForeignKey(Shipment, on_delete=models.PROTECT, related_name="scans")
    event_id = models.CharField(max_length=EVENT_ID_LENGTH)
    kind = models.CharField(max_length=16, choices=[(kind.value, kind.name) for kind in ScanKind])
    occurred_at = models.DateTimeField(help_text="By the carrier's clock.")
    place = models.CharField(max_length=200, blank=True)
    message = models.TextField(blank=True)
    received_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True, blank=True)
    tell_again_at = models.DateTimeField(null=True, blank=True, help_text="Not before; empty: as soon as may be.")
    tries = models.PositiveIntegerField(db_default=0, help_text="How often it could not be passed on.")
    trouble = models.TextField(blank=True, db_default="", help_text="What was in the way.")

    class Meta:
        ordering = ["occurred_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["shipment", "event_id"], name="scan_once_per_event"),
            models.CheckConstraint(condition=~Q(event_id=""), name="scan_has_an_event"),
            models.CheckConstraint(condition=Q(kind__in=[k.value for k in ScanKind]), name="scan_kind_is_known"),
        ]
        indexes = [
            models.Index(fields=["id"], name="scans_untold", condition=Q(told_at__isnull=True)),
            models.Index(fields=["id"], name="scans_stuck", condition=Q(told_at__isnull=True, tries__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.occurred_at:%Y-%m-%d %H:%M}"


class DeliveryRate(models.Model):
    """How long a carrier's service takes to a country, up to a weight. While there is none, `rates.USUAL` counts."""

    carrier = models.CharField(max_length=32)
    service = models.CharField(max_length=64, help_text="the carrier's word for it")
    countries = ArrayField(
        models.CharField(max_length=2, validators=[RegexValidator(r"^[A-Z]{2}$", "Two capital letters, such as DE.")]),
        blank=True,
        default=list,
        help_text="ISO 3166-1 alpha-2, with commas between; empty: everywhere that no other rate names",
    )
    up_to_grams = models.PositiveIntegerField(help_text="the heaviest parcel, in grams")
    days_min = models.PositiveSmallIntegerField("days, at least", help_text="working days")
    days_max = models.PositiveSmallIntegerField("days, at most", help_text="working days")
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["carrier", "days_max", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(up_to_grams__gt=0), name="delivery_rate_carries_something"),
            models.CheckConstraint(
                condition=Q(days_min__gte=0, days_min__lte=F("days_max")),
                name="delivery_rate_days_in_order",
                violation_error_message="It can't take at least longer than at most.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.carrier} {self.service}, up to {self.up_to_grams} g"


class CarrierEvent(models.Model):
    """One event that a carrier has told of, once, however often it was sent. Written by `fulfillment.inbox`."""

    id = models.BigAutoField(primary_key=True)
    carrier = models.CharField(max_length=32)
    event_id = models.CharField(max_length=EVENT_ID_LENGTH)
    kind = models.CharField(max_length=100)
    shipment_key = models.CharField(max_length=KEY_LENGTH, blank=True)
    reference = models.CharField(max_length=255, blank=True)
    tracking_number = models.CharField(max_length=100, blank=True)
    scans = models.JSONField(default=dict, help_text="What it says that happened.")
    payload = models.TextField(help_text="As it came.")
    occurred_at = models.DateTimeField(help_text="By the carrier's clock.")
    received_at = models.DateTimeField()
    given_up_at = models.DateTimeField(help_text="Until then it is tried again.")
    status = models.CharField(max_length=8, choices=EventStatus, default=EventStatus.RECEIVED)
    due_at = models.DateTimeField(null=True, help_text="When to look into it; empty once that is over.")
    tries = models.PositiveIntegerField(default=0)
    outcome = models.TextField(blank=True, help_text="What came of it, or what was in the way.")
    processed_at = models.DateTimeField(null=True)
    replayed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        verbose_name = "carrier webhook"
        ordering = ["-id"]
        permissions = [("replay_carrierevent", "Can have a carrier's webhook looked into again")]
        constraints = [
            models.UniqueConstraint(fields=["carrier", "event_id"], name="carrier_event_once"),
            models.CheckConstraint(condition=~Q(event_id=""), name="carrier_event_has_an_id"),
            models.CheckConstraint(condition=Q(status__in=EventStatus.values), name="carrier_event_status_is_known"),
            models.CheckConstraint(
                condition=Q(status__in=["RECEIVED", "PARKED"], due_at__isnull=False)
                | Q(status__in=["DONE", "FAILED"], due_at__isnull=True),
                name="carrier_event_is_due_until_it_is_settled",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="carrier_events_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["processed_at"], name="carrier_events_done", condition=Q(status="DONE")),
        ]

    def __str__(self) -> str:
        return f"{self.carrier} {self.kind} {self.event_id}"
