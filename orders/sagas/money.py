"""The saga's dealings with the cashier.

Each call to the gateway is prepared in our transaction (the attempt and its key are written), sent outside
of any, and recorded in the next. The two undos go by the key of what they undo alone: they work although its answer
was lost, and do nothing where nothing happened.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from inventory import services as inventory
from marketplace.sagas.outcomes import Done, Outcome, Parked, Ready, Refused, Retry, Unavailable, Unknown
from marketplace.sagas.ticket import Ticket
from orders.desk import OpenOrder
from orders.sagas import attempts, bank, foresight
from orders.sagas.bank import HOLD_MARGIN
from orders.sagas.telling import tell_refunds
from payments import services as payments
from payments.gateways.base import Outcome as Verdict
from payments.gateways.base import Reply
from payments.selectors import payments_of, settled_refunds
from payments.services import GatewayCall, NewPayment, PaymentView, Why

# The refund statuses of an order: the money is the buyer's and still here, or there is nothing (more) to do about it.
OWED = ("PENDING", "REFUSED")
SETTLED = {
    "REFUNDED": "The money was given back already.",
    "REVERSED": "The bank has taken the money back itself, so there is nothing to refund.",
    "DISPUTED": "The bank was asked to take the money back and decides about it, so nothing is refunded on top.",
}


Views = Mapping[UUID, PaymentView]  # by order


def method_is_known(ticket: Ticket) -> bool:
    """Whether the order came with a payment method, as Buy Now does."""
    return bool(ticket.subject.order.payment_method)


def choose_method(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Take in the method by which the buyer now pays; what was meant for an earlier attempt is not it."""
    return [_chosen(ticket, ticket.signal or {}) for ticket in tickets]


def _chosen(ticket: Ticket, signal: dict[str, Any]) -> Outcome:
    if signal.get("attempt", 1) != attempts.number(ticket):
        return Retry("That was meant for an earlier attempt to pay.")
    ticket.subject.order.payment_method = signal["method"]
    return Done(message="The buyer pays.")


def key_window(call: GatewayCall) -> timedelta | None:
    """How long the gateway of this call remembers its key. After that it is not sent again, but looked for.

    A refund may be asked for by the same key for ever: a gateway's own list of refunds names it (`Gateway.refund`).
    """
    return None if call.operation == "REFUND" else payments.key_window(call.gateway)


class _Operation(ABC):
    """What the calls have in common."""

    name = ""

    def keys(self, tickets: Sequence[Ticket]) -> list[str]:
        """The idempotency key of each call."""
        return [ticket.key for ticket in tickets]

    def reasons(self, tickets: Sequence[Ticket]) -> list[Why | None]:
        """Why each refund is made, and who wants it; nothing else has to say so."""
        return []

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Write the attempts. Where there is nothing to do, the step is done without a call."""
        calls = payments.begin(
            self.name,
            [ticket.subject_id for ticket in tickets],
            keys=self.keys(tickets),
            numbers=[ticket.attempt for ticket in tickets],
            now=now,
            reasons=self.reasons(tickets),
            known=self.known(tickets),
        )
        return [self.nothing if call is None else Ready(call) for call in calls]

    def known(self, tickets: Sequence[Ticket]) -> dict[UUID, PaymentView]:
        """The payments that this transaction has locked already, by order, as they stand."""
        return {}

    # Forward, "nothing to do" can only mean that the money is gone: an order must not go on as if it were paid.
    nothing: Outcome = Parked("The payment was already undone, although its order goes on.")

    def send(self, request: GatewayCall) -> tuple[GatewayCall, Reply]:
        """Make the call, outside of any transaction."""
        return request, payments.send(request)

    def probe(self, request: GatewayCall) -> tuple[GatewayCall, Reply]:
        """Only look what became of the call, outside of any transaction: its key may be forgotten by now."""
        return request, payments.probe(request)

    def record(self, tickets: Sequence[Ticket], replies: Sequence[Any], *, now: datetime) -> Sequence[Outcome]:
        """Write down what the gateway said, and say what it means for the saga."""
        answers = [reply for reply in replies if not isinstance(reply, Unknown)]
        views = self.books(tickets, {view.reference_id: view for view in payments.record(answers, now=now)}, now)
        if any(call.operation == "REFUND" for call, _ in answers):
            tell_refunds(tickets, now=now)
        return [
            reply if isinstance(reply, Unknown) else self._outcome(ticket, reply[0], reply[1], views[ticket.subject_id])
            for ticket, reply in zip(tickets, replies, strict=True)
        ]

    def books(self, tickets: Sequence[Ticket], views: Views, now: datetime) -> Views:
        """The payments as they stand once the answers are recorded."""
        return views

    def _outcome(self, ticket: Ticket, call: GatewayCall, reply: Reply, view: PaymentView) -> Outcome:
        if reply.outcome is Verdict.DONE:
            return self.done(ticket.subject, reply, view)
        if reply.outcome is Verdict.REFUSED:
            return self.refused(ticket.subject, reply, view)
        why = reply.message or reply.code or "The gateway did not answer."
        if reply.unavailable:
            return Unavailable(why)
        return Retry(why) if reply.nothing_happened else Unknown(why)

    def circuits(self, tickets: Sequence[Ticket]) -> Sequence[str]:
        """The breaker before each call: that of the payment's gateway."""
        views = payments_of([ticket.subject_id for ticket in tickets])
        found = [views.get(ticket.subject_id) for ticket in tickets]
        return [view.gateway if view else settings.PAYMENT_GATEWAY for view in found]

    @abstractmethod
    def done(self, opened: OpenOrder, reply: Reply, view: PaymentView) -> Outcome:
        """What it means for the order that the gateway has done it."""

    @abstractmethod
    def refused(self, opened: OpenOrder, reply: Reply, view: PaymentView) -> Outcome:
        """What it means for the order that the gateway has said no."""


class _Authorize(_Operation):
    name = "AUTHORIZE"

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Extend the holds so that they can't lapse meanwhile, open the payments, write the attempts.

        Where the bank's word was here before the answer to an earlier attempt, there is nothing left to ask.
        """
        until = now + timedelta(seconds=settings.SAGA_TIMEOUT_SECONDS) + HOLD_MARGIN
        lasting = {t.subject_id for t in tickets if t.subject.held_until is not None and t.subject.held_until >= until}
        short = [ticket.subject_id for ticket in tickets if ticket.subject_id not in lasting]
        held = lasting | inventory.extend(short, until=until)
        asked = [ticket for ticket in tickets if ticket.subject_id in held]
        remembered = attempts.remember_hold(asked)
        for ticket in asked:
            if ticket.subject.order.status == "RESERVED":
                ticket.subject.change("await_payment", "Asking the payment provider.", until=until)
        calls = payments.begin_first(
            [self._payment(ticket) for ticket in asked],
            keys=self.keys(asked),
            numbers=[ticket.attempt for ticket in asked],
            now=now,
        )
        first = zip(asked, calls, strict=True)
        answers: dict[UUID, Outcome | Ready] = {t.subject_id: Ready(call) for t, call in first if call is not None}
        answers |= self._ask_again([ticket for ticket in asked if ticket.subject_id not in answers], now=now)
        if remembered:
            answers = {i: _with(answer, remembered.get(i)) for i, answer in answers.items()}
        return [answers.get(ticket.subject_id, _NOT_HELD) for ticket in tickets]

    @staticmethod
    def _payment(ticket: Ticket) -> NewPayment:
        """What is to be paid, by a payment of its own for each attempt."""
        order = ticket.subject.order
        return NewPayment(
            order.id, order.payment_method, order.total_minor, order.currency, sequence=attempts.number(ticket)
        )

    def books(self, tickets: Sequence[Ticket], views: Views, now: datetime) -> Views:
        """What the bank has declined is given up, where the order may be paid anew."""
        return attempts.give_up(tickets, views, now=now)

    def _ask_again(self, tickets: Sequence[Ticket], *, now: datetime) -> dict[UUID, Outcome | Ready]:
        """Write the attempts for orders that have a payment already, unless it is decided meanwhile."""
        if not tickets:
            return {}
        views = payments.open([self._payment(ticket) for ticket in tickets], now=now)
        known = {v.reference_id: v for v in views if v.status not in ("PENDING", "VOIDED")}
        known = dict(attempts.give_up([t for t in tickets if t.subject_id in known], known, now=now))
        due = [ticket for ticket in tickets if ticket.subject_id not in known]
        answers = dict(zip((t.subject_id for t in due), super().prepare(due, now=now), strict=True))
        for ticket in tickets if known else ():
            if ticket.subject_id in known:
                answers[ticket.subject_id] = bank.decided(ticket.subject, known[ticket.subject_id]) or _NOT_HELD
        return answers

    def record(self, tickets: Sequence[Ticket], replies: Sequence[Any], *, now: datetime) -> Sequence[Outcome]:
        """Write down what the gateway said; where it decides later, see to it that the units are kept until then."""
        outcomes = list(super().record(tickets, replies, now=now))
        later = [at for at, outcome in enumerate(outcomes) if outcome is _CONFIRM or outcome is _PATIENCE]
        if later:
            due = bank.wait_for_it([tickets[at] for at in later], now=now)
            for at in later:
                outcomes[at] = Done({"outcome_due": due.isoformat()}, str(getattr(outcomes[at], "message", "")))
        return outcomes

    def _outcome(self, ticket: Ticket, call: GatewayCall, reply: Reply, view: PaymentView) -> Outcome:
        if reply.outcome is not Verdict.DONE and view.status == "AUTHORIZED":
            return bank.paid(ticket.subject, view)  # a webhook was faster than the answer, which says less
        if reply.outcome is Verdict.PENDING:
            later = _CONFIRM if reply.code == "requires_action" else _PATIENCE
            return bank.decided(ticket.subject, view) or later
        return super()._outcome(ticket, call, reply, view)

    def done(self, opened: OpenOrder, reply: Reply, view: PaymentView) -> Outcome:
        opened.payment = view
        return bank.paid(opened, view)

    def refused(self, opened: OpenOrder, reply: Reply, view: PaymentView) -> Outcome:
        return bank.declined(opened, view, code=reply.code, message=reply.message or "The card was declined.")


def _with(answer: Outcome | Ready, remembered: Mapping[str, Any] | None) -> Outcome | Ready:
    return replace(answer, data=remembered) if remembered and isinstance(answer, Ready) else answer


_NOT_HELD = Parked("The units are no longer held for this order, although its saga is alive.")
_CONFIRM = Done(message="The bank wants the buyer to confirm.")
_PATIENCE = Done(message="The bank takes its time, and tells us later.")


class Capture(_Operation):
    """Take what is held."""

    name = "CAPTURE"

    def known(self, tickets: Sequence[Ticket]) -> dict[UUID, PaymentView]:
        """Those that were authorized just now, as nearly all of them."""
        return {t.subject_id: t.subject.payment for t in tickets if t.subject.payment is not None}

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Write the attempts. Where the bank has let go of the money meanwhile, there is nothing to take.

        Where it was taken, by a worker that died before it could write that down, and the bank has taken it back since,
        the step is done: what became of the money is on its way to the order as news, which stop or reverse it.
        """
        answers = list(super().prepare(tickets, now=now))
        gone = [at for at, answer in enumerate(answers) if answer is self.nothing]
        views = payments_of([tickets[at].subject_id for at in gone]) if gone else {}
        for at in gone:
            view = views.get(tickets[at].subject_id)
            if view is not None and view.status == "VOIDED":
                answers[at] = bank.declined(tickets[at].subject, view, code="lapsed", message=bank.LAPSED)
            elif view is not None and view.status == "FAILED" and view.reversed_minor:
                answers[at] = self.captured(tickets[at].subject, view)
        return answers

    def done(self, opened: OpenOrder, reply: Reply, view: PaymentView) -> Outcome:
        return self.captured(opened, view)

    def captured(self, opened: OpenOrder, view: PaymentView) -> Outcome:
        """The money is taken, by whomever."""
        opened.tell("PAYMENT_CAPTURED", payment_id=view.id, amount=bank.amount(view))
        return Done(message=f"{bank.amount(view)} captured.")

    def refused(self, opened: OpenOrder, reply: Reply, view: PaymentView) -> Outcome:
        if reply.code == "already_captured" and view.status == "CAPTURED":
            return self.captured(opened, view)  # the bank has taken it together with its yes, and told us so
        message = reply.message or "The payment could not be completed."
        return bank.declined(opened, view, code=reply.code, message=message)


class _Void(_Operation):
    """Let go of the authorization. Where a late capture came before the void, only a refund can: it is made instead."""

    name = "VOID"
    foresee = staticmethod(foresight.void_foreseen)
    nothing = Done(message="Nothing was authorized, so there is nothing to void.")

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Write the attempts: a refund for what turned out to be captured, a void for all else that is not settled."""
        settled = [ticket for ticket in tickets if ticket.subject.order.refund_status in SETTLED]
        captured = [ticket for ticket in tickets if ticket.subject.order.refund_status in OWED]
        others = [ticket for ticket in tickets if ticket not in captured and ticket not in settled]
        refunds = iter(refund_late.prepare(captured, now=now) if captured else ())
        voids = iter(super().prepare(others, now=now) if others else ())
        done = iter([Done(message="The money is where it belongs.")] * len(settled))
        return [next(refunds if t in captured else done if t in settled else voids) for t in tickets]

    def _outcome(self, ticket: Ticket, call: GatewayCall, reply: Reply, view: PaymentView) -> Outcome:
        if call.operation == refund_late.name:
            return refund_late._outcome(ticket, call, reply, view)
        return super()._outcome(ticket, call, reply, view)

    def done(self, opened: OpenOrder, reply: Reply, view: PaymentView) -> Outcome:
        if view.status == "FAILED":
            return Done(message="The declined payment is ended; it can't be completed any more.")
        if reply.code == "nothing_to_void":
            return self.nothing
        opened.tell("PAYMENT_VOIDED", payment_id=view.id)
        return Done(message="The authorization is voided; no money was taken.")

    def refused(self, opened: OpenOrder, reply: Reply, view: PaymentView) -> Outcome:
        if reply.code == "already_captured" and view.given_up_at is not None:
            return Done(message="The declined payment was completed after all; the cashier gives its money back.")
        if reply.code == "already_captured":
            opened.order.refund_status = "PENDING"
            return Retry("A late capture came before the void; the money is refunded instead.", after=timedelta())
        return Refused(reply.code or "void_refused", reply.message or "The gateway refuses to void.")


class _Refund(_Operation):
    """Give back what was captured, unless it is back already, or the bank has taken the matter into its own hands."""

    name = "REFUND"
    foresee = staticmethod(foresight.refund_foreseen)
    nothing: Outcome = Done(message="Nothing was captured, so there is nothing to refund.")

    def keys(self, tickets: Sequence[Ticket]) -> list[str]:
        """A refund that was refused is asked for anew: to the old key a gateway would only repeat itself.

        The same where it is done, and another one that would have given back the rest has failed meanwhile.
        """
        first = [self.key(ticket) for ticket in tickets]
        settled = settled_refunds([ticket.subject_id for ticket in tickets], first)
        return [f"{key}:{n + 1}" if n else key for key, n in zip(first, settled, strict=True)]

    def reasons(self, tickets: Sequence[Ticket]) -> list[Why | None]:
        return [_why(ticket) for ticket in tickets]

    def key(self, ticket: Ticket) -> str:
        """The key of the first try."""
        return ticket.key

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Write the attempts. Money that is settled already needs no call."""
        views = payments_of([ticket.subject_id for ticket in tickets])
        settled = {order_id: settled_by(view) for order_id, view in views.items()}
        due = [ticket for ticket in tickets if not settled.get(ticket.subject_id)]
        for ticket in tickets:
            ticket.subject.order.refund_status = settled.get(ticket.subject_id) or self.asked
        if len(due) < len(tickets):
            tell_refunds([ticket for ticket in tickets if ticket not in due], now=now)
        calls = iter(super().prepare(due, now=now) if due else ())
        return [next(calls) if t in due else Done(message=SETTLED[settled[t.subject_id]]) for t in tickets]

    asked = ""  # the order's refund status while the gateway is asked

    def done(self, opened: OpenOrder, reply: Reply, view: PaymentView) -> Outcome:
        if reply.code == "nothing_to_refund":
            return self.nothing
        settled = settled_by(view)
        if not settled:  # the rest is on its way by another refund, or will be asked for when that has failed
            return Retry("A part of it is given back, and another refund of this payment is still under way.")
        opened.order.refund_status = settled
        return Done(message=f"{bank.money(reply.amount_minor or view.refunded_minor, view.currency)} refunded.")

    def refused(self, opened: OpenOrder, reply: Reply, view: PaymentView) -> Outcome:
        return Refused(reply.code or "refund_refused", self._no(opened, reply))

    @staticmethod
    def _no(opened: OpenOrder, reply: Reply) -> str:
        why = reply.message or reply.code or "no reason given."
        opened.order.refund_status = "REFUSED"
        opened.note(f"The payment provider refuses to send the money back: {why}")
        return f"The gateway refuses to refund: {why}"


class _GiveBack(_Refund):
    """Refund what is known to be captured: that there is nothing to refund is then not an end, but a riddle.

    Perhaps the bank was faster, and its notice is on the way: then it is solved at the next attempt.
    """

    asked = "PENDING"
    nothing = Retry("The money was captured, and yet there is nothing to give back.")

    def refused(self, opened: OpenOrder, reply: Reply, view: PaymentView) -> Outcome:
        return Parked(self._no(opened, reply))


class _RefundLate(_GiveBack):
    """The same refund as that of the capture's undo, which came too early and found nothing: by its key."""

    def key(self, ticket: Ticket) -> str:
        return f"{ticket.key_of('capture_payment')}:undo"


def _why(ticket: Ticket) -> Why:
    if ticket.cause is not None:
        return Why(ticket.cause.message or ticket.cause.code, str((ticket.cause.data or {}).get("actor", "")))
    return Why(ticket.context.get("message") or ticket.context.get("code", ""), ticket.context.get("actor", ""))


def settled_by(payment: PaymentView) -> str:
    """Return the refund status that the books alone give to an order; empty where its money has to be sent back."""
    if payment.status == "REFUNDED":
        return "REFUNDED"
    if payment.reversed_minor and payment.refunded_minor + payment.reversed_minor == payment.captured_minor:
        return "REVERSED"
    return "DISPUTED" if payment.dispute == "OPEN" and payment.captured_minor else ""


authorize, capture, void, refund = _Authorize(), Capture(), _Void(), _Refund()
give_back, refund_late = _GiveBack(), _RefundLate()
