"""Labels: those that were never printed, those of the last day, chosen ones, and any batch again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from fulfillment import batches, picking
from fulfillment.errors import NothingToPrint, PrintedElsewhere, UnknownBatch
from fulfillment.models import Batch
from fulfillment.selectors import ShipmentView
from marketplace.kernel.clock import database_now
from marketplace.operations.admin.warehouse.base import WarehousePages
from marketplace.operations.admin.warehouse.forms import NamesForm
from marketplace.paper.http import respond
from orders.numbers import typed

RECENT: Final = timedelta(hours=24)
MOST_BATCHES: Final = 20
NOTHING: Final = "There is no label to print: none was bought yet, or all are printed."


class PrintingPages(WarehousePages):
    """Adds the page for labels."""

    def get_urls(self) -> list[URLPattern]:
        """Add it."""
        view = self.admin_site.admin_view(self.labels)
        return [path("labels/", view, name="fulfillment_batch_labels"), *super().get_urls()]

    def labels(self, request: HttpRequest) -> HttpResponseBase:
        """Show what is to be printed; a POST makes a batch of what is meant, and answers with its labels as one PDF."""
        self.require(request)
        now = database_now()
        form = NamesForm(request.POST) if "names" in request.POST else NamesForm()
        if request.method == "POST" and "new" in request.POST:
            return self._printed(request, lambda: batches.print_new(who=request.user.get_username(), now=now))
        if request.method == "POST" and (not form.is_bound or form.is_valid()):
            meant = self._meant(request, form)
            if not meant:
                messages.error(request, NOTHING)
                return HttpResponseRedirect(request.path)
            batch_id = batches.make([view.id for view in meant], who=request.user.get_username(), now=now)
            return self.printed_labels(request, batch_id)
        context = {
            "form": form,
            "new": picking.count_to_print(),
            "recent": len(picking.labelled_since(now - RECENT, limit=batches.MOST)),
            "most": batches.MOST,
            "batches": Batch.objects.order_by("-id")[:MOST_BATCHES],
        }
        return self.screen(request, "labels.html", "Labels", context)

    def _meant(self, request: HttpRequest, form: NamesForm) -> list[ShipmentView]:
        if "recent" in request.POST:
            return picking.labelled_since(database_now() - RECENT, limit=batches.MOST)
        names = form.cleaned_data["names"] if form.is_bound else []
        asked = [typed(name) for name in names]
        return [view for view in picking.by_number([*asked, *names]) if view.tracking_number]

    def printed_labels(self, request: HttpRequest, batch_id: UUID, *, only_new: bool = False) -> HttpResponseBase:
        """Answer with the labels of a batch as one PDF, and write down that they are printed."""
        who, now = request.user.get_username(), database_now()
        return self._printed(
            request, lambda: (batch_id, batches.print_labels(batch_id, who=who, now=now, only_new=only_new))
        )

    def _printed(self, request: HttpRequest, print_: Callable[[], tuple[UUID, bytes]]) -> HttpResponseBase:
        try:
            batch_id, content = print_()
        except (UnknownBatch, NothingToPrint):
            messages.error(request, NOTHING)
        except PrintedElsewhere as error:
            messages.warning(request, f"{error.message} Nothing was printed twice.")
        else:
            return respond(content, f"labels-{batch_id}.pdf")
        return HttpResponseRedirect(reverse("admin:fulfillment_batch_labels"))
