"""What the lists of webhooks have in common, whoever sent them."""

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from marketplace.kernel.clock import database_now
from marketplace.operations import wording
from marketplace.operations.admin.base import EndlessAdmin, age


class InboxAdmin(EndlessAdmin):
    """Read-only, but for one thing: a webhook can be looked into again.

    A subclass says by whom (`replay_permission`) and by what (`look_again`, called with a webhook's id, `actor` and
    `now`), and by which columns one is found (`found_by`).
    """

    replay_permission: ClassVar[str]
    look_again: ClassVar[Callable[..., None]]
    found_by: ClassVar[tuple[str, ...]]

    actions = ("replay",)
    list_display_links = ("received",)
    search_fields = ("event_id",)  # what is really looked for is in get_search_results
    ordering = ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> tuple["QuerySet[Any]", bool]:
        """Find by what people have in hand."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(reduce(or_, (Q((name, term)) for name in self.found_by))), False

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Whoever has been given it."""
        return request.user.has_perm(self.replay_permission)

    @admin.action(description="Look into it again", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: "QuerySet[Model]") -> None:
        """Have the selected webhooks looked into again, as things stand now."""
        now, actor = database_now(), request.user.get_username()
        ids = list(queryset.values_list("pk", flat=True))
        for webhook_id in ids:
            self.look_again(webhook_id, actor=actor, now=now)
        count = "One webhook is" if len(ids) == 1 else f"{len(ids)} webhooks are"
        self.message_user(request, f"{count} looked into again.", messages.SUCCESS)

    @display(description="received", ordering="id")
    def received(self, event: Any) -> SafeString | str:
        """How long ago."""
        return age(event.received_at)

    @display(description="status", ordering="status", label=dict(wording.COLOUR_OF_WEBHOOK))
    def status_label(self, event: Any) -> str:
        """The status in its colour."""
        return str(event.status)

    @display(description="what came of it")
    def came_of_it(self, event: Any) -> str:
        """What it changed, or what was in the way."""
        return event.outcome or wording.NOTHING
