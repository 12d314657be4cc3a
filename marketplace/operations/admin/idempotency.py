"""Which requests were answered once and for all."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString
from unfold.decorators import display

from marketplace.idempotency.models import IdempotencyRecord
from marketplace.operations.admin.base import EndlessAdmin, age


@admin.register(IdempotencyRecord)
class IdempotencyAdmin(EndlessAdmin):
    """Read-only, and without pages of their own: what was answered concerns whoever asked."""

    list_display = ("answered", "method", "route", "principal", "status", "kept")
    list_display_links = None
    ordering = ("-expires_at",)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """There is none."""
        raise Http404

    @display(description="answered")
    def answered(self, record: IdempotencyRecord) -> SafeString | str:
        """How long ago."""
        return age(record.created_at)

    @display(description="kept until")
    def kept(self, record: IdempotencyRecord) -> SafeString | str:
        """For how much longer."""
        return age(record.expires_at)
