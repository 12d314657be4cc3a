"""Payments, with every call to the gateway and every refund."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from marketplace.operations import diagnosis, wording
from marketplace.operations.admin.base import StoryAdmin, age, amount, as_uuid, order_link, order_number
from marketplace.operations.story import payment_pages
from orders.models import Order
from orders.numbers import typed
from payments.models import Payment


@admin.register(Payment)
class PaymentAdmin(StoryAdmin):
    """Read-only: money moves by sagas, and the books must say what the gateway says."""

    story_template = "operations/payment.html"
    list_display = ("opened", "order", "status_label", "why", "asked", "kept", "method", "transaction")
    list_display_links = ("opened",)
    list_filter = ("status", "created_at")
    search_fields = ("gateway_reference",)  # what is really looked for is in get_search_results
    search_help_text = "Transaction id, order number, order or payment id, or authorization key: in full"
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Payment]":
        """Add the order's number, for the page that is shown."""
        rows: QuerySet[Payment] = super().get_queryset(request)
        return rows.annotate(order_number=order_number("reference_id"))

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Payment]", search_term: str
    ) -> tuple["QuerySet[Payment]", bool]:
        """Find by what people have in hand, each by an exact match, so that indexes serve."""
        term = search_term.strip()
        if not term:
            return queryset, False
        identity = as_uuid(term)
        if identity is not None:
            return queryset.filter(Q(pk=identity) | Q(reference_id=identity)), False
        number = typed(term)
        ordered = Order.objects.filter(number=number).values("pk")
        wanted = Q(gateway_reference=term) | Q(authorization_key=term) | Q(reference_id__in=ordered)
        return queryset.filter(wanted), False

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The payment, and where its money is."""
        assert isinstance(obj, Payment)  # noqa: S101 - for the type checker
        [page] = [one for one in payment_pages(obj.reference_id) if one.row.pk == obj.pk]
        said = diagnosis.of_money([page.row], unanswered=page.unanswered)
        return {"payment": page, "said": said, "order_number": getattr(obj, "order_number", None)}

    @display(description="opened", ordering="created_at")
    def opened(self, payment: Payment) -> SafeString | str:
        """How long ago."""
        return age(payment.created_at)

    @display(description="order")
    def order(self, payment: Any) -> SafeString | str:
        """The order that is paid for."""
        return order_link(payment.reference_id, payment.order_number)

    @display(description="status", ordering="status", label=dict(wording.COLOUR_OF_PAYMENT))
    def status_label(self, payment: Payment) -> str:
        """The status in its colour."""
        return payment.status

    @display(description="amount", ordering="amount_minor")
    def asked(self, payment: Payment) -> SafeString:
        """What was asked for."""
        return amount(payment.amount_minor, payment.currency)

    @display(description="kept")
    def kept(self, payment: Payment) -> SafeString | str:
        """What was taken, and neither given nor taken back."""
        kept = payment.captured_minor - payment.refunded_minor - payment.reversed_minor
        return amount(kept, payment.currency) if kept else wording.NOTHING

    @display(description="transaction")
    def transaction(self, payment: Payment) -> SafeString | str:
        """The gateway's own id."""
        reference = payment.gateway_reference
        return format_html('<code class="ops-code">{}</code>', reference) if reference else wording.NOTHING

    @display(description="failure")
    def why(self, payment: Payment) -> str:
        """Why it was refused."""
        return payment.failure_code or wording.NOTHING
