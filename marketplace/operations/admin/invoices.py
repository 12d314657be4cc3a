"""Invoices and credit notes: the lists, and each as PDF."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from marketplace.kernel.errors import NotFound
from marketplace.operations import wording
from marketplace.operations.admin.base import EndlessAdmin, StoryAdmin, age, amount, as_uuid, order_link
from marketplace.paper.http import respond
from orders import selectors
from orders.invoicing import pdf
from orders.models import CreditNote, Invoice
from orders.numbers import typed


def _numbered(term: str) -> Q | None:
    """Read the number of an invoice or a credit note: `2026-000001`, also with `CN-` before it; None for no such."""
    year, _, sequence = term.upper().removeprefix("CN-").partition("-")
    if not (year.isdecimal() and sequence.isdecimal() and len(year) == 4 and len(sequence) < 10):
        return None
    return Q(year=int(year), sequence=int(sequence))


def _of_order(term: str, at: str) -> Q:
    """What belongs to an order, by its id or number; `at` leads from the row to the order."""
    identity = as_uuid(term)
    if identity is not None:
        return Q(**{f"{at}order_id": identity})
    return Q(**{f"{at}order__number": typed(term)})


def _rate(invoice: Invoice) -> str:
    """The rate of its tax: `19 %`, `8.1 %`."""
    return f"{invoice.tax_percent.normalize():f} %"


def _file(address: str, number: str) -> SafeString:
    """Link to a PDF."""
    return format_html('<a class="ops-link" href="{}" target="_blank" aria-label="{} as PDF">PDF</a>', address, number)


@admin.register(Invoice)
class InvoiceAdmin(StoryAdmin):
    """Read-only, and the database refuses changes too."""

    story_template = "operations/invoice.html"
    paginator = InfinitePaginator
    list_display = ("number", "issued", "of_order", "total", "tax", "credited", "file")
    list_display_links = ("number",)
    list_filter = ("year",)
    search_fields = ("sequence",)  # what is really looked for is in get_search_results
    search_help_text = "Number of the invoice, or number or id of the order: in full"
    ordering = ("-year", "-sequence")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Invoice]":
        """With the order of each, and who sold."""
        rows: QuerySet[Invoice] = super().get_queryset(request)
        return rows.select_related("order", "seller")

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Invoice]", search_term: str
    ) -> tuple["QuerySet[Invoice]", bool]:
        """Find by what people have in hand, each by an exact match, so that indexes serve."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(_numbered(term) or _of_order(term, "")), False

    def story(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        """The invoice as it was issued, and its credit notes."""
        assert isinstance(obj, Invoice)  # noqa: S101 - for the type checker
        notes = list(obj.credit_notes.order_by("id"))
        return {"invoice": obj, "rate": _rate(obj), "notes": notes, "buyer": obj.content["address"] or {}}

    def get_urls(self) -> list[URLPattern]:
        """Add the file."""
        ours = [path("<uuid:order_id>/pdf/", self.admin_site.admin_view(self.pdf), name="orders_invoice_pdf")]
        return [*ours, *super().get_urls()]

    def pdf(self, request: HttpRequest, order_id: UUID) -> HttpResponse:
        """Answer with the invoice as PDF, in the buyer's language: what the buyer has."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            paper = pdf.invoice(order_id, locale=selectors.order(order_id).language)
        except NotFound as error:
            raise Http404(error.message) from error
        return respond(paper.content, paper.filename)

    @display(description="number", ordering="sequence")
    def number(self, invoice: Invoice) -> str:
        """As it is printed."""
        return invoice.number

    @display(description="issued", ordering="issued_at")
    def issued(self, invoice: Invoice) -> SafeString | str:
        """How long ago."""
        return age(invoice.issued_at)

    @display(description="order")
    def of_order(self, invoice: Invoice) -> SafeString | str:
        """What it is for."""
        return order_link(invoice.order_id, invoice.order.number)

    @display(description="total", ordering="total_minor")
    def total(self, invoice: Invoice) -> SafeString:
        """With tax."""
        return amount(invoice.total_minor, invoice.currency)

    @display(description="tax in it", ordering="tax_minor")
    def tax(self, invoice: Invoice) -> SafeString:
        """How much, and at which rate."""
        return format_html("{} <small>({})</small>", amount(invoice.tax_minor, invoice.currency), _rate(invoice))

    @display(description="credited", ordering="credited_minor")
    def credited(self, invoice: Invoice) -> SafeString | str:
        """By its credit notes."""
        return amount(invoice.credited_minor, invoice.currency) if invoice.credited_minor else wording.NOTHING

    @display(description="file")
    def file(self, invoice: Invoice) -> SafeString:
        """The PDF."""
        return _file(reverse("admin:orders_invoice_pdf", args=[invoice.pk]), invoice.number)


@admin.register(CreditNote)
class CreditNoteAdmin(EndlessAdmin):
    """Read-only, and the database refuses changes too."""

    list_display = ("number", "issued", "of_invoice", "of_order", "total", "tax", "why", "file")
    list_display_links = None
    list_filter = ("year",)
    search_fields = ("sequence",)  # what is really looked for is in get_search_results
    search_help_text = "Number of the credit note, or number or id of the order: in full"
    ordering = ("-id",)
    fields = ("invoice", "year", "sequence", "issued_at", "amount_minor", "tax_minor", "reason", "key")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[CreditNote]":
        """With the invoice and the order of each."""
        rows: QuerySet[CreditNote] = super().get_queryset(request)
        return rows.select_related("invoice__order")

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[CreditNote]", search_term: str
    ) -> tuple["QuerySet[CreditNote]", bool]:
        """Find by what people have in hand, each by an exact match, so that indexes serve."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(_numbered(term) or _of_order(term, "invoice__")), False

    def get_urls(self) -> list[URLPattern]:
        """Add the file."""
        view = self.admin_site.admin_view(self.pdf)
        ours = [path("<uuid:order_id>/<str:number>/pdf/", view, name="orders_creditnote_pdf")]
        return [*ours, *super().get_urls()]

    def pdf(self, request: HttpRequest, order_id: UUID, number: str) -> HttpResponse:
        """Answer with the credit note as PDF, in the buyer's language: what the buyer has."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            paper = pdf.credit_note(order_id, number, locale=selectors.order(order_id).language)
        except NotFound as error:
            raise Http404(error.message) from error
        return respond(paper.content, paper.filename)

    @display(description="number", ordering="sequence")
    def number(self, note: CreditNote) -> str:
        """As it is printed."""
        return note.number

    @display(description="issued", ordering="issued_at")
    def issued(self, note: CreditNote) -> SafeString | str:
        """How long ago."""
        return age(note.issued_at)

    @display(description="of invoice")
    def of_invoice(self, note: CreditNote) -> SafeString:
        """What it takes from."""
        address = reverse("admin:orders_invoice_change", args=[note.invoice_id])
        return format_html('<a class="ops-link ops-number" href="{}">{}</a>', address, note.invoice.number)

    @display(description="order")
    def of_order(self, note: CreditNote) -> SafeString | str:
        """What it is for."""
        return order_link(note.invoice_id, note.invoice.order.number)

    @display(description="amount", ordering="amount_minor")
    def total(self, note: CreditNote) -> SafeString:
        """With tax."""
        return amount(note.amount_minor, note.invoice.currency)

    @display(description="tax in it", ordering="tax_minor")
    def tax(self, note: CreditNote) -> SafeString:
        """How much."""
        return amount(note.tax_minor, note.invoice.currency)

    @display(description="why")
    def why(self, note: CreditNote) -> str:
        """The reason that is printed."""
        return note.reason

    @display(description="file")
    def file(self, note: CreditNote) -> SafeString:
        """The PDF."""
        address = reverse("admin:orders_creditnote_pdf", args=[note.invoice_id, note.number])
        return _file(address, note.number)
