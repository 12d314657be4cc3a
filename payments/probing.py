"""Finding out what became of a call by looking, without touching: for keys that the gateway may have forgotten."""

from datetime import timedelta

from django.db import connection

from payments import gateways
from payments.errors import CallInsideTransaction
from payments.gateways.base import Charge, ChargeStatus, GatewayUnavailable, Outcome, Reply
from payments.journal import GatewayCall
from payments.models import Payment
from payments.states import Operation

_NEVER = Reply(Outcome.REFUSED, code="never_authorized", message="The gateway knows of no such payment.")


def key_window(gateway: str = "") -> timedelta:
    """Return for how long a gateway remembers an idempotency key: after that a call is probed, and never sent again."""
    return gateways.gateway(gateway).key_window


def authorization_life(gateway: str = "") -> timedelta:
    """Return for how long, at the least, a gateway holds money that nobody takes."""
    return gateways.gateway(gateway).authorization_life


def probe(call: GatewayCall) -> Reply:
    """Return what became of `call`, by what the gateway now believes; nothing is done there.

    The gateway has forgotten the key, so the call can't be sent again. What did not happen is a final no for an
    authorization or a capture. For a void or a refund it is UNKNOWN with `nothing_happened`: an undo that has not
    worked must not be given up as if there was nothing to undo. Raises `CallInsideTransaction` when a transaction is
    open; reads the payment.
    """
    if connection.in_atomic_block:
        raise CallInsideTransaction(f"probe {call.operation} {call.key}")
    gateway = gateways.gateway(call.gateway)
    try:
        charge = gateway.find(authorization_key=call.authorization_key, reference=call.gateway_reference)
    except GatewayUnavailable as error:
        return Reply(Outcome.UNKNOWN, code=error.code, message=error.message, nothing_happened=True)
    match call.operation:
        case Operation.AUTHORIZE:
            return _authorized(charge)
        case Operation.CAPTURE:
            return _captured(charge)
        case Operation.VOID:
            return _voided(charge)
        case Operation.REFUND:
            return _refunded(charge, call)


def _authorized(charge: Charge | None) -> Reply:
    if charge is None:
        return _NEVER
    match charge.status:
        case ChargeStatus.PENDING:
            return Reply(Outcome.PENDING, reference=charge.reference, code="processing")
        case ChargeStatus.DECLINED:
            return Reply(Outcome.REFUSED, code=charge.failure_code, message=charge.failure_message)
        case ChargeStatus.VOIDED:
            message = "The authorization has been voided."
            return Reply(Outcome.REFUSED, code="authorization_voided", message=message)
    return Reply(
        Outcome.DONE,
        reference=charge.reference,
        amount_minor=charge.amount_minor,
        risk=charge.risk,
        card_country=charge.card_country,
    )


def _captured(charge: Charge | None) -> Reply:
    if charge is not None and charge.captured_minor:
        return Reply(Outcome.DONE, reference=charge.reference, amount_minor=charge.captured_minor)
    return Reply(Outcome.REFUSED, code="never_captured", message="The money was never captured.")


def _voided(charge: Charge | None) -> Reply:
    if charge is None or charge.status is ChargeStatus.DECLINED:
        return Reply(Outcome.DONE, code="nothing_to_void", amount_minor=0)
    if charge.status is ChargeStatus.VOIDED:
        return Reply(Outcome.DONE, reference=charge.reference, amount_minor=charge.amount_minor)
    if charge.captured_minor:
        return Reply(Outcome.REFUSED, code="already_captured", message="What has been captured can only be refunded.")
    return Reply(Outcome.UNKNOWN, code="not_voided", message="The money is still held.", nothing_happened=True)


def _refunded(charge: Charge | None, call: GatewayCall) -> Reply:
    if charge is None or not charge.captured_minor:
        return Reply(Outcome.DONE, code="nothing_to_refund", amount_minor=0)
    mine = next((made for made in charge.refunds if made.key == call.key), None)
    if mine is not None:
        return Reply(Outcome.DONE, reference=mine.reference, amount_minor=mine.amount_minor)
    left = charge.captured_minor - charge.refunded_minor - charge.reversed_minor
    if charge.refunds:  # all of them are named, and it is none of these
        on_top = 0
    else:
        on_top = charge.refunded_minor - Payment.objects.values_list("refunded_minor", flat=True).get(
            pk=call.payment_id
        )
    if on_top > 0 and on_top == (call.amount_minor or on_top + left):
        return Reply(Outcome.DONE, reference=charge.reference, amount_minor=on_top)
    if not left:
        return Reply(Outcome.DONE, code="nothing_to_refund", amount_minor=0)
    return Reply(Outcome.UNKNOWN, code="not_refunded", message="The money is not given back.", nothing_happened=True)
