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

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Q

from payments import gateways
from payments.errors import CallInsideTransaction
from payments.gateways.base import Charge
from payments.models import Attempt, Observation, Payment
from payments.selectors import PaymentView, views
from payments.states import HOLDING, Operation, PaymentStatus, Standing

AT_A_TIME: Final = 8  # looks at gateways

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
# given back; as it is in any case under a payment that was given up.
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


def write_down(
    kind: str,
    payment: PaymentView,
    before: Standing,
    *,
    event_id: str,
    occurred_at: datetime,
    now: datetime,
    given_back_by_others: bool = False,
) -> Observed:
    """Write the news that `payment`, which stood as `before`, stands as it does now; they are told after the commit.

    `given_back_by_others`: somebody refunded at the gateway's own dashboard.

    Needs the transaction that has moved the payment, and its lock.
    """
    if kind == REFUNDED:
        by_bank = given_back_by_others
    else:
        operation = _ASKED_BY.get(kind, Operation.AUTHORIZE)
        asked = Attempt.objects.filter(payment_id=payment.id, operation=operation).exists()
        by_bank = not asked or kind in (REVERSED, DISPUTED)
    detail = _detail(kind, before, payment, by_bank=by_bank)
    event_id = _unused(event_id, payment.id)
    Observation.objects.create(
        payment_id=payment.id,
        event_id=event_id,
        kind=kind,
        detail=detail,
        occurred_at=occurred_at,
        due_at=now,
        created_at=now,
    )
    return Observed(payment.reference_id, payment.id, kind, payment, event_id, occurred_at, detail)


_ASKED_BY: Final = {CAPTURED: Operation.CAPTURE, VOIDED: Operation.VOID}


def _detail(kind: str, before: Standing, now: PaymentView, *, by_bank: bool) -> dict[str, Any]:
    on_top = {
        AUTHORIZED: now.amount_minor,
        CAPTURED: now.captured_minor - before.captured_minor,
        REFUNDED: now.refunded_minor - before.refunded_minor,
        REVERSED: now.reversed_minor - before.reversed_minor,
        DISPUTED: now.captured_minor - now.refunded_minor - now.reversed_minor,
    }
    was_over = before.status in (PaymentStatus.VOIDED, PaymentStatus.FAILED)
    return {
        "before": before.status,
        "after": now.status,
        "amount_minor": on_top.get(kind, 0),
        "code": now.failure_code,
        "message": now.failure_message,
        "dispute": now.dispute,
        "late": was_over and now.status in HOLDING,
        "by_bank": by_bank,
    }


def _unused(event_id: str, payment_id: UUID) -> str:
    """Return `event_id`, numbered if an earlier look for the sake of the same event has brought news already."""
    earlier = Observation.objects.filter(payment_id=payment_id)
    count = earlier.filter(Q(event_id=event_id) | Q(event_id__startswith=f"{event_id}#")).count()
    return f"{event_id}#{count + 1}" if count else event_id


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a gateway was seen to believe about a payment, and how that stood in our books just before."""

    payment: PaymentView
    updated_at: datetime
    charge: Charge | None


def sight(payment_id: UUID) -> Sighting:
    """Look at one payment, as `sights` does. Raises what is in the way, and `Payment.DoesNotExist`."""
    found = sights([payment_id])[payment_id]
    if isinstance(found, Exception):
        raise found
    return found


def sights(payment_ids: Sequence[UUID]) -> dict[UUID, Sighting | Exception]:
    """Read payments, then ask their gateways for the charges by our own keys, some at a time.

    No webhook's word is taken for anything. Instead of a sighting there may be what was in the way of it:
    `GatewayUnavailable`, `Payment.DoesNotExist`, or what else a gateway's client raises. Raises `CallInsideTransaction`
    when a transaction is open.
    """
    if not payment_ids:
        return {}
    if connection.in_atomic_block:
        raise CallInsideTransaction(f"find {payment_ids[0]}")
    # Read before the payments, so that a change in between makes a sighting outdated and not wrong.
    since = dict(Payment.objects.filter(pk__in=payment_ids).values_list("id", "updated_at"))
    payments = {view.id: view for view in views(Payment.objects.filter(pk__in=payment_ids))}
    known = [payment_id for payment_id in payments if payment_id in since]
    with ThreadPoolExecutor(min(len(known), AT_A_TIME) or 1) as pool:
        charges = list(pool.map(_charge, [payments[payment_id] for payment_id in known]))
    found: dict[UUID, Sighting | Exception] = {
        payment_id: charge
        if isinstance(charge, Exception)
        else Sighting(payments[payment_id], since[payment_id], charge)
        for payment_id, charge in zip(known, charges, strict=True)
    }
    missing = {payment_id: Payment.DoesNotExist(str(payment_id)) for payment_id in payment_ids}
    return {**missing, **found}


def _charge(view: PaymentView) -> Charge | Exception | None:
    if not view.authorization_key:
        return None
    try:
        gateway = gateways.gateway(view.gateway)
        return gateway.find(authorization_key=view.authorization_key, reference=view.gateway_reference)
    except Exception as error:  # noqa: BLE001 - it is the answer about this one, and must not be one about the others
        return error
