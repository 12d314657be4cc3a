"""What payment gateways told us, and what came of it."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from marketplace.kernel.clock import database_now
from marketplace.operations import wording
from marketplace.operations.admin.base import EndlessAdmin, StoryAdmin, age
from payments.inbox import processing
from payments.models import Payment, WebhookEvent


def payment_of(event: WebhookEvent) -> Payment | None:
    """The payment that a webhook is about, if we know it."""
    ours = Payment.objects.filter(gateway=event.gateway)
    if event.authorization_key:
        return ours.filter(authorization_key=event.authorization_key).first()
    return ours.filter(gateway_reference=event.reference).first() if event.reference else None


@admin.register(WebhookEvent)
class WebhookAdmin(StoryAdmin, EndlessAdmin):
    """Read-only, but for one thing: a webhook can be looked into again."""

    story_template = "operations/webhook.html"
    actions = ("replay",)
    list_display = ("received", "gateway", "kind", "status_label", "came_of_it", "tries", "event_id")
    list_display_links = ("received",)
    list_filter = ("status", "gateway")
    search_fields = ("event_id",)  # what is really looked for is in get_search_results
    search_help_text = "Event id, authorization key or transaction id: in full"
    ordering = ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[WebhookEvent]", search_term: str
    ) -> tuple["QuerySet[WebhookEvent]", bool]:
        """Find by what people have in hand."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(Q(event_id=term) | Q(authorization_key=term) | Q(reference=term)), False

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Whoever has been given it."""
        return request.user.has_perm("payments.replay_webhookevent")

    @admin.action(description="Look into it again", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: "QuerySet[WebhookEvent]") -> None:
        """Have the selected webhooks looked into again: the gateway is asked how things stand now."""
        now, actor = database_now(), request.user.get_username()
        ids = list(queryset.values_list("pk", flat=True))
        for webhook_id in ids:
            processing.replay(webhook_id, actor=actor, now=now)
        count = "One webhook is" if len(ids) == 1 else f"{len(ids)} webhooks are"
        self.message_user(request, f"{count} looked into again.", messages.SUCCESS)

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The webhook, and its payment."""
        assert isinstance(obj, WebhookEvent)  # noqa: S101 - for the type checker
        return {"webhook": obj, "payment": payment_of(obj)}

    @display(description="received", ordering="id")
    def received(self, event: WebhookEvent) -> SafeString | str:
        """How long ago."""
        return age(event.received_at)

    @display(description="status", ordering="status", label=dict(wording.COLOUR_OF_WEBHOOK))
    def status_label(self, event: WebhookEvent) -> str:
        """The status in its colour."""
        return event.status

    @display(description="what came of it")
    def came_of_it(self, event: WebhookEvent) -> str:
        """What it changed, or what was in the way."""
        return event.outcome or wording.NOTHING
