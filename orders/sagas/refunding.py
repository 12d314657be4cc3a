"""How one refund is sent, and what it leaves on its order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from marketplace.outbox.services import Event, append
from marketplace.sagas.definition import Workspace
from marketplace.sagas.outcomes import Done, Outcome, Parked, Ready, Retry, Unavailable, Unknown
from marketplace.sagas.ticket import Ticket
from orders import events, refunding
from orders.models import Order
from orders.sagas.telling import amount, facts, sentence
from orders.timeline import note
from payments import refunds
from payments import services as payments
from payments.gateways.base import Outcome as Verdict
from payments.gateways.base import Reply
from payments.selectors import RefundView
from payments.selectors import refunds as refunds_by_id
from payments.services import GatewayCall


class OpenRefund:
    """A refund that is in hand, the order that it is for, and what happened to it in this transaction."""

    def __init__(self, refund: RefundView, order: Order) -> None:
        self.refund = refund
        self.order = order
        self.notes: list[tuple[str, str]] = []
        self.events: list[Event] = []
        self.told: list[RefundView] = []  # of this order, and done

    def note(self, why: str, *, who: str = "saga") -> None:
        """Put it onto the order's timeline."""
        self.notes.append((why, who))


class RefundDesk(Workspace):
    """What one transaction has in hand of refunds and their orders.

    Of the order it writes nothing but the refund status, and that under its lock and from the books: other sagas may
    have the order in hand.
    """

    def __init__(self) -> None:
        self._open: list[OpenRefund] = []

    def open(self, tickets: Sequence[Ticket], *, now: datetime) -> None:
        """Load the refunds of `tickets` and their orders, anew each time: somebody else may have seen one done."""
        found = refunds_by_id([ticket.subject_id for ticket in tickets])
        orders = Order.objects.in_bulk([view.reference_id for view in found.values()])
        for ticket in tickets:
            refund = found[ticket.subject_id]
            ticket.subject = OpenRefund(refund, orders[refund.reference_id])
            self._open.append(ticket.subject)

    def moved(self, ticket: Ticket, status: str, *, now: datetime) -> None:
        """Publish the saga's own events."""
        event_type = events.OF_SAGA_STATUS.get(status)
        if event_type:
            told = {"saga_status": status, "refund_id": ticket.subject_id}
            ticket.subject.events.append(events.about(ticket.subject.order, event_type, told, saga_id=ticket.id))

    def close(self, *, now: datetime) -> None:
        """Write the timelines, have the orders say what the books do, and publish."""
        for opened in self._open:
            for why, who in opened.notes:
                note(opened.order.id, opened.order.status, why, who=who, now=now)
        refunding.set_status({opened.order.id for opened in self._open}, now=now)
        append([event for opened in self._open for event in opened.events], now=now)

    def finish(self, *, now: datetime) -> None:
        """Give the credit notes."""
        refunding.credit([refund for opened in self._open for refund in opened.told], now=now)


class Sending:
    """Give back what was asked for, by the key that is the refund's own."""

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Write the attempts. What is done already, as a webhook has told, needs no call."""
        calls = refunds.begin(
            [ticket.subject_id for ticket in tickets],
            keys=[_key(ticket) for ticket in tickets],
            numbers=[ticket.attempt for ticket in tickets],
            now=now,
        )
        self._tell(tickets, now)
        return [
            Done(message=sentence(ticket.subject.refund)) if call is None else Ready(call)
            for ticket, call in zip(tickets, calls, strict=True)
        ]

    def send(self, request: GatewayCall) -> tuple[GatewayCall, Reply]:
        """Make the call, outside of any transaction."""
        return request, _exactly(payments.send(request))

    def probe(self, request: GatewayCall) -> tuple[GatewayCall, Reply]:
        """Only look what became of the call, outside of any transaction."""
        return request, _exactly(payments.probe(request))

    def record(self, tickets: Sequence[Ticket], replies: Sequence[Any], *, now: datetime) -> Sequence[Outcome]:
        """Write down what the gateway said, and say what it means."""
        payments.record([reply for reply in replies if not isinstance(reply, Unknown)], now=now)
        found = refunds_by_id([ticket.subject_id for ticket in tickets])
        for ticket in tickets:
            ticket.subject.refund = found[ticket.subject_id]
        self._tell(tickets, now)
        return [
            reply if isinstance(reply, Unknown) else _outcome(ticket.subject, reply[1])
            for ticket, reply in zip(tickets, replies, strict=True)
        ]

    def circuits(self, tickets: Sequence[Ticket]) -> Sequence[str]:
        """The breaker before each call: that of the payment's gateway."""
        return [ticket.subject.refund.gateway for ticket in tickets]

    def _tell(self, tickets: Sequence[Ticket], now: datetime) -> None:
        """Tell of every refund of these orders that is done and was not told of."""
        teller = {ticket.subject.order.id: ticket for ticket in tickets}
        for refund in refunds.untold(list(teller), now=now):
            ticket = teller[refund.reference_id]
            opened = ticket.subject
            opened.told.append(refund)
            opened.note(sentence(refund), who="bank" if refund.source == "GATEWAY" else "saga")
            opened.events.append(events.about(opened.order, "PAYMENT_REFUNDED", dict(facts(refund)), saga_id=ticket.id))


def _key(ticket: Ticket) -> str:
    """The refund's own key; the next one, where the gateway has said a final no to that and somebody lets it try."""
    refund: RefundView = ticket.subject.refund
    if refund.status != "FAILED":
        return refund.key
    tries = refund.key.removeprefix(ticket.key).removeprefix(":")
    return f"{ticket.key}:{int(tries or 1) + 1}"


def _exactly(reply: Reply) -> Reply:
    """A certain amount was asked for: that there is nothing to give back is a no."""
    if reply.outcome is Verdict.DONE and reply.code == "nothing_to_refund":
        return Reply(Verdict.REFUSED, code=reply.code, message="There is nothing left to give back.")
    return reply


def _outcome(opened: OpenRefund, reply: Reply) -> Outcome:
    if opened.refund.status == "DONE":  # perhaps by a webhook that was faster than an answer which says less
        return Done(message=sentence(opened.refund))
    why = reply.message or reply.code or "The gateway did not answer."
    if reply.outcome is Verdict.REFUSED:
        opened.note(f"The payment provider refuses to send {amount(opened.refund)} back: {why}")
        return Parked(f"The gateway refuses to refund: {why}")
    if reply.unavailable:
        return Unavailable(why)
    return Retry(why) if reply.nothing_happened else Unknown(why)


def close(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """The refund is over. One that a person has declared as settled by hand must not be under way by the books."""
    return [_closed(ticket.subject) for ticket in tickets]


def _closed(opened: OpenRefund) -> Outcome:
    if opened.refund.status == "PENDING":
        return Parked("By our books this refund is still under way: nobody knows whether it was made.")
    if opened.refund.status == "FAILED":
        opened.note(f"The refund of {amount(opened.refund)} is settled by hand.")
        return Done(message="Settled by hand.")
    return Done(message="The money is with the buyer.")


send = Sending()
