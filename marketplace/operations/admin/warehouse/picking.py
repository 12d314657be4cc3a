"""The pick list: what must be fetched for the orders that wait to be packed."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from fulfillment import batches, picking
from fulfillment.errors import NothingToPick
from fulfillment.selectors import lines_of
from marketplace.kernel.clock import database_now
from marketplace.operations.admin.warehouse.base import WarehousePages
from marketplace.operations.admin.warehouse.forms import ChoiceForm


class PickingPages(WarehousePages):
    """Adds the pick list."""

    def get_urls(self) -> list[URLPattern]:
        """Add it."""
        return [
            path("pick/", self.admin_site.admin_view(self.pick), name="fulfillment_batch_pick"),
            *super().get_urls(),
        ]

    def pick(self, request: HttpRequest) -> HttpResponseBase:
        """Show what is to be fetched, for printing too; a POST makes a batch of it.

        What came in since the page was shown is not on the list that somebody holds, and not in the batch.
        """
        self.require(request)
        now = database_now()
        form = ChoiceForm(request.GET)
        choice, size = form.chosen()
        found = picking.to_pack(choice, now=now, limit=size)
        if request.method == "POST":
            shown = set(request.POST.get("shown", "").split(","))
            meant = [view.id for view in found if view.number in shown]
            try:
                batch_id = batches.pick(meant, who=request.user.get_username(), now=now, in_hand=choice.in_hand)
            except NothingToPick as nothing:
                messages.error(request, nothing.message)
                return HttpResponseRedirect(request.get_full_path())
            return HttpResponseRedirect(reverse("admin:fulfillment_batch_change", args=[batch_id]))
        ids = [view.id for view in found]
        lines = lines_of(ids)
        to_fetch = picking.totals(ids)
        context = {
            "form": form,
            "to_fetch": to_fetch,
            "units": sum(line.units for line in to_fetch),
            "parcels": [(view, lines.get(view.id, ())) for view in found],
            "shown": ",".join(view.number for view in found),
            "waiting": sum(one.parcels for one in form.waiting),
            "all_of_it": picking.count_to_pack(choice, now=now),
            "now": now,
        }
        return self.screen(request, "pick.html", "Pick list", context)
