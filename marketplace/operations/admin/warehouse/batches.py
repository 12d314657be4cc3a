"""Batches: the list, and the page of one, with its progress and its papers."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.decorators import display

from fulfillment import batches, picking
from fulfillment.errors import NothingToPrint, UnknownBatch
from fulfillment.models import Batch
from fulfillment.selectors import lines_of
from marketplace.kernel.clock import database_now
from marketplace.operations import wording
from marketplace.operations.admin.base import age
from marketplace.operations.admin.warehouse.packing import PackingPages
from marketplace.operations.admin.warehouse.picking import PickingPages
from marketplace.operations.admin.warehouse.printing import PrintingPages
from marketplace.operations.admin.warehouse.standing import standing
from marketplace.paper.http import respond
from orders import warehouse


@admin.register(Batch)
class BatchAdmin(PickingPages, PackingPages, PrintingPages):
    """Parcels that are packed together. For whoever may pack, and for nobody else."""

    story_template = "operations/warehouse/batch.html"
    list_display = ("made", "made_by", "parcels", "printed", "printed_by")
    list_display_links = ("made",)
    ordering = ("-id",)

    def get_urls(self) -> list[URLPattern]:
        """Add what can be done with one batch."""
        view = self.admin_site.admin_view
        ours = [
            path("<uuid:batch_id>/progress/", view(self.progress), name="fulfillment_batch_progress"),
            path("<uuid:batch_id>/packed/", view(self.all_packed), name="fulfillment_batch_packed"),
            path("<uuid:batch_id>/labels/", view(self.labels_of), name="fulfillment_batch_labels_of"),
            path("<uuid:batch_id>/slips/", view(self.slips_of), name="fulfillment_batch_slips_of"),
        ]
        return [*ours, *super().get_urls()]

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """Where its parcels are, what is in them, and what there is to be done."""
        assert isinstance(obj, Batch)  # noqa: S101 - for the type checker
        parcels = batches.parcels(obj.pk)
        ids = [view.id for view in parcels]
        lines = lines_of(ids)
        return {
            "batch": obj,
            "standing": standing(obj.pk),
            "parcels": [(view, lines.get(view.id, ())) for view in parcels],
            "refused": sorted(obj.refused.items()),
            "to_fetch": picking.totals(ids),
        }

    def progress(self, request: HttpRequest, batch_id: UUID) -> HttpResponseBase:
        """Answer with the part of the page that changes by itself; the page asks again and again."""
        self.require(request)
        try:
            now = standing(batch_id)
        except UnknownBatch as error:
            raise Http404 from error
        context = {"standing": now, "batch": Batch(pk=batch_id)}
        return TemplateResponse(request, "operations/warehouse/progress.html", context)

    def all_packed(self, request: HttpRequest, batch_id: UUID) -> HttpResponseBase:
        """Say that all of the batch is packed."""
        self.require(request, posted=True)
        try:
            answers = warehouse.pack_all_of(batch_id, who=request.user.get_username(), now=database_now())
        except UnknownBatch as error:
            raise Http404 from error
        packed = sum(answer.result == warehouse.PACKED for answer in answers)
        messages.success(request, f"Packed: {packed}.")
        refused = sum(answer.result == warehouse.REFUSED for answer in answers)
        if refused:
            messages.warning(request, f"Not to be sent: {refused}. Below is why; take them out.")
        return HttpResponseRedirect(reverse("admin:fulfillment_batch_change", args=[batch_id]))

    def labels_of(self, request: HttpRequest, batch_id: UUID) -> HttpResponseBase:
        """Answer with the labels of a batch as one PDF: those that are new, or all again."""
        self.require(request, posted=True)
        return self.printed_labels(request, batch_id, only_new="only_new" in request.POST)

    def slips_of(self, request: HttpRequest, batch_id: UUID) -> HttpResponse:
        """Answer with the packing slips of a batch as one PDF."""
        self.require(request)
        try:
            return respond(batches.print_slips(batch_id), f"packing-slips-{batch_id}.pdf")
        except (UnknownBatch, NothingToPrint) as error:
            raise Http404(error.message) from error

    @display(description="made", ordering="id")
    def made(self, batch: Batch) -> SafeString | str:
        """How long ago."""
        return age(batch.made_at)

    @display(description="parcels")
    def parcels(self, batch: Batch) -> int:
        """How many."""
        return len(batch.shipment_ids)

    @display(description="labels printed")
    def printed(self, batch: Batch) -> SafeString | str:
        """How long ago, the last time."""
        return age(batch.printed_at) if batch.printed_at else wording.NOTHING
