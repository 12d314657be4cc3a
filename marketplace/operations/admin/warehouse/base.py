"""What the warehouse's pages have in common."""

from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest
from django.template.response import TemplateResponse

from fulfillment.models import Batch
from marketplace.kernel.clock import database_now
from marketplace.operations.admin.base import StoryAdmin, framed

MAY_PACK: Final = "fulfillment.pack_shipment"


class WarehousePages(StoryAdmin):
    """For whoever may pack."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whoever may pack."""
        return bool(request.user.has_perm(MAY_PACK))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """The same."""
        return self.has_view_permission(request)

    def require(self, request: HttpRequest, *, posted: bool = False) -> None:
        """Raise unless the caller may pack, and unless it is a POST where it must be one."""
        if not self.has_view_permission(request) or (posted and request.method != "POST"):
            raise PermissionDenied

    def screen(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> TemplateResponse:
        """Show one of the warehouse's screens in the site's frame."""
        batch = Batch(shipment_ids=[], made_at=database_now())  # the frame wants to be about something
        # Without `opts` and with this title the head of the page says where one is, and not "Batches" everywhere.
        known: dict[str, Any] = {"opts": None, "content_title": title, "title": title, "original": title}
        known["sees_orders"] = request.user.has_perm("orders.view_order")
        return framed(self, request, batch, f"operations/warehouse/{template}", {**known, **context})
