"""The states of a payment, and which answer of a gateway moves it from where to where. The one place that says so."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from django.db import models

from payments.gateways.base import Outcome, Reply


class PaymentStatus(models.TextChoices):
    PENDING = "PENDING"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"
    VOIDED = "VOIDED"
    FAILED = "FAILED"


class RefundStatus(models.TextChoices):
    PENDING = "PENDING"
    DONE = "DONE"
    FAILED = "FAILED"


class Operation(models.TextChoices):
    AUTHORIZE = "AUTHORIZE"
    CAPTURE = "CAPTURE"
    VOID = "VOID"
    REFUND = "REFUND"


class AttemptOutcome(models.TextChoices):
    IN_FLIGHT = "", "in flight"
    DONE = "DONE"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


CODE_LENGTH: Final = 64  # characters of a gateway's code that are kept

_S = PaymentStatus

# The money at the gateway is gone, or never was and never will be: there is nothing that such a call could do.
NOTHING_TO_DO: Final[Mapping[Operation, frozenset[PaymentStatus]]] = {
    Operation.AUTHORIZE: frozenset({_S.VOIDED}),
    Operation.CAPTURE: frozenset({_S.VOIDED, _S.FAILED}),
    Operation.VOID: frozenset({_S.VOIDED, _S.FAILED, _S.REFUNDED}),
    Operation.REFUND: frozenset({_S.VOIDED, _S.FAILED, _S.REFUNDED}),
}

# (what was asked, what was answered) -> {from: to}. What is not here stays where it is: an UNKNOWN moves nothing, and
# an answer that comes late (the authorization of a payment that was voided meanwhile) is kept on its attempt only.
MOVES: Final[Mapping[tuple[Operation, Outcome], Mapping[PaymentStatus, PaymentStatus]]] = {
    (Operation.AUTHORIZE, Outcome.DONE): {_S.PENDING: _S.AUTHORIZED},
    (Operation.AUTHORIZE, Outcome.REFUSED): {_S.PENDING: _S.FAILED},
    (Operation.CAPTURE, Outcome.DONE): {_S.PENDING: _S.CAPTURED, _S.AUTHORIZED: _S.CAPTURED},
    (Operation.VOID, Outcome.DONE): {_S.PENDING: _S.VOIDED, _S.AUTHORIZED: _S.VOIDED},
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a payment stands: what an answer can change about it. Amounts in minor units."""

    status: PaymentStatus
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    gateway_reference: str
    failure_code: str
    failure_message: str


def after(standing: Standing, operation: Operation, reply: Reply, *, asked_minor: int | None) -> Standing:
    """Return where the payment stands after `reply`; pure. `asked_minor` is the amount that was asked for.

    Refunds are not counted here but from their own rows, by `refunded`, so that none is counted twice.
    """
    target = MOVES.get((operation, reply.outcome), {}).get(standing.status)
    if target is None:
        return standing
    if target is _S.AUTHORIZED:
        return replace(standing, status=target, gateway_reference=reply.reference)
    if target is _S.FAILED:
        return replace(
            standing, status=target, failure_code=reply.code[:CODE_LENGTH] or "refused", failure_message=reply.message
        )
    if target is _S.CAPTURED:
        taken = reply.amount_minor or asked_minor or standing.amount_minor
        return replace(standing, status=target, captured_minor=taken)
    return replace(standing, status=target)


def refunded(standing: Standing, *, total_minor: int) -> Standing:
    """Return where the payment stands once all its refunds that are done add up to `total_minor`; pure.

    From any state: that the gateway gave money back proves that it had taken it, even if the answer to the capture
    was lost.
    """
    if total_minor == standing.refunded_minor:
        return standing
    captured = standing.captured_minor or total_minor
    status = _S.REFUNDED if total_minor == captured else _S.PARTIALLY_REFUNDED
    return replace(standing, status=status, captured_minor=captured, refunded_minor=total_minor)
