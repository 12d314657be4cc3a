"""Is this order what it seems? Rules, each one sentence; the first that speaks refuses."""

from collections.abc import Callable, Sequence
from datetime import datetime

from django.conf import settings

from marketplace.kernel.money import exponent
from marketplace.sagas.outcomes import Done, Outcome, Refused
from marketplace.sagas.ticket import Ticket
from orders.models import Order

DENIED_METHODS = frozenset({"tok_fraud"})


def denied_method(order: Order) -> str:
    """A payment method that is on the deny list."""
    return "the payment method is on the deny list" if order.payment_method in DENIED_METHODS else ""


def amount(order: Order) -> str:
    """More money than we take without a person having looked at it (FRAUD_AMOUNT_LIMIT, in the currency's units)."""
    limit = settings.FRAUD_AMOUNT_LIMIT * 10 ** exponent(order.currency)
    return f"the amount is over {settings.FRAUD_AMOUNT_LIMIT} {order.currency}" if order.total_minor > limit else ""


RULES: tuple[Callable[[Order], str], ...] = (denied_method, amount)


def check(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Pass or refuse each order. The reason stays in the saga's history; the buyer reads neutral words."""
    return [_checked(ticket.subject.order) for ticket in tickets]


def _checked(order: Order) -> Outcome:
    for rule in RULES:
        reason = rule(order)
        if reason:
            return Refused("fraud_rejected", f"Rejected: {reason}.")
    return Done(message="Nothing suspicious.")
