"""Returns: what buyers send back. The list, the story of one, and the forms by which staff decide and receive."""

from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.operations import wording
from marketplace.operations.admin.base import StoryAdmin, age, as_uuid, order_link
from marketplace.operations.admin.filters import ReturnState
from marketplace.sagas.models import SagaInstance
from orders.models import Return
from orders.numbers import typed
from orders.returns import selectors, services
from orders.returns.errors import UnknownReturn
from orders.returns.selectors import ReturnView, number_of
from orders.returns.services import Back
from payments.models import Refund

# What each decision is called in an address, what is said of it, and what follows.
DECISIONS: Final = {
    "approve": ("Approve", "APPROVED", "The buyer sends it back. Money goes back once you have it in hand."),
    "reject": ("Reject", "REJECTED", "Nothing comes back, and no money goes. The buyer reads your reason."),
}
PAGE: Final = "admin:orders_return_change"


class _WhyForm(forms.Form):
    reason = forms.CharField(
        label="Why?", max_length=services.LONGEST_REASON, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )

    def __init__(self, *args: Any, help_text: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].help_text = help_text


class ReceiptForm(_WhyForm):
    """Per line: how many can be sold again, and how many can't."""

    def __init__(self, *args: Any, view: ReturnView, **kwargs: Any) -> None:
        kwargs["help_text"] = "In which condition it came. The buyer reads it only where nothing of it came."
        super().__init__(*args, **kwargs)
        self.fields["reason"].label = "What do you see?"
        self.view = view
        for at, line in enumerate(view.lines):
            for kind, many in (("shelf", line.quantity), ("lost", 0)):
                attrs = {"min": 0, "max": line.quantity, "inputmode": "numeric"}
                self.fields[f"{kind}_{at}"] = forms.IntegerField(
                    min_value=0,
                    max_value=line.quantity,
                    initial=many,
                    label="Can be sold again" if kind == "shelf" else "Can't be sold again",
                    widget=UnfoldAdminIntegerFieldWidget(attrs=attrs),
                )

    def rows(self) -> list[tuple[Any, Any, Any]]:
        """Each line with its two fields."""
        return [(line, self[f"shelf_{at}"], self[f"lost_{at}"]) for at, line in enumerate(self.view.lines)]

    def clean(self) -> dict[str, Any]:
        """No more than were to come."""
        data = super().clean() or self.cleaned_data
        for at, line in enumerate(self.view.lines):
            if data.get(f"shelf_{at}", 0) + data.get(f"lost_{at}", 0) > line.quantity:
                self.add_error(f"lost_{at}", f"Together at most {line.quantity}.")
        return data

    def back(self) -> dict[str, Back]:
        """What came, in the words of the service."""
        said = self.cleaned_data
        return {line.sku: Back(said[f"shelf_{at}"], said[f"lost_{at}"]) for at, line in enumerate(self.view.lines)}


@admin.register(Return)
class ReturnAdmin(StoryAdmin):
    """What buyers send back; those that wait longest for an answer first."""

    story_template = "operations/return.html"
    list_display = ("number", "order_number", "status_label", "asked", "waits", "what", "buyer", "why")
    list_display_links = None
    list_filter = (ReturnState,)
    list_select_related = ("order",)
    search_fields = ("=order__number",)  # a return's own number is looked for in get_search_results
    search_help_text = "Number of the return or the order, or the buyer: in full"
    ordering = ("answer_by",)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Return]", search_term: str
    ) -> tuple["QuerySet[Return]", bool]:
        """Find by what people have in hand."""
        term = search_term.strip()
        if not term:
            return queryset, False
        identity = as_uuid(term)
        if identity is not None:
            return queryset.filter(pk=identity) | queryset.filter(order_id=identity), False
        number, _, sequence = term.upper().partition("-R")
        rows = queryset.filter(order__number=typed(number))
        if sequence:
            rows = rows.filter(sequence=int(sequence)) if sequence.isdecimal() and len(sequence) < 5 else rows.none()
        return rows | queryset.filter(requested_by=term), False

    def get_urls(self) -> list[URLPattern]:
        """Add the pages on which is decided, and received."""
        found: list[URLPattern] = super().get_urls()
        decide, receive = self.admin_site.admin_view(self.decide), self.admin_site.admin_view(self.receive)
        return [
            path("<uuid:return_id>/decide/<slug:name>/", decide, name="orders_return_decide"),
            path("<uuid:return_id>/receive/", receive, name="orders_return_receive"),
            *found,
        ]

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The return, its refund and its saga, and what whoever asks can do about it."""
        assert isinstance(obj, Return)  # noqa: S101 - for the type checker
        view = selectors.get(obj.pk)
        may = request.user.has_perm(services.MAY_DECIDE)
        return {
            **_titled(f"Return {view.number}"),
            "view": view,
            "order": obj.order,
            "refund": Refund.objects.filter(pk=obj.pk).first(),
            "saga": SagaInstance.objects.filter(pk=view.saga_id).first(),
            "decisions": DECISIONS if may and view.can_be_decided else {},
            "may_receive": may and view.can_be_received,
        }

    def decide(self, request: HttpRequest, return_id: UUID, name: str) -> HttpResponseBase:
        """Say what follows and ask why; then tell the saga."""
        view = _view(request, return_id)
        if name not in DECISIONS:
            raise Http404
        label, verdict, what = DECISIONS[name]
        helping = "The buyer reads it." if name == "reject" else "For the staff's eyes; the buyer does not see it."
        form = _WhyForm(request.POST if request.method == "POST" else None, help_text=helping)
        if form.is_valid():
            who, why = request.user.get_username(), form.cleaned_data["reason"]
            return self._done(
                request,
                view,
                f"{verdict.capitalize()}, on record. The saga does the rest in a moment.",
                lambda: services.decide(return_id, verdict, actor=who, reason=why, now=database_now()),  # type: ignore[arg-type]
            )
        context = {**_titled(f"{label} return {view.number}"), "view": view, "label": label, "what": what, "form": form}
        return self.page(request, Return(id=view.id), "operations/return_decide.html", context)

    def receive(self, request: HttpRequest, return_id: UUID) -> HttpResponseBase:
        """Ask what came back, in which condition; then tell the saga."""
        view = _view(request, return_id)
        form = ReceiptForm(request.POST if request.method == "POST" else None, view=view)
        if form.is_valid():
            who, why = request.user.get_username(), form.cleaned_data["reason"]
            return self._done(
                request,
                view,
                "On record. The units and the money are on their way.",
                lambda: services.receive(return_id, back=form.back(), reason=why, actor=who, now=database_now()),
            )
        context = {**_titled(f"Receive return {view.number}"), "view": view, "form": form}
        return self.page(request, Return(id=view.id), "operations/return_receive.html", context)

    def _done(self, request: HttpRequest, view: ReturnView, said: str, deed: Any) -> HttpResponseBase:
        try:
            deed()
        except MarketplaceError as error:
            messages.error(request, f"Nothing was done by you: {error.message}")
        else:
            messages.success(request, said)
        return HttpResponseRedirect(reverse(PAGE, args=[view.id]))

    @display(description="return")
    def number(self, row: Return) -> SafeString:
        """Its number, which leads to it."""
        number = number_of(row.order.number, row.sequence)
        return format_html('<a class="ops-link ops-number" href="{}">{}</a>', reverse(PAGE, args=[row.pk]), number)

    @display(description="order")
    def order_number(self, row: Return) -> SafeString | str:
        """The order of which it is a part."""
        return order_link(row.order_id, row.order.number)

    @display(description="status", ordering="status", label=dict(wording.COLOUR_OF_RETURN))
    def status_label(self, row: Return) -> str:
        """The status in its colour."""
        return row.status

    @display(description="asked", ordering="requested_at")
    def asked(self, row: Return) -> SafeString | str:
        """How long ago."""
        return age(row.requested_at)

    @display(description="time left", ordering="answer_by")
    def waits(self, row: Return) -> SafeString | str:
        """Until when somebody has to decide, or the parcel has to be back."""
        until = {"REQUESTED": row.answer_by, "APPROVED": row.arrive_by}.get(row.status)
        if until is None:
            return wording.NOTHING
        said = wording.ago(until, now=timezone.now())
        return format_html('<time class="ops-number" title="{}">{}</time>', f"{until:%Y-%m-%d %H:%M:%S} UTC", said)

    @display(description="what")
    def what(self, row: Return) -> str:
        """What was asked for, in short."""
        return ", ".join(f"{line.quantity} x {line.product_name}" for line in row.lines.all())

    @display(description="buyer")
    def buyer(self, row: Return) -> str:
        """Who asked."""
        return row.requested_by

    @display(description="reason")
    def why(self, row: Return) -> SafeString:
        """The buyer's words, the beginning of them."""
        short = row.reason if len(row.reason) <= 60 else f"{row.reason[:59]}…"
        return format_html('<span title="{}">{}</span>', row.reason, short)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Return]":
        """Add the lines, for the page that is shown."""
        rows: QuerySet[Return] = super().get_queryset(request)
        return rows.prefetch_related("lines")


def _view(request: HttpRequest, return_id: UUID) -> ReturnView:
    if not request.user.has_perm(services.MAY_DECIDE):
        raise PermissionDenied
    try:
        return selectors.get(return_id)
    except UnknownReturn as error:
        raise Http404 from error


def _titled(title: str) -> dict[str, str]:
    return {"title": title, "original": title}
