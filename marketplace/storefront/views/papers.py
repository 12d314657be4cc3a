"""An order's invoice and credit notes, for whoever sees its page."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from marketplace.paper.http import respond
from marketplace.storefront import visitor
from orders.invoicing import pdf


@require_safe
def invoice(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Show the invoice, in the buyer's language."""
    order = visitor.order_for(request, order_id)
    paper = pdf.invoice(order_id, locale=order.language)
    return respond(paper.content, paper.filename)


@require_safe
def credit_note(request: HttpRequest, order_id: UUID, number: str) -> HttpResponse:
    """Show a credit note, in the buyer's language."""
    order = visitor.order_for(request, order_id)
    paper = pdf.credit_note(order_id, number, locale=order.language)
    return respond(paper.content, paper.filename)
