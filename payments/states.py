"""The states of a payment, and what moves it: an answer of its gateway, or what that was seen to hold.

The one place that says so.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from django.db import models

from payments.gateways.base import Charge, ChargeStatus, Dispute, Outcome, Reply


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


class RefundSource(models.TextChoices):
    """Who wanted the money to go back."""

    SAGA = "SAGA"  # an order that did not come about, or was taken back
    STAFF = "STAFF"
    GATEWAY = "GATEWAY"  # made at the provider's own dashboard, and imported from there


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
    PENDING = "PENDING"


def is_open(outcome: str, status: str) -> bool:
    """Whether what came of a call is still open, for a payment that stands as `status`.

    One that the gateway decides about later is settled by a look at the gateway: its payment has moved by then.
    """
    if outcome == AttemptOutcome.PENDING:
        return status == PaymentStatus.PENDING
    return outcome in (AttemptOutcome.IN_FLIGHT, AttemptOutcome.UNKNOWN)


class NewsStatus(models.TextChoices):
    NEW = "NEW"  # nobody has been told yet
    TOLD = "TOLD"
    UNDOING = "UNDOING"  # nobody wanted this late money: it is being given back
    UNDONE = "UNDONE"
    PARKED = "PARKED"  # telling or undoing failed for long: only a person can help


class CaseKind(models.TextChoices):
    """What a case of the reconciliation is about: a `selectors.Difference`, or a call that was never answered."""

    ORPHAN_CHARGE = "orphan_charge", "charge without a payment"
    MISSING_CHARGE = "missing_charge", "payment without a charge"
    WRONG_AMOUNT = "wrong_amount", "wrong amount"
    WRONG_STATUS = "wrong_status", "wrong status"
    UNKNOWN_OUTCOME = "unknown_outcome", "unknown outcome"


class CaseStatus(models.TextChoices):
    OPEN = "OPEN"
    SETTLED = "SETTLED"  # by the button
    BY_HAND = "BY_HAND"  # a person has said so
    GONE = "GONE"  # by itself


class WebhookStatus(models.TextChoices):
    RECEIVED = "RECEIVED"  # on record, and not looked into yet; or it could not be, and is tried again
    PARKED = "PARKED"  # about a payment that nobody here knows: looked for again, for a day
    DONE = "DONE"
    FAILED = "FAILED"  # given up after a day: only a person can help


CODE_LENGTH: Final = 64  # characters of a gateway's code that are kept

_S = PaymentStatus

# There is money at the gateway that is held or kept for us.
HOLDING: Final = frozenset({_S.AUTHORIZED, _S.CAPTURED, _S.PARTIALLY_REFUNDED})

# The money at the gateway is gone, or never was and never will be: there is nothing that such a call could do. But for
# a void where a gateway leaves what was declined open (`Gateway.declined_stays_open`).
NOTHING_TO_DO: Final[Mapping[Operation, frozenset[PaymentStatus]]] = {
    Operation.AUTHORIZE: frozenset({_S.VOIDED}),
    Operation.CAPTURE: frozenset({_S.VOIDED, _S.FAILED}),
    Operation.VOID: frozenset({_S.VOIDED, _S.FAILED, _S.REFUNDED}),
    Operation.REFUND: frozenset({_S.VOIDED, _S.FAILED, _S.REFUNDED}),
}

# (what was asked, what was answered) -> {from: to}. What is not here stays where it is: an UNKNOWN or PENDING moves
# nothing, and an answer that comes late (the authorization of a payment that was voided meanwhile) is kept on its
# attempt only.
MOVES: Final[Mapping[tuple[Operation, Outcome], Mapping[PaymentStatus, PaymentStatus]]] = {
    (Operation.AUTHORIZE, Outcome.DONE): {_S.PENDING: _S.AUTHORIZED},
    (Operation.AUTHORIZE, Outcome.REFUSED): {_S.PENDING: _S.FAILED},
    (Operation.CAPTURE, Outcome.DONE): {_S.PENDING: _S.CAPTURED, _S.AUTHORIZED: _S.CAPTURED},
    (Operation.VOID, Outcome.DONE): {_S.PENDING: _S.VOIDED, _S.AUTHORIZED: _S.VOIDED},
}


class Standing(NamedTuple):
    """Where a payment stands: what an answer can change about it. Amounts in minor units."""

    status: PaymentStatus
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    gateway_reference: str
    failure_code: str
    failure_message: str
    reversed_minor: int = 0
    dispute: str = ""


def after(standing: Standing, operation: Operation, reply: Reply, *, asked_minor: int | None) -> Standing:
    """Return where the payment stands after `reply`; pure. `asked_minor` is the amount that was asked for.

    Refunds are not counted here but from their own rows, by `refunded`, so that none is counted twice.
    """
    target = MOVES.get((operation, reply.outcome), {}).get(standing.status)
    if target is None:
        return standing
    if target is _S.AUTHORIZED:
        return standing._replace(status=target, gateway_reference=reply.reference)
    if target is _S.FAILED:
        return standing._replace(
            status=target, failure_code=reply.code[:CODE_LENGTH] or "refused", failure_message=reply.message
        )
    if target is _S.CAPTURED:
        taken = reply.amount_minor or asked_minor or standing.amount_minor
        return standing._replace(status=target, captured_minor=taken)
    return standing._replace(status=target)


def refunded(standing: Standing, *, total_minor: int) -> Standing:
    """Return where the payment stands once all its refunds that are done add up to `total_minor`; pure.

    From any state: that the gateway gave money back proves that it had taken it, even if the answer to the capture
    was lost.
    """
    if total_minor == standing.refunded_minor:
        return standing
    return _taken(standing._replace(captured_minor=standing.captured_minor or total_minor, refunded_minor=total_minor))


# What the gateway was seen to believe, where it has taken nothing -> {from: to}. Money that turns up under a payment
# which was over (an authorization that landed after its void) is there, so the payment says so again, until it is
# given back. Captured money never turns back into held money: that would be their mistake, and the auditor shows it.
SEEN: Final[Mapping[ChargeStatus, Mapping[PaymentStatus, PaymentStatus]]] = {
    ChargeStatus.PENDING: {},
    ChargeStatus.DECLINED: {_S.PENDING: _S.FAILED},
    ChargeStatus.AUTHORIZED: {_S.PENDING: _S.AUTHORIZED, _S.VOIDED: _S.AUTHORIZED, _S.FAILED: _S.AUTHORIZED},
    ChargeStatus.VOIDED: {_S.PENDING: _S.VOIDED, _S.AUTHORIZED: _S.VOIDED},
}


def seen(standing: Standing, charge: Charge) -> Standing:
    """Return where the payment stands now that the gateway was seen to believe `charge`; pure.

    `charge` must have been read after all that `standing` knows of. Nothing is taken in that contradicts it: less
    captured or given back than we have on record.
    """
    standing = standing._replace(
        dispute=charge.dispute, gateway_reference=standing.gateway_reference or charge.reference
    )
    if charge.captured_minor:
        if charge.captured_minor < standing.captured_minor or charge.refunded_minor < standing.refunded_minor:
            return standing
        return _taken(
            standing._replace(
                captured_minor=charge.captured_minor,
                refunded_minor=charge.refunded_minor,
                reversed_minor=charge.reversed_minor,
            )
        )
    target = SEEN[charge.status].get(standing.status)
    if target is None or standing.captured_minor:
        return standing
    code = (charge.failure_code[:CODE_LENGTH] or "refused") if target is _S.FAILED else ""
    return standing._replace(status=target, failure_code=code, failure_message=charge.failure_message if code else "")


def news(before: Standing, now: Standing) -> str:
    """Name the change that matters most between the two, in the words of `payments.observations`; "" for none."""
    if now.reversed_minor > before.reversed_minor:
        return "reversed"
    if now.dispute != before.dispute:
        return "disputed"
    if now.refunded_minor > before.refunded_minor:
        return "refunded"
    if now.captured_minor > before.captured_minor or now.reversed_minor < before.reversed_minor:
        return "captured"
    if now.status is before.status:
        return ""
    return {_S.AUTHORIZED: "authorized", _S.FAILED: "declined", _S.VOIDED: "voided"}[now.status]


def _taken(standing: Standing) -> Standing:
    """Return `standing` with the status that its amounts call for, now that something was captured."""
    gone = standing.refunded_minor + standing.reversed_minor
    if standing.refunded_minor == standing.captured_minor:
        status = _S.REFUNDED
    elif gone == standing.captured_minor:
        status = _S.FAILED
    else:
        status = _S.PARTIALLY_REFUNDED if standing.refunded_minor else _S.CAPTURED
    if status is not _S.FAILED:
        return standing._replace(status=status, failure_code="", failure_message="")
    lost = standing.dispute == Dispute.LOST
    return standing._replace(
        status=status,
        failure_code="dispute_lost" if lost else "payment_reversed",
        failure_message="The buyer won a dispute." if lost else "The bank took the payment back.",
    )
