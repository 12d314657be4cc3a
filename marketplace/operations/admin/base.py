"""What the admin's pages have in common."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import CharField, Model, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from marketplace.operations import wording
from orders.models import Order

READING = frozenset({"GET", "HEAD"})


class ReadOnlyAdmin(ModelAdmin):
    """Can be looked at by whoever may view it, and changed by nobody, a superuser included."""

    actions: ClassVar[Any] = None
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False


class EndlessAdmin(ReadOnlyAdmin):
    """For tables that only grow: pages are not counted, and the newest come first."""

    paginator = InfinitePaginator


class StoryAdmin(ReadOnlyAdmin):
    """Shows one thing on a page of our own, `story_template`, filled by `story`."""

    story_template: ClassVar[str]

    def story(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """Return what the template needs to tell all about `obj`."""
        raise NotImplementedError

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponseBase:
        """Show the story; refuse everything else."""
        if request.method not in READING or object_id is None:
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        if obj is None:
            missing: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return missing
        return self.page(request, obj, self.story_template, {**(extra_context or {}), **self.story(request, obj)})

    def page(self, request: HttpRequest, obj: Model, template: str, context: dict[str, Any]) -> TemplateResponse:
        """Show `template` as a page about `obj`, in the site's frame."""
        return framed(self, request, obj, template, context)


def framed(
    model_admin: ModelAdmin, request: HttpRequest, obj: Model, template: str, context: dict[str, Any]
) -> TemplateResponse:
    """Show `template` as a page about `obj`, in the site's frame."""
    request.current_app = model_admin.admin_site.name
    frame = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "original": obj,
        "title": str(obj),
        "media": model_admin.media,
        "inline_admin_formsets": [],
    }
    return TemplateResponse(request, template, {**frame, **context})


def order_number(reference: str) -> Subquery:
    """Annotate rows with the number of the order whose id is in their column `reference`."""
    return Subquery(Order.objects.filter(pk=OuterRef(reference)).values("number")[:1], output_field=CharField())


def order_link(order_id: UUID | None, number: str | None) -> SafeString | str:
    """Link to an order's page by its number, or by its id where there is no such order."""
    if order_id is None:
        return wording.NOTHING
    return format_html(
        '<a class="ops-link ops-number" href="{}">{}</a>',
        reverse("admin:orders_order_change", args=[order_id]),
        number or order_id,
    )


def amount(minor: int, currency: str) -> SafeString:
    """Show an amount on one line."""
    return format_html('<span class="ops-number">{}</span>', wording.money(minor, currency))


def age(instant: Any) -> SafeString | str:
    """Show how long ago `instant` was, with the instant in its tooltip."""
    if instant is None:
        return wording.NOTHING
    said = wording.ago(instant, now=timezone.now())
    return format_html('<time class="ops-number" title="{}">{}</time>', f"{instant:%Y-%m-%d %H:%M:%S} UTC", said)


def as_uuid(text: str) -> UUID | None:
    """Read a UUID that somebody typed or pasted; None for anything else."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None
