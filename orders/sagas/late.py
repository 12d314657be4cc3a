"""What is done about money that came late. Until it is confirmed, the order itself stays as it ended."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from marketplace.sagas.outcomes import Done, Outcome, Ready, Refused
from marketplace.sagas.selectors import signalled
from marketplace.sagas.ticket import Ticket
from orders import wording
from orders.desk import OpenOrder
from orders.models import may_be_revived
from orders.sagas import bank, money, stock
from payments.selectors import PaymentView, payments_of

# Why the money went back, by the code of what was in the way; for the timeline.
_WHY: Final[Mapping[str, str]] = {
    "out_of_stock": "The units are gone by now.",
    "order_over": "The order was not waiting for it.",
    "fraud_rejected": "It could not be accepted.",
    "cancelled_by_buyer": "The buyer does not want the order any more.",
    "cancelled_by_staff": "The order is not wanted any more.",
    "payment_reversed": "The bank has taken it back.",
    "payment_disputed": "The bank was asked to take it back.",
}
_WHERE: Final[Mapping[str, str]] = {
    "REFUNDED": "it was sent back",
    "REVERSED": "it is with the buyer again",
    "DISPUTED": "the bank decides about it",
}


class _TakeIn:
    """Nothing has to be called for money that is there: what counts of this step is its undo."""

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Note what has come."""
        views = payments_of([ticket.subject_id for ticket in tickets])
        return [_taken_in(ticket.subject, views[ticket.subject_id]) for ticket in tickets]

    def send(self, request: Any) -> Any:
        """Never called."""
        raise NotImplementedError

    def probe(self, request: Any) -> Any:
        """Never called."""
        raise NotImplementedError

    def record(self, tickets: Sequence[Ticket], replies: Sequence[Any], *, now: datetime) -> Sequence[Outcome]:
        """Never called."""
        raise NotImplementedError


def _taken_in(opened: OpenOrder, view: PaymentView) -> Outcome:
    opened.order.refund_status = ""  # that of earlier money, if any
    return Done(message=f"{bank.amount(view)} came after the order had ended.")


def check(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Refuse what may not go on: only time may have ended the order, and it must be all of its money that came.

    A cancel that came while the order was being undone changed nothing then; now it does.
    """
    views = payments_of([ticket.subject_id for ticket in tickets])
    unwanted = signalled([ticket.subject.order.saga_id for ticket in tickets], "cancel")
    return [
        _checked(ticket.subject, views[ticket.subject_id], wanted=ticket.subject.order.saga_id not in unwanted)
        for ticket in tickets
    ]


def _checked(opened: OpenOrder, view: PaymentView, *, wanted: bool) -> Outcome:
    order = opened.order
    whole = (view.amount_minor, view.currency) == (order.total_minor, order.currency)
    if wanted and may_be_revived(order) and whole and view.status in ("AUTHORIZED", "CAPTURED"):
        return Done(bank.known_of(view), "The order can go on.")
    return Refused("order_over", "The order is over, so the money goes back.")


class _CaptureLate(money.Capture):
    """Take what is held; what the bank has taken together with its late yes is taken already."""

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Write the attempts."""
        views = payments_of([ticket.subject_id for ticket in tickets])
        held = [ticket for ticket in tickets if views[ticket.subject_id].status != "CAPTURED"]
        calls = iter(super().prepare(held, now=now) if held else ())
        return [
            next(calls) if ticket in held else self.captured(ticket.subject, views[ticket.subject_id])
            for ticket in tickets
        ]


def confirm(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Take the units out of stock, and let the orders live again as confirmed ones, in one transaction."""
    views = payments_of([ticket.subject_id for ticket in tickets])
    sold = stock.sell(tickets, now=now)
    for ticket in tickets:
        if ticket.subject_id in sold:
            reference = views[ticket.subject_id].gateway_reference
            why = "The payment came after all, and the units were still there: held anew."
            ticket.subject.change("revive", why, transaction_id=reference)
            ticket.subject.tell("ORDER_PAID", transaction_id=reference)
    return [stock.confirmed(ticket.subject, sold=ticket.subject_id in sold) for ticket in tickets]


def close(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """The money is where it belongs: say so. The order ends as it had ended before."""
    for ticket in tickets:
        order = ticket.subject.order
        code = ticket.cause.code if ticket.cause else ""
        where = _WHERE.get(order.refund_status, "the bank lets go of it")
        ticket.subject.note(f"A payment came too late, and {where}. {_WHY.get(code, '')}".strip())
        order.failure_message = wording.failure(
            order.failure_code, order.failure_detail, refund=order.refund_status, language=order.language
        )
    return [Done(message="The money is where it belongs.") for _ in tickets]


take_in, give_back, capture = _TakeIn(), money.void, _CaptureLate()
