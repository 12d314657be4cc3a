"""News of payments: what was seen at the gateway that no answer to a call of ours has told, or not yet.

    sighting = sight(payment_id)                       # the network: no transaction
    with transaction.atomic():
        services.observe(sighting, event_id=…, …)      # moves the payment, and writes the news
    news.pass_on(now=now)                              # to those who listen, in a transaction of their own

Whoever uses this app registers by `listen`. The payment is locked while it is moved, and whoever hears of it will want
its own rows, which are to be locked *before* payments (a saga's row, an order's). So the news is a row, written with
the change, and told after the commit, by whoever has written it or, if that one died, by the periodic task: at least
once, and exactly once for what a listener writes to the database, because the mark is in its transaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from payments import gateways
from payments.errors import CallInsideTransaction
from payments.gateways.base import Charge
from payments.models import Payment
from payments.selectors import PaymentView, views

AUTHORIZED: Final = "authorized"
CAPTURED: Final = "captured"
DECLINED: Final = "declined"
VOIDED: Final = "voided"
REFUNDED: Final = "refunded"
REVERSED: Final = "reversed"
DISPUTED: Final = "disputed"


@dataclass(frozen=True, slots=True)
class Observed:
    """One change of a payment that was seen at the gateway. `payment` is as it stands when this is told.

    `event_id` is there once per payment: the id of the signal that it becomes. `detail` holds the status `before` and
    `after`, `amount_minor` (what was authorized, captured, refunded or reversed on top), the `code` and `message` of a
    failure, `dispute`, `late` (money under a payment that was over) and `by_bank` (nobody here had asked for it).
    """

    reference_id: UUID
    payment_id: UUID
    kind: str
    payment: PaymentView
    event_id: str
    occurred_at: datetime
    detail: Mapping[str, Any]


# Returns True if it has taken the matter in hand. Only for late money it makes a difference: where nobody does, it is
# given back.
Listener = Callable[[Observed], bool | None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Have `listener` told of every change; twice is once.

    It is called in a transaction in which no payment is locked, and may raise: then nothing of it has happened, and it
    is called again later.
    """
    if listener not in _listeners:
        _listeners.append(listener)


def tell(observed: Observed) -> bool:
    """Tell all who listen; return whether one of them has taken the matter in hand. Needs the caller's transaction."""
    answers = [listener(observed) for listener in _listeners]  # all of them hear it
    return any(answers)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a gateway was seen to believe about a payment, and how that stood in our books just before."""

    payment: PaymentView
    updated_at: datetime
    charge: Charge | None


def sight(payment_id: UUID) -> Sighting:
    """Read the payment, then ask its gateway for the charge by our own key; no webhook's word is taken for anything.

    Raises `Payment.DoesNotExist`, `GatewayUnavailable`, and `CallInsideTransaction` when a transaction is open.
    """
    if connection.in_atomic_block:
        raise CallInsideTransaction(f"find {payment_id}")
    # Read before the payment, so that a change in between makes the sighting outdated and not wrong.
    updated_at = Payment.objects.values_list("updated_at", flat=True).get(pk=payment_id)
    (view,) = views(Payment.objects.filter(pk=payment_id))
    charge = None
    if view.authorization_key:
        charge = gateways.gateway(view.gateway).find(
            authorization_key=view.authorization_key, reference=view.gateway_reference
        )
    return Sighting(view, updated_at, charge)
