"""What an order has on paper, as PDF: for whoever may see the order."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.kernel.money import format_minor
from marketplace.kernel.serializers import StrictSerializer
from marketplace.paper.http import LOCALE, RENDERERS, SCHEMA, asked_locale, respond
from orders import selectors
from orders.api.views import SECRET, require_access
from orders.invoicing import pdf
from orders.invoicing import selectors as invoicing


class CreditNoteSerializer(StrictSerializer):
    """A credit note: what of the invoice is not to be paid, or was paid back. `taxAmount` is the tax in it."""

    number = serializers.CharField()
    issued_at = serializers.DateTimeField()
    amount = serializers.CharField()
    tax_amount = serializers.CharField()
    currency = serializers.CharField()
    reason = serializers.CharField(help_text="a failure code, or a sentence")


class CreditNotesSerializer(StrictSerializer):
    """All of an order's, the first one first; `GET …/credit-notes/{number}` has each as PDF."""

    results = CreditNoteSerializer(many=True)


class OrderInvoice(APIView):
    """The invoice."""

    renderer_classes = RENDERERS

    @extend_schema(operation_id="getOrderInvoice", tags=["orders"], parameters=[SECRET, LOCALE], responses=SCHEMA)
    def get(self, request: Request, order_id: UUID) -> HttpResponse:
        """Get the invoice as PDF. 404 `not_invoiced` until the order is confirmed."""
        require_access(request, order_id)
        paper = pdf.invoice(order_id, locale=asked_locale(request) or selectors.order(order_id).language)
        return respond(paper.content, paper.filename)


class OrderCreditNotes(APIView):
    """The credit notes."""

    @extend_schema(
        operation_id="listOrderCreditNotes", tags=["orders"], parameters=[SECRET], responses=CreditNotesSerializer
    )
    def get(self, request: Request, order_id: UUID) -> Response:
        """List the credit notes of an order; empty where there are none."""
        require_access(request, order_id)
        currency = selectors.order(order_id).currency
        notes = [
            {
                "number": note.number,
                "issued_at": note.issued_at,
                "amount": format_minor(note.amount_minor, currency),
                "tax_amount": format_minor(note.tax_minor, currency),
                "currency": currency,
                "reason": note.reason,
            }
            for note in invoicing.credit_notes(order_id)
        ]
        return Response(CreditNotesSerializer({"results": notes}).data)


class OrderCreditNote(APIView):
    """One credit note."""

    renderer_classes = RENDERERS

    @extend_schema(operation_id="getOrderCreditNote", tags=["orders"], parameters=[SECRET, LOCALE], responses=SCHEMA)
    def get(self, request: Request, order_id: UUID, number: str) -> HttpResponse:
        """Get a credit note as PDF."""
        require_access(request, order_id)
        locale = asked_locale(request) or selectors.order(order_id).language
        paper = pdf.credit_note(order_id, number, locale=locale)
        return respond(paper.content, paper.filename)
