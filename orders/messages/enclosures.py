"""What goes along with a mail: the invoice with the confirmation, the credit notes with what goes back."""

from typing import Final
from uuid import UUID

from marketplace.mail.letters import Attachment
from marketplace.paper.http import PDF
from orders import refunding
from orders.invoicing import pdf
from orders.invoicing.selectors import credited
from orders.messages.models import Kind, Message
from orders.selectors import OrderView

_OF_WHAT_IS_TAKEN_BACK: Final = (Kind.CANCELLED, Kind.FAILED)


def of(message: Message, order: OrderView) -> tuple[Attachment, ...]:
    """Return the files that belong to `message`, in its language."""
    papers = order.papers
    if message.kind == Kind.CONFIRMED and papers.invoice:
        return (_file(pdf.invoice(order.id, locale=message.language)),)
    if message.kind in _OF_WHAT_IS_TAKEN_BACK:
        return tuple(
            _file(pdf.credit_note(order.id, number, locale=message.language)) for number in papers.credit_notes
        )
    if message.kind == Kind.REFUNDED and "refundId" in message.detail:
        number = credited(refunding.credit_key(UUID(message.detail["refundId"])))
        return (_file(pdf.credit_note(order.id, number, locale=message.language)),) if number else ()
    return ()


def _file(paper: pdf.Paper) -> Attachment:
    return Attachment(paper.filename, paper.content, PDF)
