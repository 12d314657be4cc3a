"""The page of breakers and pauses: what stands still, since when, who waits for it, and the way on."""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from unfold.widgets import UnfoldAdminSelectWidget

from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.operations.admin.base import framed
from marketplace.operations.admin.decisions import DecidingAdmin, ReasonForm, may_decide
from marketplace.sagas import circuits, pausing, standby
from marketplace.sagas.models import SagaInstance

MOST_PAST: Final = 10
TITLE: Final = "Breakers and pauses"
ADDRESS: Final = "admin:sagas_sagainstance_standby"


class PauseForm(ReasonForm):
    """What shall stand still, and why."""

    what = forms.ChoiceField(label="What shall stand still?", widget=UnfoldAdminSelectWidget)
    field_order = ("what", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["what"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - for the type checker
        field.choices = [(what, standby.what_in_words(what)) for what in pausing.pausable()]


class HoldingAdmin(DecidingAdmin):
    """Adds the page of breakers and pauses to the sagas' own."""

    def get_urls(self) -> list[URLPattern]:
        """Add it, and what its buttons do."""
        ours = [
            path("standby/", self.admin_site.admin_view(self.standby), name="sagas_sagainstance_standby"),
            path("standby/resume/", self.admin_site.admin_view(self.resume), name="sagas_sagainstance_resume"),
            path("standby/probe/", self.admin_site.admin_view(self.probe), name="sagas_sagainstance_probe"),
        ]
        return [*ours, *super().get_urls()]

    def standby(self, request: HttpRequest) -> HttpResponseBase:
        """Show breakers and pauses; a POST pauses something."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = PauseForm(request.POST if request.method == "POST" else None)
        if request.method == "POST":
            _check(request)
            if form.is_valid() and self._paused(request, form):
                return HttpResponseRedirect(reverse(ADDRESS))
        context = {
            "title": TITLE,
            "original": TITLE,
            "circuits": circuits.views(),
            "pauses": [(one, standby.what_in_words(one.what)) for one in pausing.views()],
            "past": [(one, standby.what_in_words(one.what)) for one in pausing.views(past=MOST_PAST) if one.resumed_at],
            "form": form,
            "may_decide": may_decide(request),
            "now": database_now(),
        }
        return framed(self, request, SagaInstance(name="sagas"), "operations/standby.html", context)

    def _paused(self, request: HttpRequest, form: PauseForm) -> bool:
        what, reason = form.cleaned_data["what"], form.cleaned_data["reason"]
        try:
            pausing.pause(what, actor=request.user.get_username(), reason=reason)
        except MarketplaceError as error:
            form.add_error("what", error.message)
            return False
        messages.success(request, f"Paused: {standby.what_in_words(what)}. Orders are accepted and stand by.")
        return True

    def resume(self, request: HttpRequest) -> HttpResponseBase:
        """End a pause."""
        _check(request)
        what, form = request.POST.get("what", ""), ReasonForm(request.POST)
        if not form.is_valid():
            messages.error(request, "Say why it may go on: it goes on record.")
            return HttpResponseRedirect(reverse(ADDRESS))
        try:
            view = pausing.resume(what, actor=request.user.get_username(), reason=form.cleaned_data["reason"])
        except MarketplaceError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, f"{view.waiting} stood by and go on, not all at once.")
        return HttpResponseRedirect(reverse(ADDRESS))

    def probe(self, request: HttpRequest) -> HttpResponseBase:
        """Let one call try now whether a place is back."""
        _check(request)
        try:
            circuits.probe_now(request.POST.get("name", ""))
        except MarketplaceError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, "One call tries in a moment. If it is answered, the others follow.")
        return HttpResponseRedirect(reverse(ADDRESS))


def _check(request: HttpRequest) -> None:
    if request.method != "POST" or not may_decide(request):
        raise PermissionDenied
