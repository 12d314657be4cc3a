"""How one return goes its way: what staff say of it, its units, its money, and what it leaves on its order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from inventory import services as inventory
from inventory.services import Line
from marketplace.kernel.money import format_minor
from marketplace.outbox.services import Event
from marketplace.sagas.outcomes import Done, Outcome, Parked, Ready, Refused
from marketplace.sagas.ticket import Ticket
from orders import events
from orders.models import Order
from orders.returns import telling
from orders.returns.models import Return, ReturnStatus, Verdict
from orders.returns.selectors import ReturnView, views
from orders.sagas.refunding import RefundDesk, Sending
from orders.sagas.telling import amount
from payments import refunds
from payments.errors import NothingToRefund, PaymentDisputed
from payments.selectors import PaymentView, RefundView, captured_payment
from payments.selectors import refunds as refunds_by_id


class OpenReturn:
    """A return that is in hand, with its order, its refund once there is one, and what happened in this transaction."""

    def __init__(self, row: Return, view: ReturnView, refund: RefundView | None) -> None:
        self.row = row
        self.view = view
        self.refund = refund
        self.order: Order = row.order
        self.notes: list[tuple[str, str]] = []
        self.events: list[Event] = []
        self.told: list[RefundView] = []  # refunds of this order that are done

    def note(self, why: str, *, who: str = "saga") -> None:
        """Put it onto the order's timeline."""
        self.notes.append((why, who))

    def money(self, minor: int) -> str:
        """An amount, for people."""
        return f"{format_minor(minor, self.view.currency)} {self.view.currency}"


class ReturnDesk(RefundDesk):
    """What one transaction has in hand of returns: as of refunds, of the order it writes the refund status alone."""

    def open(self, tickets: Sequence[Ticket], *, now: datetime) -> None:
        """Load the returns of `tickets`, their orders and refunds, anew each time."""
        ids = [ticket.subject_id for ticket in tickets]
        rows = list(Return.objects.select_related("order").filter(pk__in=ids))
        told = {view.id: (row, view) for row, view in zip(rows, views(rows), strict=True)}
        made = refunds_by_id(ids)
        for ticket in tickets:
            ticket.subject = OpenReturn(*told[ticket.subject_id], made.get(ticket.subject_id))
            self._open.append(ticket.subject)

    def moved(self, ticket: Ticket, status: str, *, now: datetime) -> None:
        """Publish the saga's own events."""
        event_type = events.OF_SAGA_STATUS.get(status)
        if event_type:
            _tell(ticket, event_type, saga_status=status, return_id=ticket.subject_id)


def _tell(ticket: Ticket, event_type: str, **data: Any) -> None:
    opened = ticket.subject
    opened.events.append(events.about(opened.order, event_type, data, saga_id=ticket.id))


def _save(opened: OpenReturn, status: ReturnStatus, **changes: Any) -> None:
    """Write what the saga says of a return, and tell the world: the only place that changes its status."""
    Return.objects.filter(pk=opened.row.pk).update(status=status, **changes)
    opened.view = replace(opened.view, status=status.value, **changes)
    opened.events.append(telling.event(opened.order, opened.view))


# --- what people say of it --------------------------------------------------------------------------------------------


def answer_by(ticket: Ticket) -> datetime:
    """Until when somebody may decide."""
    until: datetime = ticket.subject.row.answer_by
    return until


def arrive_by(ticket: Ticket) -> datetime:
    """Until when the parcel may come back."""
    return datetime.fromisoformat(ticket.context["arrive_by"])


def take_decision(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Act on what was decided, as the books have it: they were written with the signal."""
    return [_decided(ticket.subject, now) for ticket in tickets]


def _decided(opened: OpenReturn, now: datetime) -> Outcome:
    said = opened.view
    if said.verdict == Verdict.WITHDRAWN:
        return Refused("return_withdrawn", "The buyer has withdrawn it.", {"actor": said.decided_by})
    if said.verdict == Verdict.REJECTED:
        return Refused("return_rejected", said.decision_reason, {"actor": said.decided_by})
    until = now + timedelta(days=settings.RETURN_PARCEL_DAYS)
    _save(opened, ReturnStatus.APPROVED, arrive_by=until)
    opened.note(f"Return {said.number} is approved: {said.decision_reason}", who=said.decided_by)
    return Done({"arrive_by": until.isoformat()}, f"Approved by {said.decided_by}: {said.decision_reason}")


def take_receipt(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Go on with what came back; a parcel without anything of ours in it is none."""
    return [_received(ticket.subject) for ticket in tickets]


def _received(opened: OpenReturn) -> Outcome:
    said = opened.view
    if not any(line.received for line in said.lines):
        return Refused("return_rejected", f"Nothing of it came back: {said.receipt_note}", {"actor": said.received_by})
    return Done(message=f"{_units(said)}, says {said.received_by}: {said.receipt_note}")


def _units(said: ReturnView) -> str:
    shelf, lost = sum(line.restocked for line in said.lines), sum(line.written_off for line in said.lines)
    parts = [f"{shelf} back for the shelf"] * bool(shelf) + [f"{lost} written off"] * bool(lost)
    return ", ".join(parts)


# --- units, money, the end --------------------------------------------------------------------------------------------


def restock(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Put onto the shelf what can be sold again. From here on the buyer gets the money."""
    back = {ticket.subject.order.id: _for_the_shelf(ticket.subject.view) for ticket in tickets}
    inventory.restock_part(back, now=now, reason="returned by the buyer")
    return [_restocked(ticket, back[ticket.subject.order.id]) for ticket in tickets]


def _for_the_shelf(said: ReturnView) -> list[Line]:
    return [Line(line.sku, line.restocked) for line in said.lines if line.restocked]


def _restocked(ticket: Ticket, lines: list[Line]) -> Outcome:
    opened, said = ticket.subject, ticket.subject.view
    _save(opened, ReturnStatus.RECEIVED)
    opened.note(f"Return {said.number} is back, {_units(said)}: {said.receipt_note}", who=said.received_by)
    if lines:
        items = [{"sku": line.sku, "quantity": line.quantity} for line in lines]
        _tell(ticket, "INVENTORY_RESTOCKED", return_id=said.id, items=items)
    return Done(message=f"{_units(said)}.")


_NOTHING_LEFT: Final = Done(message="All of the order's money has gone back already.")
_DISPUTED: Final = Parked("The bank was asked to take the money back and decides about it: wait for that, then retry.")


class _GiveBack(Sending):
    """Give back what the units that came back were paid with, and never more than is left of the payment."""

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Write down the refund where there is none yet, under the return's own id, and then its attempt."""
        answers: dict[UUID, Outcome | Ready] = {}
        asking = [ticket for ticket in tickets if ticket.subject.refund is None]
        paid = {ticket.id: captured_payment(ticket.subject.order.id) for ticket in asking}
        left = refunds.lock_left([payment.id for payment in paid.values() if payment is not None])
        for ticket in asking:
            said = _ask(ticket, paid[ticket.id], left, now=now)
            if said is not None:
                answers[ticket.id] = said
        due = [ticket for ticket in tickets if ticket.id not in answers]
        answers |= dict(zip((ticket.id for ticket in due), super().prepare(due, now=now) if due else (), strict=True))
        return [answers[ticket.id] for ticket in tickets]

    def circuits(self, tickets: Sequence[Ticket]) -> Sequence[str]:
        """The breaker before each call: that of the gateway by which the order was paid."""
        paid = [captured_payment(ticket.subject.order.id) for ticket in tickets]
        return ["" if payment is None else payment.gateway for payment in paid]


def _ask(ticket: Ticket, payment: PaymentView | None, left_of: Mapping[UUID, int], *, now: datetime) -> Outcome | None:
    """Write the refund of a return that has none; an answer where there is nothing to be refunded, or not now."""
    opened, said = ticket.subject, ticket.subject.view
    left = left_of[payment.id] if payment is not None else 0
    if payment is None or left <= 0 or not said.due_minor:
        return _NOTHING_LEFT if said.due_minor else Done(message="What came back had cost nothing.")
    try:
        opened.refund = refunds.request(
            payment.id,
            amount_minor=min(said.due_minor, left),
            refund_id=said.id,
            key=ticket.key,
            request_key=f"return:{said.id}",
            reason=f"Return {said.number}: {said.receipt_note}",
            actor=said.received_by,
            now=now,
        ).refund
    except PaymentDisputed:
        return _DISPUTED
    except NothingToRefund:
        return _NOTHING_LEFT
    if left < said.due_minor:
        rest = opened.money(said.due_minor - left)
        opened.note(f"Of the money for return {said.number}, {rest} had gone back before, or is on its way.")
    return None


def close(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """The return is over. A refund that a person has declared as settled by hand must not be under way by the books."""
    return [_closed(ticket.subject, now) for ticket in tickets]


def _closed(opened: OpenReturn, now: datetime) -> Outcome:
    refund, number = opened.refund, opened.view.number
    if refund is not None and refund.status == "PENDING":
        return Parked("By our books its refund is still under way: nobody knows whether it was made.")
    done = refund if refund is not None and refund.status == "DONE" else None
    _save(opened, ReturnStatus.REFUNDED, refunded_minor=done.amount_minor if done else 0, closed_at=now)
    if done is None:
        opened.note(f"Return {number} is over; no money went back by it.")
        return Done(message="Over, without a refund by it.")
    opened.note(f"Return {number} is over: {amount(done)} went back.")
    return Done(message=f"{amount(done)} are with the buyer.")


_ENDS: Final = {
    "return_withdrawn": ReturnStatus.WITHDRAWN,
    "return_rejected": ReturnStatus.REJECTED,
    "return_expired": ReturnStatus.EXPIRED,
}


def close_early(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """The return ends before anything came back, or with nothing of it worth taking back."""
    for ticket in tickets:
        cause = ticket.cause
        status = _ENDS.get(cause.code if cause else "", ReturnStatus.REJECTED)
        who = str((cause.data or {}).get("actor", "saga")) if cause else "saga"
        why = f": {cause.message}" if cause and cause.message else "."
        opened = ticket.subject
        _save(opened, status, closed_at=now)
        opened.note(f"Return {opened.view.number} has ended as {status}{why}", who=who)
    return [Done(message="Closed.") for _ in tickets]


give_back = _GiveBack()
