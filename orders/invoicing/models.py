"""What is on paper: the invoice, its credit notes, who sold, and the counters of their numbers.

None of these rows is ever changed or deleted, but for the running sum of an invoice's credit notes; the database
refuses it. It also refuses a number that does not follow on the one before (see the migration `invoices`).
"""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from orders.models import Order

INVOICES, CREDIT_NOTES = "invoice", "credit_note"  # the two series


class Series(models.Model):
    """The last number that was taken of one series in one year.

    Its row is locked from the taking of a number until the commit, so that a rollback gives the number back. That
    makes everybody wait who takes one, so it is done last in a transaction: see `marketplace.sagas.nodes.Workspace`.
    """

    kind = models.CharField(max_length=12, choices=[(INVOICES, "invoices"), (CREDIT_NOTES, "credit notes")])
    year = models.PositiveSmallIntegerField(help_text="in INVOICE_TIME_ZONE")
    last = models.PositiveIntegerField()
    issued_at = models.DateTimeField(help_text="of the last; no later number has an earlier one")

    class Meta:
        verbose_name_plural = "series"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "year"], name="orders_series_once"),
            models.CheckConstraint(name="orders_series_last_positive", condition=Q(last__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.year}"


class Seller(models.Model):
    """The shop as it wrote itself at the time. One row for each way it ever did."""

    id = models.UUIDField(primary_key=True, editable=False, help_text="made of the content")
    content = models.JSONField()

    def __str__(self) -> str:
        return str(self.content.get("name", self.id))


class Invoice(models.Model):
    """What one confirmed order has to pay, to whom, and which tax is in it. One for each order."""

    order = models.OneToOneField(
        Order, primary_key=True, on_delete=models.PROTECT, db_constraint=False, related_name="invoice"
    )
    year = models.PositiveSmallIntegerField()
    sequence = models.PositiveIntegerField()
    issued_at = models.DateTimeField()
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    currency = models.CharField(max_length=3)
    total_minor = models.BigIntegerField(help_text="with tax, in the currency's minor units")
    tax_percent = models.DecimalField(max_digits=6, decimal_places=3)
    tax_minor = models.BigIntegerField(help_text="included in the total")
    credited_minor = models.BigIntegerField(db_default=0, help_text="the sum of its credit notes")
    content = models.JSONField(help_text="the order's number, the buyer, the lines")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["year", "sequence"], name="orders_invoice_number_once"),
            models.CheckConstraint(name="orders_invoice_sequence_positive", condition=Q(sequence__gt=0)),
            models.CheckConstraint(
                name="orders_invoice_tax_within_total", condition=Q(tax_minor__gte=0, tax_minor__lte=F("total_minor"))
            ),
            models.CheckConstraint(
                name="orders_invoice_credited_within_total",
                condition=Q(credited_minor__gte=0, credited_minor__lte=F("total_minor")),
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def number(self) -> str:
        """As it is printed: `2026-000001`."""
        return f"{self.year}-{self.sequence:06d}"


class CreditNote(models.Model):
    """What of an invoice is not to be paid, or was paid back. The part of the tax that was in it goes back, too."""

    id = models.BigAutoField(primary_key=True)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credit_notes")
    key = models.CharField(max_length=255, unique=True, help_text="what it is for, so that it is given once")
    year = models.PositiveSmallIntegerField()
    sequence = models.PositiveIntegerField()
    issued_at = models.DateTimeField()
    amount_minor = models.BigIntegerField(help_text="with tax, in the minor units of the invoice's currency")
    tax_minor = models.BigIntegerField()
    reason = models.CharField(max_length=200, help_text="a failure code, or a sentence")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["year", "sequence"], name="orders_creditnote_number_once"),
            models.CheckConstraint(name="orders_creditnote_sequence_positive", condition=Q(sequence__gt=0)),
            models.CheckConstraint(name="orders_creditnote_amount_positive", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(
                name="orders_creditnote_tax_within_amount",
                condition=Q(tax_minor__gte=0, tax_minor__lte=F("amount_minor")),
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def number(self) -> str:
        """As it is printed: `CN-2026-000001`."""
        return f"CN-{self.year}-{self.sequence:06d}"
