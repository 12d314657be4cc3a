"""Packing: scan, type or tick what is packed; and what can't be sent."""

from typing import Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode

from fulfillment import picking
from fulfillment.picking import Choice
from fulfillment.selectors import lines_of
from marketplace.kernel.clock import database_now
from marketplace.operations.admin.warehouse.base import WarehousePages
from marketplace.operations.admin.warehouse.forms import CannotShipForm, NamesForm
from orders import warehouse
from orders.warehouse import Answer

MOST_SHOWN: Final = 100
COLOURS: Final = {
    warehouse.PACKED: "success",
    warehouse.WAS_PACKED: "warning",
    warehouse.TAKEN_BACK: "success",
    warehouse.WAS_TAKEN_BACK: "warning",
    warehouse.REFUSED: "danger",
}
WORDS: Final = {
    warehouse.PACKED: "Packed",
    warehouse.WAS_PACKED: "Packed already",
    warehouse.TAKEN_BACK: "Taken back",
    warehouse.WAS_TAKEN_BACK: "Taken back already",
    warehouse.REFUSED: "Refused",
}


class PackingPages(WarehousePages):
    """Adds the page for packing, and that for what can't be sent."""

    def get_urls(self) -> list[URLPattern]:
        """Add them."""
        view = self.admin_site.admin_view
        ours = [
            path("pack/", view(self.pack), name="fulfillment_batch_pack"),
            path("cannot-ship/", view(self.cannot_ship), name="fulfillment_batch_cannot_ship"),
        ]
        return [*ours, *super().get_urls()]

    def pack(self, request: HttpRequest) -> HttpResponseBase:
        """Ask what is packed. A scan is answered on the spot; several at once become a batch, whose page is shown."""
        self.require(request)
        form = NamesForm(request.POST) if request.method == "POST" else NamesForm()
        answers: list[Answer] = []
        if request.method == "POST" and "cannot_ship" in request.POST:
            asked = urlencode({"names": " ".join(request.POST.getlist("order"))})
            return HttpResponseRedirect(f"{reverse('admin:fulfillment_batch_cannot_ship')}?{asked}")
        if request.method == "POST" and "chosen" in request.POST:
            form = NamesForm({"names": " ".join(request.POST.getlist("order"))})
        if form.is_bound and form.is_valid():
            names, who, now = form.cleaned_data["names"], request.user.get_username(), database_now()
            if len(names) > 1:
                answers, batch_id = warehouse.pack_batch(names, who=who, now=now)
                if batch_id is not None:
                    return self._batch_made(request, answers, batch_id)
            else:
                answers = warehouse.pack(names, who=who, now=now)
            form = NamesForm()
        if request.headers.get("X-Scanned") == "yes":
            said = {"answers": _shown(answers), "errors": form.errors.get("names", [])}
            return TemplateResponse(request, "operations/warehouse/answers.html", said)
        return self._packing(request, form, answers)

    def _batch_made(self, request: HttpRequest, answers: list[Answer], batch_id: object) -> HttpResponseBase:
        counts = {word: sum(a.result == result for a in answers) for result, word in WORDS.items()}
        said = ". ".join(f"{word}: {count}" for word, count in counts.items() if count)
        level = messages.WARNING if counts["Refused"] else messages.SUCCESS
        messages.add_message(request, level, f"{said}.")
        return HttpResponseRedirect(reverse("admin:fulfillment_batch_change", args=[batch_id]))

    def _packing(self, request: HttpRequest, form: NamesForm, answers: list[Answer]) -> HttpResponseBase:
        everything = Choice(in_hand=True)
        now = database_now()
        waiting = picking.to_pack(everything, now=now, limit=MOST_SHOWN)
        lines = lines_of([view.id for view in waiting])
        context = {
            "form": form,
            "answers": _shown(answers),
            "waiting": [(view, lines.get(view.id, ())) for view in waiting],
            "count": picking.count_to_pack(everything, now=now),
        }
        return self.screen(request, "pack.html", "Packing", context)

    def cannot_ship(self, request: HttpRequest) -> HttpResponseBase:
        """Ask which orders can't be sent, and why; have them taken back, and show what became of each."""
        self.require(request)
        form = CannotShipForm(request.POST if request.method == "POST" else None, initial=request.GET.dict())
        answers: list[Answer] = []
        if form.is_bound and form.is_valid():
            names, reason = form.cleaned_data["names"], form.cleaned_data["reason"]
            who = request.user.get_username()
            answers = warehouse.cannot_ship(names, reason=reason, who=who, now=database_now())
            form = CannotShipForm()
        context = {"form": form, "answers": _shown(answers)}
        return self.screen(request, "cannot_ship.html", "Can’t ship", context)


def _shown(answers: list[Answer]) -> list[tuple[Answer, str, str]]:
    """Each answer with its colour and its word; what a person has to look at comes first."""
    order = list(reversed(WORDS))
    ranked = sorted(answers, key=lambda answer: order.index(answer.result))
    return [(answer, COLOURS[answer.result], WORDS[answer.result]) for answer in ranked]
