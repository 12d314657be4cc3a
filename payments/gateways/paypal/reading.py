"""What PayPal's orders say, in the words of `payments.gateways.base`, and our amounts in PayPal's spelling.

Sources: PayPal's REST API reference (Orders v2, Payments v2, Transaction Search), "Currency codes".
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from marketplace.kernel.money import Money, format_minor
from payments.gateways.base import Charge, ChargeStatus, GivenBack, Outcome, Reply

LONGEST_NOTE: Final = 127  # characters of a custom_id
VOIDED: Final = "void!"  # before a custom_id: this order must not be authorized any more
DENIED: Final = "deny!"  # the same, of an order that its buyer approved, and PayPal then declined to authorize
UNSEEN: Final = "void?"  # the same, of an order that we made only to use up the key of one that never came

CAPTURE: Final = "capture:"  # before the id of a capture, where a webhook names that and no order

_NO_DECIMALS: Final = frozenset({"HUF", "TWD"})  # ISO says two, PayPal takes none
_TAKEN: Final = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED", "PENDING"})


def note(key: str, *, mark: str = "") -> str:
    """Our key as a custom_id; a digest where it is too long for one."""
    short = key if len(key) <= LONGEST_NOTE - 5 else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    return mark + short


def key_in(custom: str) -> str:
    """The key that a custom_id names; empty where it is a digest of it, or no key."""
    plain = custom.removeprefix(VOIDED).removeprefix(DENIED).removeprefix(UNSEEN)
    return "" if plain.startswith("sha256:") else plain


def amount(minor: int, currency: str) -> dict[str, str]:
    """An amount in PayPal's spelling. What it can't say (a half forint) it is asked anyway, and refuses."""
    value = format_minor(minor, currency)
    if currency in _NO_DECIMALS:
        value = value.removesuffix(".00")
    return {"currency_code": currency, "value": value}


def minor(value: Mapping[str, str]) -> int:
    return Money.parse(value["value"], value["currency_code"]).minor


def unit(order: Mapping[str, Any]) -> Mapping[str, Any]:
    units = order.get("purchase_units") or [{}]
    found: Mapping[str, Any] = units[0]
    return found


def custom(order: Mapping[str, Any]) -> str:
    return str(unit(order).get("custom_id", ""))


def is_unseen(order: Mapping[str, Any]) -> bool:
    return custom(order).startswith(UNSEEN)


def is_voided(order: Mapping[str, Any]) -> bool:
    return custom(order).startswith((VOIDED, DENIED, UNSEEN))


def _payments(order: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    return list((unit(order).get("payments") or {}).get(kind) or [])


def authorization_of(order: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next(iter(_payments(order, "authorizations")), None)


def capture_of(order: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((c for c in _payments(order, "captures") if c["status"] in _TAKEN), None)


def refunds_of(order: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [r for r in _payments(order, "refunds") if r["status"] in {"COMPLETED", "PENDING"}]


def refund(made: Mapping[str, Any]) -> Reply:
    """What a refund says of itself. One that is under way may still fail: it is asked about again, by its key."""
    if made["status"] in {"FAILED", "CANCELLED"}:
        return Reply(Outcome.REFUSED, code="refund_failed", message="PayPal could not refund.")
    sent = {"reference": made["id"], "amount_minor": minor(made["amount"])}
    if made["status"] == "PENDING":
        message = "PayPal has taken the refund, and the money is on its way."
        return Reply(Outcome.PENDING, code="refund_pending", message=message, **sent)
    return Reply(Outcome.DONE, **sent)


def given_back(order: Mapping[str, Any]) -> tuple[GivenBack, ...]:
    """Those refunds of an order that are done, the first one first."""
    return tuple(
        GivenBack(
            reference=made["id"],
            key=key_in(str(made.get("custom_id", ""))),
            amount_minor=minor(made["amount"]),
            made_at=datetime.fromisoformat(made.get("create_time", order["create_time"])),
        )
        for made in refunds_of(order)
        if made["status"] == "COMPLETED"
    )


def approval_url(order: Mapping[str, Any]) -> str:
    links = {link["rel"]: link["href"] for link in order.get("links", [])}
    return str(links.get("payer-action") or links.get("approve") or "")


def authorized(order: Mapping[str, Any]) -> Reply:
    """What an order that was created, or authorized, says about the authorization."""
    held = authorization_of(order)
    if held is None:
        url = approval_url(order)
        code = "requires_action" if url else "processing"
        return Reply(Outcome.PENDING, reference=order["id"], code=code, action_url=url)
    if held["status"] == "DENIED":
        return Reply(Outcome.REFUSED, code="instrument_declined", message="PayPal declined the payment.")
    if held["status"] == "PENDING":
        return Reply(Outcome.PENDING, reference=order["id"], code="processing")
    return Reply(Outcome.DONE, reference=order["id"], amount_minor=minor(held["amount"]))


def charge(order: Mapping[str, Any], key: str) -> Charge | None:
    """What PayPal believes about an order; None for one that was made only to use up a key."""
    if is_unseen(order):
        return None
    held = authorization_of(order)
    taken = capture_of(order)
    currency = unit(order)["amount"]["currency_code"]
    captured = minor(taken["amount"]) if taken else 0
    back = given_back(order)
    refunded = sum(one.amount_minor for one in back)
    status = _status(order, held, captured, refunded)
    declined = status is ChargeStatus.DECLINED
    return Charge(
        key=key,
        reference=order["id"],
        status=status,
        amount_minor=minor(unit(order)["amount"]),
        currency=currency,
        captured_minor=captured,
        refunded_minor=refunded,
        created_at=datetime.fromisoformat(order["create_time"]),
        failure_code="instrument_declined" if declined else "",
        failure_message="PayPal declined the payment." if declined else "",
        refunds=back,
    )


def _status(order: Mapping[str, Any], held: Mapping[str, Any] | None, captured: int, refunded: int) -> ChargeStatus:
    if captured:
        if not refunded:
            return ChargeStatus.CAPTURED
        return ChargeStatus.REFUNDED if refunded >= captured else ChargeStatus.PARTIALLY_REFUNDED
    if held is None:
        if custom(order).startswith(DENIED):
            return ChargeStatus.DECLINED
        gone = is_voided(order) or order["status"] == "VOIDED"
        return ChargeStatus.VOIDED if gone else ChargeStatus.PENDING
    known = {"PENDING": ChargeStatus.PENDING, "DENIED": ChargeStatus.DECLINED, "VOIDED": ChargeStatus.VOIDED}
    return known.get(held["status"], ChargeStatus.AUTHORIZED)


def is_as_asked(order: Mapping[str, Any], *, key: str, amount_minor: int, currency: str) -> bool:
    """Whether PayPal's order is the one that was asked for: it answers a known key whatever else is in the request."""
    same = unit(order).get("amount", {})
    return custom(order) == note(key) and same.get("currency_code") == currency and minor(same) == amount_minor
