"""What the bank says of an authorization: at once, or later by way of the books, or only when it is asked."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from inventory import services as inventory
from marketplace.kernel.money import format_minor
from marketplace.sagas.outcomes import Back, Done, Outcome, Ready, Refused, Retry, Unavailable, Unknown
from marketplace.sagas.ticket import Ticket
from orders.desk import OpenOrder
from orders.sagas import attempts
from payments import observations, services
from payments.errors import SightingOutdated
from payments.gateways.base import GatewayUnavailable
from payments.observations import Sighting
from payments.selectors import PaymentView, payments_of

HOLD_MARGIN: Final = timedelta(minutes=5)  # beyond the saga's own deadline: for the undoing, should it come to that
NOT_CONFIRMED: Final = "The payment was not confirmed in time."
LAPSED: Final = "The bank let the payment lapse."


def is_paid(ticket: Ticket) -> bool:
    """Whether the bank has said yes, so that nobody has to wait for it or ask again."""
    return bool(ticket.subject.order.status != "PAYMENT_PENDING")


def amount(view: PaymentView) -> str:
    """The amount of a payment, for people."""
    return money(view.amount_minor, view.currency)


def money(minor: int, currency: str) -> str:
    """An amount in minor units, for people."""
    return f"{format_minor(minor, currency)} {currency}"


def paid(opened: OpenOrder, view: PaymentView) -> Done:
    """The bank has said yes."""
    opened.change("pay", "The payment provider has authorized the amount.", transaction_id=view.gateway_reference)
    opened.tell("PAYMENT_AUTHORIZED", payment_id=view.id, transaction_id=view.gateway_reference)
    opened.tell("ORDER_PAID", transaction_id=view.gateway_reference)
    return Done(known_of(view), f"{amount(view)} authorized.")


def known_of(view: PaymentView) -> dict[str, str]:
    """What the gateway tells about a payment, for the fraud check; mostly nothing."""
    told = {"risk": view.risk, "card_country": view.card_country}
    return {name: value for name, value in told.items() if value}


def declined(opened: OpenOrder, view: PaymentView, *, code: str, message: str) -> Refused | Back:
    """The bank has said no. Where the payment was given up for the sake of another one, that is not the end."""
    opened.tell("PAYMENT_DECLINED", payment_id=view.id, reason=code)
    answer = Refused if view.given_up_at is None else Back
    return answer("payment_declined", message, {"reason": code, "message": message})


def decided(opened: OpenOrder, view: PaymentView) -> Outcome | None:
    """What our books say that the bank has decided, by whatever way they know; None while it has not."""
    match view.status:
        case "PENDING":
            return None
        case "FAILED":
            message = view.failure_message or "The card was declined."
            return declined(opened, view, code=view.failure_code, message=message)
        case "VOIDED":
            return declined(opened, view, code="lapsed", message=LAPSED)
    return paid(opened, view)


def wait_for_it(tickets: Sequence[Ticket], *, now: datetime) -> datetime:
    """The bank decides later: keep the units for as long as that and what follows may take; answer until when we wait.

    The end of the wait is `PAYMENT_OUTCOME_SECONDS` from `now`. Needs the caller's transaction.
    """
    due = now + timedelta(seconds=settings.PAYMENT_OUTCOME_SECONDS)
    until = due + timedelta(seconds=settings.SAGA_TIMEOUT_SECONDS) + HOLD_MARGIN
    inventory.extend([ticket.subject_id for ticket in tickets], until=until)
    for ticket in tickets:
        ticket.subject.order.reserved_until = until
    return due


def outcome_due(ticket: Ticket) -> datetime:
    """Until when the bank's word is waited for."""
    return datetime.fromisoformat(ticket.context["outcome_due"])


def _books(tickets: Sequence[Ticket], now: datetime) -> Mapping[UUID, PaymentView]:
    """The payments of these orders; one that came to nothing is given up if the order may be paid anew."""
    return attempts.give_up(tickets, payments_of([ticket.subject_id for ticket in tickets]), now=now)


def take_outcome(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Act on what the books say now. The signal only wakes; what it carries is nobody's proof of anything."""
    views = _books(tickets, now)
    return [
        decided(ticket.subject, views[ticket.subject_id]) or Retry("The bank has not decided yet.")
        for ticket in tickets
    ]


class _LookUp:
    """Ask the gateway what became of a payment of which no word has come. It looks only, and may do so at any time."""

    def prepare(self, tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome | Ready]:
        """Ask only about those of which the books still know nothing."""
        views = _books(tickets, now)
        found = [views[ticket.subject_id] for ticket in tickets]
        return [decided(t.subject, view) or Ready(view.id) for t, view in zip(tickets, found, strict=True)]

    def send(self, request: UUID) -> Sighting | Unavailable:
        """Look, outside of any transaction."""
        try:
            return observations.sight(request)
        except GatewayUnavailable as error:
            return Unavailable(error.message)

    def circuits(self, tickets: Sequence[Ticket]) -> Sequence[str]:
        """The breaker before each look: that of the payment's gateway."""
        views = payments_of([ticket.subject_id for ticket in tickets])
        return [views[ticket.subject_id].gateway for ticket in tickets]

    def record(self, tickets: Sequence[Ticket], replies: Sequence[Any], *, now: datetime) -> Sequence[Outcome]:
        """Take what was seen into the books, and act on what they say then. What is still open has had its time."""
        seen = [_taken_in(ticket, reply, now) for ticket, reply in zip(tickets, replies, strict=True)]
        views = _books(tickets, now)
        late = Refused("payment_timeout", NOT_CONFIRMED, {"message": NOT_CONFIRMED})
        return [
            trouble or decided(ticket.subject, views[ticket.subject_id]) or late
            for ticket, trouble in zip(tickets, seen, strict=True)
        ]


def _taken_in(ticket: Ticket, reply: Sighting | Unavailable | Unknown, now: datetime) -> Outcome | None:
    if not isinstance(reply, Sighting):
        return reply
    try:
        services.observe(reply, event_id=f"{ticket.key}:{ticket.attempt}", occurred_at=now, now=now)
    except SightingOutdated:
        return Retry("The payment has changed since it was looked at.", after=timedelta())
    return None


look_up = _LookUp()
