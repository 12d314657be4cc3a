"""Sagas: the list, every attempt at every step of one of them, and what a person may decide about them."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.decorators import display

from marketplace.operations import unfinished, wording
from marketplace.operations.admin.base import age, as_uuid, order_link
from marketplace.operations.admin.decisions import offered
from marketplace.operations.admin.filters import CurrentStep, Quiet, StandingBy, StuckSaga
from marketplace.operations.admin.holding import HoldingAdmin
from marketplace.operations.story import saga_page
from marketplace.operations.subjects import number_behind, order_behind, orders_about, parts_of
from marketplace.sagas import archive, standby
from marketplace.sagas.models import SagaInstance
from orders.models import Order
from orders.numbers import typed


@admin.register(SagaInstance)
class SagaAdmin(HoldingAdmin):
    """Read-only but for a person's decisions: a saga is moved by the engine, under its row's lock."""

    story_template = "operations/saga.html"
    list_display = ("short_id", "order", "name", "status_label", "step", "started", "attention_line")
    list_filter = (StuckSaga, "status", CurrentStep, Quiet, StandingBy, "started_at")
    search_fields = ("id",)  # what is really looked for is in get_search_results
    search_help_text = "Saga id, order id or order number in full; or words of why sagas need a person"
    ordering = ("-started_at",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[SagaInstance]":
        """Add the order's number, for the page that is shown."""
        rows: QuerySet[SagaInstance] = super().get_queryset(request)
        about = rows.annotate(order_id=order_behind("subject_id"))
        return about.annotate(order_number=number_behind("order_id"))

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[SagaInstance]", search_term: str
    ) -> tuple["QuerySet[SagaInstance]", bool]:
        """Find by id, or by the order it is about."""
        term = search_term.strip()
        if not term:
            return queryset, False
        identity = as_uuid(term)
        if identity is not None:
            about = Q(subject_id__in=[identity, *parts_of([identity])])
            return queryset.filter(Q(pk=identity) | about), False
        number = typed(term)
        orders = list(Order.objects.filter(number=number).values_list("pk", flat=True))
        if orders:
            return queryset.filter(subject_id__in=[*orders, *parts_of(orders)]), False
        # By the partial index of unfinished sagas: of those that are over nobody asks why they were parked.
        return queryset.filter(unfinished.UNFINISHED, attention__icontains=term), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Find an archived saga too."""
        found = super().get_object(request, object_id, from_field)
        identity = as_uuid(object_id)
        return found or (archive.row_of(identity) if identity is not None else None)

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """All there is to know of a saga."""
        assert isinstance(obj, SagaInstance)  # noqa: S101 - for the type checker
        order = orders_about([obj.subject_id]).get(obj.subject_id)
        return {
            "saga": saga_page(obj.pk, now=timezone.now()),
            "order_id": order.pk if order else None,
            "order_number": order.number if order else None,
            "decisions": offered(request, obj),
        }

    @display(description="saga")
    def short_id(self, saga: SagaInstance) -> SafeString:
        """The end of its id: the beginning is the time, and nearly the same for neighbours."""
        return format_html('<code class="ops-code">…{}</code>', str(saga.pk)[-12:])

    @display(description="order")
    def order(self, saga: Any) -> SafeString | str:
        """The order it is about."""
        return order_link(saga.order_id, saga.order_number)

    @display(description="status", ordering="status", label=dict(wording.COLOUR_OF_SAGA))
    def status_label(self, saga: SagaInstance) -> str:
        """The status in its colour."""
        return saga.status

    @display(description="step")
    def step(self, saga: SagaInstance) -> SafeString | str:
        """Where it stands, and at which attempt if it isn't the first."""
        name = wording.step(saga.current_step)
        shown = f"undo {name}" if name and saga.undoing else name
        if shown and saga.attempt > 1:
            shown = f"{shown}, attempt {saga.attempt}"
        return format_html('<span class="ops-number">{}</span>', shown) if shown else wording.NOTHING

    @display(description="started", ordering="started_at")
    def started(self, saga: SagaInstance) -> SafeString | str:
        """How long ago."""
        return age(saga.started_at)

    @display(description="attention")
    def attention_line(self, saga: SagaInstance) -> str:
        """Why it was parked, or what it stands by for, the beginning of it."""
        said = saga.attention or (standby.in_words(saga.standby) if saga.standby else "")
        return Truncator(said).chars(80) or wording.NOTHING
