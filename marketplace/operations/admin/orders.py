"""Orders: the list, and everything that happened to one of them."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import display

from marketplace.operations import wording
from marketplace.operations.admin.base import StoryAdmin, age, amount, as_uuid
from marketplace.operations.admin.decisions import offered
from marketplace.operations.admin.filters import FailureCode, OrderOfStuckSaga
from marketplace.operations.admin.refunds import is_offered, parked_refunds, refund_view
from marketplace.operations.story import order_page
from marketplace.operations.unfinished import cases_of
from marketplace.sagas.models import ArchivedSaga, SagaInstance
from orders.fraud import reviews
from orders.models import Order, Status
from orders.numbers import typed
from orders.returns.selectors import returns_of
from payments.models import Payment


@admin.register(Order)
class OrderAdmin(StoryAdmin):
    """Read-only: an order is moved by its saga alone."""

    story_template = "operations/order.html"
    list_display = ("number", "status_label", "buyer", "total", "placed", "why", "saga_label")
    list_filter = ("status", OrderOfStuckSaga, FailureCode, "created_at")
    search_fields = ("number",)  # what is really looked for is in get_search_results
    search_help_text = "Number, order or saga id, user, e-mail address, or the gateway's transaction id: in full"
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Order]":
        """Add the saga's status, for the page that is shown."""
        saga = SagaInstance.objects.filter(pk=OuterRef("saga_id")).values("status")[:1]
        archived = ArchivedSaga.objects.filter(pk=OuterRef("saga_id")).values("status")[:1]
        rows: QuerySet[Order] = super().get_queryset(request)
        return rows.annotate(saga_status=Coalesce(Subquery(saga), Subquery(archived)))

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Order]", search_term: str
    ) -> tuple["QuerySet[Order]", bool]:
        """Find by what people have in hand, each by an exact match, so that indexes serve."""
        term = search_term.strip()
        if not term:
            return queryset, False
        identity = as_uuid(term)
        if identity is not None:
            of_a_saga = Q(saga_id=identity) | Q(reversal_id=identity) | Q(revival_id=identity)
            return queryset.filter(Q(pk=identity) | of_a_saga), False
        if "@" in term:
            return queryset.filter(Q(email__iexact=term) | Q(user_id=term)), False
        number = typed(term)
        paid = Payment.objects.filter(gateway_reference=term).values("reference_id")
        return queryset.filter(Q(number=number) | Q(user_id=term) | Q(pk__in=paid)), False

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """All there is to know of an order."""
        assert isinstance(obj, Order)  # noqa: S101 - for the type checker
        page = order_page(obj, now=timezone.now())
        return {
            "page": page,
            "decisions": offered(request, page.saga.row) if page.saga else [],
            "parked_refunds": parked_refunds(page.payments),
            "parked_cases": cases_of(obj.pk),
            "refund_url": reverse("admin:orders_order_refund", args=[obj.pk]) if is_offered(request, obj) else "",
            "reviews": reviews.of_orders([obj.id]),
            "returns": returns_of(obj.pk) if obj.status == Status.DELIVERED else [],
        }

    def get_urls(self) -> list[URLPattern]:
        """Add the page on which money is given back."""
        found: list[URLPattern] = super().get_urls()
        view = self.admin_site.admin_view(self.refund)
        return [path("<uuid:order_id>/refund/", view, name="orders_order_refund"), *found]

    def refund(self, request: HttpRequest, order_id: UUID) -> HttpResponseBase:
        """Ask how much of an order's money shall go back, and why; then see to it."""
        return refund_view(self, request, order_id)

    @display(description="status", ordering="status", label=dict(wording.COLOUR_OF_ORDER))
    def status_label(self, order: Order) -> str:
        """The status in its colour."""
        return str(order.status)

    @display(description="saga", label=dict(wording.COLOUR_OF_SAGA))
    def saga_label(self, order: Any) -> str:
        """The saga's status in its colour."""
        return order.saga_status or "NO SAGA"

    @display(description="buyer")
    def buyer(self, order: Order) -> str:
        """Who, as far as known."""
        return order.user_id or order.email or "guest"

    @display(description="total", ordering="total_minor")
    def total(self, order: Order) -> SafeString:
        """The amount with its currency."""
        return amount(order.total_minor, order.currency)

    @display(description="placed", ordering="created_at")
    def placed(self, order: Order) -> SafeString | str:
        """How long ago."""
        return age(order.created_at)

    @display(description="failure", ordering="failure_code")
    def why(self, order: Order) -> str:
        """The failure code, if any."""
        return order.failure_code or wording.NOTHING
