"""What having an order undone would do with its money: told by our books, and where they don't know, by the gateway."""

from collections.abc import Sequence

from marketplace.kernel.money import format_minor
from marketplace.sagas.ticket import Ticket
from payments.gateways.base import Charge, ChargeStatus, GatewayUnavailable
from payments.selectors import PaymentView, charge_of, payments_of
from payments.states import PaymentStatus

_OVER = frozenset({PaymentStatus.VOIDED, PaymentStatus.FAILED, PaymentStatus.REFUNDED})
NOTHING_LEFT = "Nothing is left to be voided."


def void_foreseen(tickets: Sequence[Ticket]) -> list[str]:
    """Say what the undo of the authorization would do. May ask the gateway; reads only."""
    views = payments_of([ticket.subject_id for ticket in tickets])
    return [_void(views.get(ticket.subject_id)) for ticket in tickets]


def refund_foreseen(tickets: Sequence[Ticket]) -> list[str]:
    """Say what the undo of the capture would do. May ask the gateway; reads only."""
    views = payments_of([ticket.subject_id for ticket in tickets])
    return [_refund(views.get(ticket.subject_id)) for ticket in tickets]


def _void(payment: PaymentView | None) -> str:
    if payment is None or not payment.authorization_key:
        return "Nothing was asked for, so nothing is voided."
    if payment.given_up_at is not None or (payment.status in _OVER and not _may_be_open(payment)):
        return NOTHING_LEFT
    try:
        return _void_charge(payment, charge_of(payment))
    except GatewayUnavailable:
        most = _money(payment, payment.amount_minor)
        return f"Void what may be authorized, at most {most}: the gateway can't be asked now."


def _may_be_open(payment: PaymentView) -> bool:
    """Whether the bank has declined it, so that all there is to do is to see that nobody completes it."""
    return payment.status == PaymentStatus.FAILED and not payment.captured_minor


def _void_charge(payment: PaymentView, charge: Charge | None) -> str:
    if charge is None:
        return "The gateway knows of no authorization: nothing is voided, and none can follow."
    if charge.status is ChargeStatus.DECLINED:
        return "The bank has declined it: nothing is voided, and nothing can follow."
    if charge.status is ChargeStatus.AUTHORIZED:
        return f"Void the authorization of {_money(payment, charge.amount_minor)}; no money is taken."
    left = charge.captured_minor - charge.refunded_minor
    if left:
        return f"{NOTHING_LEFT} What was captured, {_money(payment, left)}, is refunded here if it is not before."
    return NOTHING_LEFT


def _refund(payment: PaymentView | None) -> str:
    if payment is None or not payment.authorization_key or payment.status in _OVER:
        return "Nothing was captured, so nothing is refunded."
    try:
        charge = charge_of(payment)
    except GatewayUnavailable:
        left = (payment.captured_minor or payment.amount_minor) - payment.refunded_minor
        return f"Refund what may be captured, at most {_money(payment, left)}: the gateway can't be asked now."
    left = charge.captured_minor - charge.refunded_minor if charge is not None else 0
    if not left:
        return "Nothing was captured, so nothing is refunded."
    return f"Refund {_money(payment, left)}, all that was captured."


def _money(payment: PaymentView, minor: int) -> str:
    return f"{format_minor(minor, payment.currency)} {payment.currency}"
