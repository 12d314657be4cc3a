"""What the world was told, and what waits to be published."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.views import ChangeList

from marketplace.operations.admin.base import EndlessAdmin, StoryAdmin, age, as_uuid, order_link, order_number
from marketplace.operations.admin.filters import EventTopic, Published
from marketplace.outbox.models import OutboxEvent, Unpublished, shard_of
from orders.models import Order
from orders.numbers import typed


def waiting(events: list[OutboxEvent]) -> set[int]:
    """Which of these events are not published yet, by position. One query, by the primary key of the notes."""
    shards = {shard_of(event.saga_id) for event in events}
    notes = Unpublished.objects.filter(shard__in=shards, position__in=[event.pk for event in events])
    return set(notes.values_list("position", flat=True))


class EventList(ChangeList):
    """The list, which learns about the notes of its page in one query."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Mark the events that wait."""
        super().get_results(request)
        events = list(self.result_list)
        notes = waiting(events)
        for event in events:
            event.waits = event.pk in notes
        self.result_list = events


@admin.register(OutboxEvent)
class EventAdmin(StoryAdmin, EndlessAdmin):
    """Read-only: an event is a fact, told in the transaction in which it happened."""

    story_template = "operations/event.html"
    list_display = ("type", "topic", "order", "sequence", "happened", "published")
    list_filter = (Published, EventTopic)
    search_fields = ("type",)  # what is really looked for is in get_search_results
    search_help_text = "Order number, order, saga or event id: in full"
    ordering = ("-position",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """The list above."""
        return EventList

    def get_queryset(self, request: HttpRequest) -> "QuerySet[OutboxEvent]":
        """Add the order's number, for the page that is shown."""
        rows: QuerySet[OutboxEvent] = super().get_queryset(request)
        return rows.annotate(order_number=order_number("subject_id"))

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[OutboxEvent]", search_term: str
    ) -> tuple["QuerySet[OutboxEvent]", bool]:
        """Find by whom it is about."""
        term = search_term.strip()
        if not term:
            return queryset, False
        identity = as_uuid(term)
        if identity is not None:
            return queryset.filter(Q(subject_id=identity) | Q(saga_id=identity) | Q(event_id=identity)), False
        number = typed(term)
        return queryset.filter(subject_id__in=Order.objects.filter(number=number).values("pk")), False

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The event, and whether it waits."""
        assert isinstance(obj, OutboxEvent)  # noqa: S101 - for the type checker
        return {"event": obj, "waiting": bool(waiting([obj]))}

    @display(description="order")
    def order(self, event: Any) -> SafeString | str:
        """The order it is about."""
        return order_link(event.subject_id, event.order_number)

    @display(description="happened")
    def happened(self, event: OutboxEvent) -> SafeString | str:
        """How long ago."""
        return age(event.occurred_at)

    @display(description="published", label={"published": "success", "not yet": "warning"})
    def published(self, event: Any) -> str:
        """Whether it has reached the bus."""
        return "not yet" if event.waits else "published"
