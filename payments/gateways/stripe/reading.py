"""What Stripe's objects and errors say, in the words of `payments.gateways.base`.

Sources: Stripe's API reference (PaymentIntents, Refunds, Disputes), "Error handling", "Idempotent requests".
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import stripe

from payments.gateways.base import Charge, ChargeStatus, Dispute, GivenBack, Outcome, Reply, Risk
from payments.gateways.unanswered import unanswered

KEY: Final = "marketplace_key"  # metadata: the idempotency key that the authorization was asked for with
TOMBSTONE: Final = "marketplace_tombstone"  # metadata: made only so that a late authorization with this key is refused
REFUND_KEY: Final = "marketplace_refund_key"

# Stripe counts these in hundredths although they have none (docs: "Supported currencies", special cases).
_HUNDREDFOLD: Final = frozenset({"ISK", "UGX"})

# An intent that waits for the buyer or for the bank. Nothing is held yet.
_PENDING: Final = frozenset({"requires_action", "requires_confirmation", "processing"})
_UNDER_WAY: Final = frozenset({"pending", "requires_action"})  # a refund that may still fail
_DISPUTES: Final = {"lost": Dispute.LOST, "won": Dispute.WON, "warning_closed": Dispute.WON}


def to_stripe(minor: int, currency: str) -> int:
    """Our minor units (by ISO 4217) in Stripe's smallest unit."""
    return minor * 100 if currency.upper() in _HUNDREDFOLD else minor


def from_stripe(amount: int, currency: str) -> int:
    """The reverse of `to_stripe`."""
    return amount // 100 if currency.upper() in _HUNDREDFOLD else amount


def authorization(intent: Any, *, return_url: str = "") -> Reply:
    """What an intent that was created and confirmed says about the authorization.

    Where Stripe.js is to ask the buyer, that is done on our own page, the one that the buyer would come back to.
    """
    if intent.status == "requires_capture":
        risk, country = judged(intent.latest_charge)
        return Reply(
            Outcome.DONE,
            reference=intent.id,
            amount_minor=from_stripe(intent.amount_capturable, intent.currency),
            risk=risk,
            card_country=country,
        )
    if intent.status in _PENDING:
        url = _action_url(intent, return_url)
        code = "requires_action" if url else "processing"
        return Reply(Outcome.PENDING, reference=intent.id, code=code, action_url=url)
    if intent.status == "requires_payment_method":
        return refusal(intent.last_payment_error)
    if intent.status == "canceled":
        return Reply(Outcome.REFUSED, code="authorization_voided", message="The payment was voided.")
    return Reply(Outcome.UNKNOWN, code="unexpected_status", message=f"Stripe's intent is {intent.status}.")


def judged(latest: Any) -> tuple[Risk, str]:
    """What Radar says of a charge, and where its card was issued; nothing where the charge is not expanded.

    Source: the Charge object's `outcome` (`risk_level`, and `type` "manual_review" for what Radar's rules want looked
    at) and `payment_method_details.card.country`.
    """
    outcome = getattr(latest, "outcome", None)
    level, kind = getattr(outcome, "risk_level", None), getattr(outcome, "type", None)
    card = getattr(getattr(latest, "payment_method_details", None), "card", None)
    looked_at = level == "elevated" or kind == "manual_review"
    risk = Risk.HIGHEST if level == "highest" else Risk.ELEVATED if looked_at else Risk.UNTOLD
    return risk, str(getattr(card, "country", None) or "")


def _action_url(intent: Any, return_url: str) -> str:
    action = intent.next_action
    if action and action.type == "use_stripe_sdk":
        return return_url
    redirect = getattr(action, "redirect_to_url", None) if action else None
    return str(redirect.url or "") if redirect else ""


def refusal(error: Any) -> Reply:
    """A declined card: the bank's own word where Stripe passes it on."""
    code = str(getattr(error, "decline_code", None) or getattr(error, "code", None) or "card_declined")
    if code == "generic_decline":
        code = "card_declined"
    return Reply(Outcome.REFUSED, code=code, message=str(getattr(error, "message", None) or "The card was declined."))


def note(thing: Any, name: str) -> str:
    """What we have written into an object's metadata under that name; empty if nothing."""
    return str(getattr(thing.metadata, name, ""))  # an object of the SDK's, not a dict


def key(intent: Any) -> str:
    """Our key of an intent; empty for those that somebody else made."""
    return note(intent, KEY)


def is_ours(intent: Any) -> bool:
    return bool(key(intent))


def is_tombstone(intent: Any) -> bool:
    return bool(note(intent, TOMBSTONE))


def not_found() -> Reply:
    return Reply(Outcome.REFUSED, code="authorization_not_found", message="There is no such payment.")


def not_captured(intent: Any) -> Reply:
    """Why an intent could not be captured, by what has become of it."""
    if intent.status == "succeeded":
        return Reply(Outcome.REFUSED, code="already_captured", message="The money has been captured already.")
    if intent.status == "canceled":
        return Reply(Outcome.REFUSED, code="authorization_voided", message="The authorization was voided.")
    if intent.status in _PENDING:
        message = "The authorization is still pending."
        return Reply(Outcome.UNKNOWN, code="authorization_pending", message=message, nothing_happened=True)
    return not_found()


def not_voided(intent: Any) -> Reply:
    """An intent that can't be cancelled as it is now: Stripe, or the bank, is at work on it."""
    message = f"It can't be voided now: Stripe's intent is {intent.status}."
    return Reply(Outcome.UNKNOWN, code="not_voided", message=message, nothing_happened=True)


def refund(made: Any) -> Reply:
    """What a refund says of itself. One that is under way may still fail: it is asked about again, by its key."""
    if made.status in {"failed", "canceled"}:
        reason = str(made.failure_reason or made.status)
        return Reply(Outcome.REFUSED, code="refund_failed", message=f"Stripe could not refund: {reason}.")
    amount = from_stripe(made.amount, made.currency)
    if made.status in _UNDER_WAY:
        message = "Stripe has taken the refund, and the money is on its way."
        return Reply(Outcome.PENDING, reference=made.id, code="refund_pending", message=message, amount_minor=amount)
    return Reply(Outcome.DONE, reference=made.id, amount_minor=amount)


def given_back(refunds: Sequence[Any]) -> tuple[GivenBack, ...]:
    """Those refunds that are done, the first one first."""
    return tuple(
        GivenBack(
            reference=made.id,
            key=note(made, REFUND_KEY),
            amount_minor=from_stripe(made.amount, made.currency),
            made_at=datetime.fromtimestamp(made.created, UTC),
        )
        for made in sorted(refunds, key=lambda one: int(one.created))
        if made.status == "succeeded"
    )


def charge(intent: Any, disputes: Sequence[Any], refunds: Sequence[Any]) -> Charge | None:
    """What Stripe believes about an intent whose `latest_charge` is expanded; None where there is no charge at all.

    An authorization that was declined at once leaves an intent behind, which we have cancelled, and a void of a key
    that never came leaves a tombstone: neither is a charge. To let go of what is held is a refund to Stripe, and none
    to us.
    """
    latest = intent.latest_charge
    failed = latest is not None and latest.status == "failed"
    captured = from_stripe(intent.amount_received or 0, intent.currency)
    back = given_back(refunds) if captured else ()
    refunded = sum(one.amount_minor for one in back)
    status = _status(intent, captured, refunded, failed=failed)
    if status is None or is_tombstone(intent):
        return None
    error = intent.last_payment_error if status is ChargeStatus.DECLINED else None
    declined = refusal(error) if error else None
    lost = from_stripe(sum(d.amount for d in disputes if d.status == "lost"), intent.currency)
    if lost and lost >= captured - refunded:
        status = ChargeStatus.REVERSED
    risk, country = judged(latest)
    return Charge(
        key=key(intent),
        reference=intent.id,
        status=status,
        amount_minor=from_stripe(intent.amount, intent.currency),
        currency=intent.currency.upper(),
        captured_minor=captured,
        refunded_minor=refunded,
        created_at=datetime.fromtimestamp(intent.created, UTC),
        reversed_minor=min(lost, captured - refunded),
        dispute=_DISPUTES.get(disputes[0].status, Dispute.OPEN) if disputes else Dispute.NONE,
        failure_code=declined.code if declined else "",
        failure_message=declined.message if declined else "",
        refunds=back,
        risk=risk,
        card_country=country,
    )


def _status(intent: Any, captured: int, refunded: int, *, failed: bool) -> ChargeStatus | None:
    if intent.status in _PENDING:
        return ChargeStatus.PENDING
    if intent.status == "requires_capture":
        return ChargeStatus.AUTHORIZED
    if intent.status == "succeeded":
        kept = ChargeStatus.PARTIALLY_REFUNDED if refunded else ChargeStatus.CAPTURED
        return ChargeStatus.REFUNDED if refunded >= captured else kept
    if failed and intent.status == "canceled":
        return None  # declined at once
    if intent.last_payment_error:
        return ChargeStatus.DECLINED  # by the bank, or the buyer has failed there, which leaves no failed charge
    return ChargeStatus.VOIDED if intent.status == "canceled" else None


_TURNED_AWAY: Final = (stripe.PermissionError, stripe.RateLimitError)
_REFUSED_INPUT: Final = {
    "resource_missing": "authorization_not_found",
    "amount_too_large": "amount_too_large",
    "parameter_invalid_integer": "invalid_request",
}


def unknown(error: stripe.StripeError) -> Reply:
    """Nobody knows: or at the least, this error is no final no."""
    if isinstance(error, stripe.APIConnectionError):
        return unanswered(error.__cause__ or error.__context__)
    if isinstance(error, stripe.IdempotencyError):
        message = "Stripe has another request under this key."
        return Reply(Outcome.UNKNOWN, code="idempotency_key_reused", message=message)
    if isinstance(error, stripe.AuthenticationError):  # every call of ours is turned away, until our key is seen to
        return Reply(Outcome.UNKNOWN, code="unauthorized", message=_sentence(error), nothing_happened=True)
    code = str(error.code or getattr(error.error, "code", None) or type(error).__name__)
    turned_away = isinstance(error, _TURNED_AWAY)
    return Reply(Outcome.UNKNOWN, code=code, message=_sentence(error), nothing_happened=turned_away)


def invalid(error: stripe.InvalidRequestError) -> Reply:
    """A request that Stripe turned down for what it says: it would turn it down again."""
    code = _REFUSED_INPUT.get(error.code or "", "invalid_request")
    return Reply(Outcome.REFUSED, code=code, message=_sentence(error))


def _sentence(error: stripe.StripeError) -> str:
    return str(error.user_message or "Stripe did not say why.")
