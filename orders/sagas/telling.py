"""Telling of refunds that are done: each once, by whichever saga of its order sees it first."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from marketplace.kernel.money import format_minor
from marketplace.sagas.ticket import Ticket
from payments import refunds
from payments.selectors import RefundView


def tell_refunds(tickets: Sequence[Ticket], *, now: datetime) -> None:
    """Put refunds of these orders that are done onto their timelines and tell the world, if nobody has yet."""
    opened = {ticket.subject_id: ticket.subject for ticket in tickets}
    for refund in refunds.untold(list(opened), now=now):
        opened[refund.reference_id].note(sentence(refund), who="bank" if refund.source == "GATEWAY" else "saga")
        opened[refund.reference_id].tell("PAYMENT_REFUNDED", **facts(refund))


def sentence(refund: RefundView) -> str:
    """What the timeline says of a refund that is done."""
    if refund.source == "GATEWAY":
        return f"{amount(refund)} given back at the payment provider's own dashboard."
    return f"{amount(refund)} sent back to the buyer."


def facts(refund: RefundView) -> dict[str, str | UUID]:
    """What the event `PAYMENT_REFUNDED` says of it."""
    return {
        "payment_id": refund.payment_id,
        "refund_id": refund.id,
        "amount": format_minor(refund.amount_minor, refund.currency),
        "source": refund.source.lower(),
    }


def amount(refund: RefundView) -> str:
    """The amount of a refund, for people."""
    return f"{format_minor(refund.amount_minor, refund.currency)} {refund.currency}"
