"""The rules that staff keep, the deny list, what was changed of both, and the orders that wait for a person."""

import re
from typing import Any, ClassVar, Final

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from marketplace.kernel.ids import new_id
from orders.fraud import keys

LONGEST_WINDOW_MINUTES: Final = 366 * 24 * 60


class LeadsTo(models.TextChoices):
    """What a rule does to an order that it speaks of."""

    REVIEW = "REVIEW", "review: a person looks at it"
    REJECT = "REJECT", "reject"


class RuleKind(models.TextChoices):
    AMOUNT = "AMOUNT", "amount of one order"
    USER = "USER", "velocity: orders of one user"
    EMAIL = "EMAIL", "velocity: orders of one e-mail address"
    ADDRESS = "ADDRESS", "velocity: orders to one address"
    COUNTRY = "COUNTRY", "country: the card is from another than the parcel goes to"


VELOCITY: Final = (RuleKind.USER, RuleKind.EMAIL, RuleKind.ADDRESS)


class FraudRule(models.Model):
    """One rule. Which of the numbers it needs depends on its kind; `clean` says so in words, the database in CHECKs."""

    name = models.CharField(max_length=100, unique=True, help_text="How staff call it, and read it in a review.")
    kind = models.CharField(max_length=8, choices=RuleKind)
    leads_to = models.CharField(max_length=6, choices=LeadsTo, default=LeadsTo.REVIEW)
    is_active = models.BooleanField("on", default=True)
    currency = models.CharField(max_length=3, blank=True)
    amount_minor = models.BigIntegerField(null=True, blank=True)
    most_orders = models.PositiveIntegerField(null=True, blank=True)
    window_minutes = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        verbose_name = "fraud rule"
        ordering: ClassVar = ["kind", "name"]
        constraints: ClassVar = [
            models.CheckConstraint(name="fraud_rule_kind_known", condition=Q(kind__in=RuleKind.values)),
            models.CheckConstraint(name="fraud_rule_leads_somewhere", condition=Q(leads_to__in=LeadsTo.values)),
            models.CheckConstraint(
                name="fraud_rule_amount_has_a_currency",
                condition=Q(amount_minor__isnull=True, currency="")
                | Q(amount_minor__gt=0, currency__regex="^[A-Z]{3}$"),
            ),
            models.CheckConstraint(
                name="fraud_rule_has_its_numbers",
                condition=Q(
                    kind="AMOUNT", amount_minor__isnull=False, most_orders__isnull=True, window_minutes__isnull=True
                )
                | Q(kind="COUNTRY", amount_minor__isnull=True, most_orders__isnull=True, window_minutes__isnull=True)
                | Q(
                    Q(most_orders__isnull=False, most_orders__gte=1)
                    | Q(most_orders__isnull=True, amount_minor__isnull=False),
                    kind__in=["USER", "EMAIL", "ADDRESS"],
                    window_minutes__isnull=False,  # of a NULL, a CHECK has nothing to say
                    window_minutes__gte=1,
                    window_minutes__lte=LONGEST_WINDOW_MINUTES,
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Say in words which numbers this kind of rule needs, and which it has no use for."""
        wrong = dict(self._wrong())
        if wrong:
            raise ValidationError(wrong)

    def _wrong(self) -> Any:
        if self.kind in VELOCITY:
            if not self.window_minutes:
                yield "window_minutes", "Within how long?"
            elif self.window_minutes > LONGEST_WINDOW_MINUTES:
                yield "window_minutes", "At most a year."
            if self.most_orders is None and self.amount_minor is None:
                yield "most_orders", "So many orders, or so much money, or both."
            if self.most_orders == 0:
                yield "most_orders", "At least one: an order counts itself."
            return
        if self.kind == RuleKind.AMOUNT and self.amount_minor is None:
            yield "currency", "An amount, and its currency."
        if self.kind == RuleKind.COUNTRY and self.amount_minor is not None:
            yield "currency", "This kind of rule has no amount."
        for name in ("most_orders", "window_minutes"):
            if getattr(self, name) is not None:
                yield name, "Only the velocity rules have this."


class DenyKind(models.TextChoices):
    EMAIL = "EMAIL", "e-mail address"
    DOMAIN = "DOMAIN", "e-mail domain, and all below it"
    USER = "USER", "user"
    ADDRESS = "ADDRESS", "shipping address"
    POSTCODE = "POSTCODE", "postcode"
    COUNTRY = "COUNTRY", "country, of the card or of the parcel"


_MEANT: Final = {
    DenyKind.EMAIL: (r".+@.+\..+", "An e-mail address, such as ann@example.com."),
    DenyKind.DOMAIN: (r"[\w-]+(\.[\w-]+)+", "A domain, such as example.com."),
    DenyKind.USER: (r".+", "The name that the user signs in with."),
    DenyKind.ADDRESS: (r".{8,}", "Street, postcode, town and country, in this order: Main Street 1, 10115 Berlin, DE."),
    DenyKind.POSTCODE: (r"[a-z]{2}\w{2,}", "The country's two letters, then the postcode: DE 10115."),
    DenyKind.COUNTRY: (r"[A-Z]{2}", "The country's two letters, such as DE."),
}


class DenyEntry(models.Model):
    """Somebody or some place that nothing is sold to, or not before a person has looked. `value` is kept normalised."""

    kind = models.CharField(max_length=8, choices=DenyKind)
    value = models.CharField(max_length=400, help_text="Kept without what doesn’t matter: capitals, blanks, tags.")
    leads_to = models.CharField(max_length=6, choices=LeadsTo, default=LeadsTo.REJECT)
    is_active = models.BooleanField("on", default=True)
    note = models.CharField(max_length=500, blank=True, help_text="Why, for whoever wonders a year from now.")

    class Meta:
        verbose_name = "denied"
        verbose_name_plural = "deny list"
        ordering: ClassVar = ["kind", "value"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "value"], name="deny_once"),
            models.CheckConstraint(name="deny_kind_known", condition=Q(kind__in=DenyKind.values)),
            models.CheckConstraint(name="deny_leads_somewhere", condition=Q(leads_to__in=LeadsTo.values)),
            models.CheckConstraint(name="deny_somebody", condition=~Q(value="")),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.value}"

    def clean(self) -> None:
        """Normalise the value, and refuse one that could never be met."""
        if self.kind not in DenyKind.values:
            return  # said already, of that field
        self.value = normalised(self.kind, self.value)
        pattern, example = _MEANT[DenyKind(self.kind)]
        if not re.fullmatch(pattern, self.value):
            raise ValidationError({"value": example})


def normalised(kind: str, value: str) -> str:
    """Return `value` as orders are compared with it."""
    match kind:
        case DenyKind.EMAIL:
            return keys.email_key(value)
        case DenyKind.DOMAIN:
            return keys.domain(value).strip(".")
        case DenyKind.ADDRESS | DenyKind.POSTCODE:
            return keys.place(value)
        case DenyKind.COUNTRY:
            return value.strip().upper()
    return value.strip()


class RuleChange(models.Model):
    """What was changed of a rule or of the deny list: by whom, when, from what to what. Append-only."""

    id = models.BigAutoField(primary_key=True)
    what = models.CharField(max_length=10, choices=[("rule", "rule"), ("denied", "deny list")])
    row_id = models.BigIntegerField()
    name = models.CharField(max_length=420, help_text="of the rule, or who is denied")
    action = models.CharField(max_length=7, choices=[(one, one.lower()) for one in ("ADDED", "CHANGED", "REMOVED")])
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    actor = models.CharField(max_length=150)
    at = models.DateTimeField()

    class Meta:
        verbose_name = "change of the rules"
        verbose_name_plural = "changes of the rules"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [models.CheckConstraint(name="rule_change_has_an_actor", condition=~Q(actor=""))]

    def __str__(self) -> str:
        return f"{self.name}: {self.action.lower()}"


class ReviewStatus(models.TextChoices):
    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"  # by a person, or because nobody decided in time
    CLOSED = "CLOSED"  # the order came to another end first: cancelled, say, or its authorization lapsed


class Review(models.Model):
    """An order that waits for a person, or waited. Written by the saga that places it, and by nothing else."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    order = models.ForeignKey("orders.Order", on_delete=models.CASCADE, related_name="reviews")
    status = models.CharField(max_length=8, choices=ReviewStatus, default=ReviewStatus.PENDING)
    reasons = models.JSONField(default=list, help_text="for staff alone")
    opened_at = models.DateTimeField()
    deadline_at = models.DateTimeField(help_text="Who is not approved by then is rejected.")
    closed_at = models.DateTimeField(null=True, blank=True)
    actor = models.CharField(max_length=150, blank=True)
    why = models.TextField(blank=True)

    class Meta:
        verbose_name = "review"
        ordering: ClassVar = ["deadline_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["order"], condition=Q(status="PENDING"), name="review_one_at_a_time_of_an_order"
            ),
            models.CheckConstraint(name="review_status_known", condition=Q(status__in=ReviewStatus.values)),
            models.CheckConstraint(name="review_deadline_after_opening", condition=Q(deadline_at__gt=F("opened_at"))),
            models.CheckConstraint(
                name="review_closed_says_who_and_why",
                condition=Q(status="PENDING", closed_at__isnull=True, actor="", why="")
                | (~Q(status="PENDING") & Q(closed_at__isnull=False) & ~Q(actor="") & ~Q(why="")),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["deadline_at"], name="reviews_waiting", condition=Q(status="PENDING")),
            models.Index(fields=["-opened_at"], name="reviews_newest"),
        ]

    def __str__(self) -> str:
        return f"review of {self.order_id} ({self.status})"
