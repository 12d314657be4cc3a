"""Differences with a gateway that the reconciliation has found, and the two ways to deal with one."""

from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.decorators import display

from marketplace.kernel.errors import MarketplaceError
from marketplace.operations import wording
from marketplace.operations.admin.base import StoryAdmin, age, order_link, order_number
from marketplace.operations.admin.decisions import ReasonForm
from payments import reconciliation
from payments.models import ReconciliationCase
from payments.states import CaseKind, CaseStatus

MAY_SETTLE: Final = "payments.change_reconciliationcase"

WHAT_SETTLING_DOES: Final = {
    CaseKind.ORPHAN_CHARGE: "The charge is voided, or what was taken of it is refunded.",
    CaseKind.WRONG_AMOUNT: "Our books are corrected to what the gateway believes; the order's own rules do the rest.",
    CaseKind.WRONG_STATUS: "Our books are corrected to what the gateway believes; the order's own rules do the rest.",
    CaseKind.UNKNOWN_OUTCOME: (
        "The gateway is asked, and its answer taken into our books. If it knows of nothing, the payment is voided, "
        "so that nothing comes of it later."
    ),
}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to deal with a case. `what` says what it does."""

    name: str
    label: str
    what: str


def ways(case: ReconciliationCase) -> list[Way]:
    """How this case can be dealt with."""
    if case.status != CaseStatus.OPEN:
        return []
    by_hand = Way("close", "Close by hand", "Nothing is done: you say that it is dealt with. If not, it comes back.")
    does = WHAT_SETTLING_DOES.get(CaseKind(case.kind))
    return [Way("settle", "Settle", does), by_hand] if does else [by_hand]


@admin.register(ReconciliationCase)
class CaseAdmin(StoryAdmin):
    """Read-only but for settling a case, or closing it by hand, with a reason."""

    story_template = "operations/case.html"
    list_display = ("opened", "kind_label", "gateway", "order", "ours", "theirs", "status_label")
    list_display_links = ("opened",)
    list_filter = ("status", "kind", "gateway")
    search_fields = ("=key", "=reference_id")
    search_help_text = "Authorization key or order id: in full"
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[ReconciliationCase]":
        """Add the order's number, for the page that is shown."""
        rows: QuerySet[ReconciliationCase] = super().get_queryset(request)
        return rows.annotate(order_number=order_number("reference_id"))

    def get_urls(self) -> list[URLPattern]:
        """Add the page on which a case is dealt with."""
        found: list[URLPattern] = super().get_urls()
        view = self.admin_site.admin_view(self.deal_with)
        return [path("deal/<int:case_id>/<slug:name>/", view, name="payments_reconciliationcase_deal"), *found]

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The case, and how it can be dealt with by whoever asks."""
        assert isinstance(obj, ReconciliationCase)  # noqa: S101 - for the type checker
        offered = ways(obj) if request.user.has_perm(MAY_SETTLE) else []
        return {"case": obj, "ways": offered, "order_number": getattr(obj, "order_number", None)}

    def deal_with(self, request: HttpRequest, case_id: int, name: str) -> HttpResponseBase:
        """Say what will be done and ask why; then do it."""
        if not request.user.has_perm(MAY_SETTLE):
            raise PermissionDenied
        case = ReconciliationCase.objects.filter(pk=case_id).first()
        way = next((one for one in ways(case) if one.name == name), None) if case is not None else None
        if case is None or way is None:
            raise Http404
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            self._deal(request, case, way, form.cleaned_data["reason"])
            return HttpResponseRedirect(reverse("admin:payments_reconciliationcase_change", args=[case.pk]))
        title = f"{way.label}: case #{case.pk}"
        context = {"title": title, "original": title, "case": case, "way": way, "form": form}
        return self.page(request, case, "operations/case_deal.html", context)

    def _deal(self, request: HttpRequest, case: ReconciliationCase, way: Way, reason: str) -> None:
        who = request.user.get_username()
        try:
            if way.name == "settle":
                messages.success(request, reconciliation.settle(case.pk, actor=who, reason=reason))
            else:
                reconciliation.close_by_hand(case.pk, actor=who, reason=reason)
                messages.success(request, "Closed by hand, on record.")
        except MarketplaceError as error:
            messages.error(request, f"The case stays open: {error.message}")

    @display(description="opened", ordering="id")
    def opened(self, case: ReconciliationCase) -> SafeString | str:
        """How long ago."""
        return age(case.first_seen_at)

    @display(description="what", ordering="kind")
    def kind_label(self, case: ReconciliationCase) -> str:
        """What kind of difference."""
        return case.get_kind_display()

    @display(description="order")
    def order(self, case: Any) -> SafeString | str:
        """The order that it is about, if any."""
        return order_link(case.reference_id, case.order_number)

    @display(description="status", ordering="status", label=dict(wording.COLOUR_OF_CASE))
    def status_label(self, case: ReconciliationCase) -> str:
        """The status in its colour."""
        return case.status
