"""What payment gateways told us, and what came of it."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from marketplace.operations.admin.base import StoryAdmin
from marketplace.operations.admin.inboxes import InboxAdmin
from payments.inbox import processing
from payments.models import Payment, WebhookEvent


def payment_of(event: WebhookEvent) -> Payment | None:
    """The payment that a webhook is about, if we know it."""
    ours = Payment.objects.filter(gateway=event.gateway)
    if event.authorization_key:
        return ours.filter(authorization_key=event.authorization_key).first()
    return ours.filter(gateway_reference=event.reference).first() if event.reference else None


@admin.register(WebhookEvent)
class WebhookAdmin(StoryAdmin, InboxAdmin):
    """What gateways told us; looked into again, the gateway is asked how things stand now."""

    story_template = "operations/webhook.html"
    replay_permission = "payments.replay_webhookevent"
    look_again = staticmethod(processing.replay)
    found_by = ("event_id", "authorization_key", "reference")
    search_help_text = "Event id, authorization key or transaction id: in full"
    list_display = ("received", "gateway", "kind", "status_label", "came_of_it", "tries", "event_id")
    list_filter = ("status", "gateway")

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The webhook, and its payment."""
        assert isinstance(obj, WebhookEvent)  # noqa: S101 - for the type checker
        return {"webhook": obj, "payment": payment_of(obj)}
