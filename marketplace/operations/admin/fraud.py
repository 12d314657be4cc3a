"""Fraud: the orders that wait for a person, the rules, the deny list, and who changed them when."""

from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.money import InvalidAmount, Money, format_minor
from marketplace.operations import wording
from marketplace.operations.admin.base import EndlessAdmin, StoryAdmin, age, amount
from marketplace.operations.admin.decisions import ReasonForm
from marketplace.operations.admin.filters import ReviewState
from orders.fraud import reviews, services
from orders.fraud.models import VELOCITY, DenyEntry, FraudRule, Review, ReviewStatus, RuleChange

MAY_DECIDE: Final = "orders.change_review"

# What each decision is called in an address, what the saga is told, and what follows from it.
DECISIONS: Final = {
    "approve": ("Approve", "APPROVED", "The money is taken now, and the order is confirmed."),
    "reject": (
        "Reject",
        "REJECTED",
        "The money is let go, the units are put back. The buyer reads neutral words, and no reason.",
    ),
}


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A rule, with its amount as people write it."""

    amount = forms.RegexField(
        r"^\s*[0-9]{1,12}(\.[0-9]+)?\s*$",
        required=False,
        max_length=20,
        error_messages={"invalid": "An amount is a plain number, such as 1299.00."},
        help_text="More than that. For a velocity rule: in all, within the time.",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
    )

    class Meta:
        model = FraudRule
        fields = ("name", "kind", "leads_to", "is_active", "currency", "most_orders", "window_minutes")
        labels = {"most_orders": "More orders than", "window_minutes": "Within (minutes)"}
        help_texts = {
            "currency": "Of the amount: a rule speaks only of orders in it.",
            "most_orders": "Velocity rules only. The order itself counts.",
            "window_minutes": "Velocity rules only. An hour is 60, a day 1440, a week 10080.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.amount_minor is not None:
            self.initial["amount"] = format_minor(self.instance.amount_minor, self.instance.currency)

    def clean_currency(self) -> str:
        """Three capital letters, or nothing."""
        currency: str = self.cleaned_data["currency"].strip().upper()
        if currency and (len(currency) != 3 or not (currency.isascii() and currency.isalpha())):
            raise forms.ValidationError("A currency is three letters, such as EUR.")
        return currency

    def clean(self) -> dict[str, Any]:
        """Turn the amount into whole minor units; nothing is rounded."""
        data = super().clean() or self.cleaned_data
        written, currency = (data.get("amount") or "").strip(), data.get("currency", "")
        if bool(written) != bool(currency) and not self.errors:
            self.add_error("currency" if written else "amount", "An amount and its currency go together.")
        self.instance.amount_minor = None
        if written and currency:
            try:
                self.instance.amount_minor = Money.parse(written, currency).minor or None
            except InvalidAmount as error:
                self.add_error("amount", error.message)
        return data


class _KeptAdmin(ModelAdmin):
    """What staff keeps: written through the services, so that every change is on record."""

    actions = None
    list_per_page = 50
    show_full_result_count = False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Write it, under the name of whoever asks."""
        services.save(obj, actor=request.user.get_username(), now=database_now())

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Take it away, under the name of whoever asks."""
        services.remove(obj, actor=request.user.get_username(), now=database_now())


@admin.register(FraudRule)
class FraudRuleAdmin(_KeptAdmin):
    """The rules. A change counts for every check that begins a second later."""

    form = RuleForm
    list_display = ("name", "kind", "says", "leads_to_label", "is_active")
    list_filter = ("is_active", "kind")
    fieldsets = (
        (None, {"fields": ("name", "kind", "leads_to", "is_active")}),
        ("How much", {"fields": ("amount", "currency")}),
        ("How often", {"fields": ("most_orders", "window_minutes")}),
    )

    @display(description="speaks of")
    def says(self, rule: FraudRule) -> str:
        """The rule's numbers, as a sentence."""
        money = f"over {wording.money(rule.amount_minor, rule.currency)}" if rule.amount_minor is not None else ""
        if rule.kind not in VELOCITY:
            return money or wording.NOTHING
        orders = f"more than {rule.most_orders} orders" if rule.most_orders is not None else ""
        window = wording.span((rule.window_minutes or 0) * 60)
        return f"{' or '.join(part for part in (orders, money) if part)} within {window}"

    @display(description="leads to", ordering="leads_to", label={"REVIEW": "warning", "REJECT": "danger"})
    def leads_to_label(self, rule: FraudRule) -> str:
        """What follows, in its colour."""
        return rule.leads_to


@admin.register(DenyEntry)
class DenyEntryAdmin(_KeptAdmin):
    """The deny list."""

    list_display = ("value", "kind", "leads_to_label", "is_active", "note")
    list_filter = ("is_active", "kind", "leads_to")
    search_fields = ("value", "note")

    @display(description="leads to", ordering="leads_to", label={"REVIEW": "warning", "REJECT": "danger"})
    def leads_to_label(self, entry: DenyEntry) -> str:
        """What follows, in its colour."""
        return entry.leads_to


@admin.register(RuleChange)
class RuleChangeAdmin(EndlessAdmin):
    """Who changed what, and when."""

    list_display = ("changed", "name", "what", "action", "difference", "actor")
    list_display_links = None
    list_filter = ("what", "action")
    search_fields = ("name", "=actor")

    @display(description="when", ordering="id")
    def changed(self, change: RuleChange) -> SafeString | str:
        """How long ago."""
        return age(change.at)

    @display(description="from, to")
    def difference(self, change: RuleChange) -> str:
        """Each value that is another now; of what was added or removed, all that it said."""
        before, after = _said(change.before), _said(change.after)
        if not (before and after):
            return "; ".join(f"{name}: {value}" for name, value in (before or after).items() if value)
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return "; ".join(
            f"{name}: {before.get(name) or wording.NOTHING} → {after.get(name) or wording.NOTHING}" for name in names
        )


def _said(values: dict[str, Any]) -> dict[str, str]:
    """The values of a rule or an entry as people write them; empty for what it has not."""
    written = {name.replace("_", " "): "" if value is None else str(value) for name, value in values.items()}
    minor, currency = values.get("amount_minor"), values.get("currency", "")
    if written.pop("amount minor", ""):
        written["amount"] = wording.money(int(minor or 0), written.pop("currency", currency))
    return written


@admin.register(Review)
class ReviewAdmin(StoryAdmin):
    """The orders that wait for a person, those with the least time left first; and those that did."""

    story_template = "operations/review.html"
    list_display = ("order_number", "time_left", "total", "buyer", "found", "status_label", "decided")
    list_display_links = None
    list_filter = (ReviewState,)
    list_select_related = ("order",)
    search_fields = ("=order__number", "=order__email", "=order__user_id")
    search_help_text = "Order number, e-mail address or user: in full"
    ordering = ("deadline_at",)

    def get_urls(self) -> list[URLPattern]:
        """Add the page on which is decided."""
        found: list[URLPattern] = super().get_urls()
        view = self.admin_site.admin_view(self.decide)
        return [path("decide/<uuid:review_id>/<slug:name>/", view, name="orders_review_decide"), *found]

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The review, and what whoever asks can do about it."""
        assert isinstance(obj, Review)  # noqa: S101 - for the type checker
        may = obj.status == ReviewStatus.PENDING and request.user.has_perm(MAY_DECIDE)
        payment = reviews.payment_of(obj.order_id)
        title = f"Review of {obj.order.number}"
        known = {"review": obj, "order": obj.order, "payment": payment, "decisions": DECISIONS if may else {}}
        return {**known, "title": title, "original": title}

    def decide(self, request: HttpRequest, review_id: UUID, name: str) -> HttpResponseBase:
        """Say what follows and ask why; then tell the saga."""
        if not request.user.has_perm(MAY_DECIDE):
            raise PermissionDenied
        review = Review.objects.select_related("order").filter(pk=review_id).first()
        if review is None or name not in DECISIONS:
            raise Http404
        label, verdict, what = DECISIONS[name]
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if review.status != ReviewStatus.PENDING:
            messages.error(request, f"Nothing is left to decide: it is {review.status} already.")
            return HttpResponseRedirect(reverse("admin:orders_review_change", args=[review.pk]))
        if form.is_valid():
            self._decide(request, review, verdict, form.cleaned_data["reason"])
            return HttpResponseRedirect(reverse("admin:orders_order_change", args=[review.order_id]))
        title = f"{label} order {review.order.number}"
        context = {"title": title, "review": review, "order": review.order, "label": label, "what": what, "form": form}
        return self.page(request, review, "operations/review_decide.html", context)

    def _decide(self, request: HttpRequest, review: Review, verdict: Any, reason: str) -> None:
        try:
            reviews.decide(review.pk, verdict, actor=request.user.get_username(), reason=reason, now=database_now())
        except MarketplaceError as error:
            messages.error(request, f"Nothing was decided by you: {error.message}")
        else:
            messages.success(request, f"{verdict.capitalize()}, on record. The saga does the rest in a moment.")

    @display(description="order")
    def order_number(self, review: Review) -> SafeString:
        """The order's number, which leads to the review."""
        address = reverse("admin:orders_review_change", args=[review.pk])
        return format_html('<a class="ops-link ops-number" href="{}">{}</a>', address, review.order.number)

    @display(description="time left", ordering="deadline_at")
    def time_left(self, review: Review) -> SafeString | str:
        """Until when somebody has to decide."""
        if review.status != ReviewStatus.PENDING:
            return wording.NOTHING
        said = wording.ago(review.deadline_at, now=timezone.now())
        title = f"{review.deadline_at:%Y-%m-%d %H:%M:%S} UTC"
        return format_html('<time class="ops-number" title="{}">{}</time>', title, said)

    @display(description="total")
    def total(self, review: Review) -> SafeString:
        """The amount with its currency."""
        return amount(review.order.total_minor, review.order.currency)

    @display(description="buyer")
    def buyer(self, review: Review) -> str:
        """Who, as far as known."""
        return review.order.user_id or review.order.email or "guest"

    @display(description="found")
    def found(self, review: Review) -> str:
        """Why somebody should look at it."""
        return "; ".join(review.reasons)

    @display(description="status", ordering="status", label=dict(wording.COLOUR_OF_REVIEW))
    def status_label(self, review: Review) -> str:
        """The status in its colour."""
        return review.status

    @display(description="decided")
    def decided(self, review: Review) -> str:
        """By whom."""
        return review.actor or wording.NOTHING
