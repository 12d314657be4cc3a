"""What a person may decide about sagas, as buttons: what each would do is shown first, and why is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from unfold.widgets import UnfoldAdminTextareaWidget

from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.operations.admin.base import StoryAdmin, as_uuid, framed
from marketplace.operations.subjects import orders_about
from marketplace.sagas import attention, foresight
from marketplace.sagas.foresight import Foreseen
from marketplace.sagas.models import SagaInstance, Status
from orders.models import Order

MAY_DECIDE: Final = "sagas.change_sagainstance"
MOST_AT_ONCE: Final = 200  # beyond that: `manage.py sagas`, which has a rate
MOST_FORETOLD: Final = 20  # each may ask the gateway


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the four decisions. `what` says what it does, in words for whoever was just woken up."""

    name: str
    label: str
    what: str
    decide: Callable[..., attention.Decided]
    quiet: bool = True


CHOICES: Final = {
    choice.name: choice
    for choice in (
        Choice(
            "retry",
            "Retry",
            "Try the step again, with all its attempts and the same key: what did happen is found, not done twice.",
            attention.retry,
            quiet=False,
        ),
        Choice(
            "compensate",
            "Compensate",
            "Undo it all in reverse order, beginning with the step where it stands.",
            attention.compensate,
        ),
        Choice(
            "resolve",
            "Resolve",
            "The step counts as done by hand and the saga goes on. Nothing is called or booked for it.",
            attention.resolve,
        ),
        Choice(
            "ignore",
            "Ignore",
            "Off the alerts, and still parked: it stays an open case, and every other decision stays possible.",
            attention.ignore,
        ),
    )
}


class ReasonForm(forms.Form):
    """Why: it goes on record with the name of whoever decides."""

    reason = forms.CharField(
        label="Why?",
        max_length=2000,
        help_text="For the staff's eyes; the buyer does not see it.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )


@dataclass(frozen=True, slots=True)
class Offered:
    """A decision on a saga's page: where it leads, or why it is not possible here."""

    choice: Choice
    url: str
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One of several sagas to be decided about; afterwards with what became of it."""

    row: SagaInstance
    order: Order | None
    undos: tuple[Foreseen, ...] = ()
    refused: str = ""
    outcome: str = ""


def may_decide(request: HttpRequest) -> bool:
    """Whether whoever asks may decide about sagas."""
    return request.user.has_perm(MAY_DECIDE)


def offered(request: HttpRequest, row: SagaInstance) -> list[Offered]:
    """The decisions to be shown on the page of a saga: none where none is needed, or they may not take any."""
    if row.status != Status.NEEDS_ATTENTION or not may_decide(request):
        return []
    refused = {"compensate": _refusal(row.pk)}
    if row.acknowledged_at is not None:
        refused["ignore"] = "Somebody has acknowledged it already."
    return [Offered(one, _address(row.pk, one.name), refused.get(one.name, "")) for one in CHOICES.values()]


def _refusal(saga_id: UUID) -> str:
    row = SagaInstance.objects.filter(pk=saga_id, undoing=True).first()
    if row is not None:
        return "It is being undone already: retry that, or resolve the undo."
    try:
        attention.undos_ahead(saga_id)
    except MarketplaceError as error:
        return error.message
    return ""


def _address(saga_id: UUID, name: str) -> str:
    return reverse("admin:sagas_sagainstance_decide", args=[saga_id, name])


class DecidingAdmin(StoryAdmin):
    """The list and the pages of sagas, with the four decisions for whoever may change sagas."""

    actions: ClassVar[Any] = ("retry_them", "compensate_them", "resolve_them", "ignore_them")

    def get_urls(self) -> list[URLPattern]:
        """Add the pages on which decisions are taken."""
        ours = [
            path("decide/<slug:name>/", self.admin_site.admin_view(self.decide_many), name="sagas_sagainstance_many"),
            path(
                "<uuid:saga_id>/decide/<slug:name>/",
                self.admin_site.admin_view(self.decide),
                name="sagas_sagainstance_decide",
            ),
        ]
        found: list[URLPattern] = super().get_urls()
        return [*ours, *found]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Who may change sagas; nobody changes their rows by hand."""
        return may_decide(request)

    # --- one ----------------------------------------------------------------------------------------------------------

    def decide(self, request: HttpRequest, saga_id: UUID, name: str) -> HttpResponseBase:
        """Show what the decision would do and ask why; then take it."""
        choice = _choice(request, name)
        row = SagaInstance.objects.filter(pk=saga_id).first()
        if row is None:
            raise Http404
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                self._take(request, choice, row.pk, form)
            except MarketplaceError as error:
                messages.error(request, f"Nothing was done: {error.message}")
            else:
                messages.success(request, f"{choice.label}: on record, and on its way.")
            return HttpResponseRedirect(reverse("admin:sagas_sagainstance_change", args=[row.pk]))
        [case] = _cases([row], choice)
        title = f"{choice.label} {row.name}"
        context = {"title": title, "original": title, "choice": choice, "case": case, "form": form}
        return framed(self, request, row, "operations/decide.html", context)

    def _take(self, request: HttpRequest, choice: Choice, saga_id: UUID, form: ReasonForm) -> attention.Decided:
        who = request.user.get_username()
        return choice.decide(saga_id, actor=who, reason=form.cleaned_data["reason"], now=database_now())

    # --- several ------------------------------------------------------------------------------------------------------

    @admin.action(description="Retry …", permissions=["decide"])
    def retry_them(self, request: HttpRequest, queryset: "QuerySet[SagaInstance]") -> HttpResponseBase:
        """Go to the page on which several are retried."""
        return self._go(queryset, "retry")

    @admin.action(description="Compensate …", permissions=["decide"])
    def compensate_them(self, request: HttpRequest, queryset: "QuerySet[SagaInstance]") -> HttpResponseBase:
        """Go to the page on which several are undone."""
        return self._go(queryset, "compensate")

    @admin.action(description="Resolve …", permissions=["decide"])
    def resolve_them(self, request: HttpRequest, queryset: "QuerySet[SagaInstance]") -> HttpResponseBase:
        """Go to the page on which several are resolved."""
        return self._go(queryset, "resolve")

    @admin.action(description="Ignore …", permissions=["decide"])
    def ignore_them(self, request: HttpRequest, queryset: "QuerySet[SagaInstance]") -> HttpResponseBase:
        """Go to the page on which several are acknowledged."""
        return self._go(queryset, "ignore")

    def _go(self, queryset: "QuerySet[SagaInstance]", name: str) -> HttpResponseBase:
        ids = ",".join(str(pk) for pk in queryset.values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
        return HttpResponseRedirect(f"{reverse('admin:sagas_sagainstance_many', args=[name])}?ids={ids}")

    def decide_many(self, request: HttpRequest, name: str) -> HttpResponseBase:
        """Show what is to be decided about and ask why, once for all; then decide one by one, each with its result."""
        choice = _choice(request, name)
        ids = [found for one in request.GET.get("ids", "").split(",") if (found := as_uuid(one)) is not None]
        if not 1 <= len(ids) <= MOST_AT_ONCE:
            messages.error(request, f"Choose 1 to {MOST_AT_ONCE} sagas; for more there is manage.py sagas {name}.")
            return HttpResponseRedirect(reverse("admin:sagas_sagainstance_changelist"))
        rows = list(SagaInstance.objects.filter(pk__in=ids).order_by("updated_at", "pk"))
        form = ReasonForm(request.POST if request.method == "POST" else None)
        decided = form.is_valid()
        cases = self._decided(request, choice, rows, form) if decided else _cases(rows, choice)
        title = f"{choice.label} {len(rows)} saga{'s' * (len(rows) != 1)}"
        context = {
            "title": title,
            "original": title,
            "choice": choice,
            "cases": cases,
            "form": form,
            "decided": decided,
            "refused": sum(bool(case.refused) for case in cases),
        }
        return framed(self, request, SagaInstance(name="sagas"), "operations/decide_many.html", context)

    def _decided(
        self, request: HttpRequest, choice: Choice, rows: Sequence[SagaInstance], form: ReasonForm
    ) -> list[Case]:
        orders = orders_about(row.subject_id for row in rows)
        found = []
        for row in rows:
            order = orders.get(row.subject_id)
            try:
                done = self._take(request, choice, row.pk, form)
            except MarketplaceError as error:
                found.append(Case(row, order, refused=error.message))
            else:
                found.append(Case(row, order, outcome=f"{done.status}{' at ' * bool(done.step)}{done.step}"))
        return found


def _choice(request: HttpRequest, name: str) -> Choice:
    if not may_decide(request):
        raise PermissionDenied
    if name not in CHOICES:
        raise Http404
    return CHOICES[name]


def _cases(rows: Sequence[SagaInstance], choice: Choice) -> list[Case]:
    orders = orders_about(row.subject_id for row in rows)
    return [_case(row, orders.get(row.subject_id), choice, at) for at, row in enumerate(rows)]


def _case(row: SagaInstance, order: Order | None, choice: Choice, at: int) -> Case:
    if row.status != Status.NEEDS_ATTENTION:
        return Case(row, order, refused=f"It is {row.status}: nobody has to decide about it.")
    if choice.name != "compensate" or at >= MOST_FORETOLD:
        return Case(row, order)
    refused = _refusal(row.pk)
    if refused:
        return Case(row, order, refused=refused)
    try:
        return Case(row, order, foresight.foresee(row.pk, now=database_now()))
    except MarketplaceError as error:
        return Case(row, order, refused=error.message)
