"""What was seen at the gateways and could not be dealt with: late money, above all, that did not go back for a day."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from marketplace.kernel.clock import database_now
from marketplace.operations import wording
from marketplace.operations.admin.base import EndlessAdmin, age, amount, order_link, order_number
from marketplace.operations.admin.webhooks import WebhookAdmin
from payments import news
from payments.models import Observation


@admin.register(Observation)
class StuckNewsAdmin(EndlessAdmin):
    """News that are parked. All others are with their payments."""

    actions = ("try_again",)
    list_display = ("seen", "order", "kind", "money", "tries", "last_error")
    list_display_links = None
    ordering = ("id",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Observation]":
        """Those that are parked, with the numbers of their orders."""
        return news.parked().select_related("payment").annotate(order_number=order_number("payment__reference_id"))

    def has_try_again_permission(self, request: HttpRequest) -> bool:
        """Who may have a gateway's word looked into again."""
        return request.user.has_perm(WebhookAdmin.replay_permission)

    @admin.action(description="Try it again now", permissions=["try_again"])
    def try_again(self, request: HttpRequest, queryset: "QuerySet[Model]") -> None:
        """Have the selected news told, or their money given back, once more."""
        now, actor = database_now(), request.user.get_username()
        ids = list(queryset.values_list("pk", flat=True))
        count = sum(news.try_again(one, actor=actor, now=now) for one in ids)
        self.message_user(request, f"{count} to be tried within seconds.", messages.SUCCESS)

    @display(description="seen", ordering="id")
    def seen(self, row: Observation) -> SafeString | str:
        """How long ago."""
        return age(row.created_at)

    @display(description="order")
    def order(self, row: Any) -> SafeString | str:
        """The order whose payment it is about."""
        return order_link(row.payment.reference_id, row.order_number)

    @display(description="amount")
    def money(self, row: Observation) -> SafeString | str:
        """The money that it is about."""
        minor = row.detail.get("amount_minor")
        return amount(minor, row.payment.currency) if minor else wording.NOTHING
