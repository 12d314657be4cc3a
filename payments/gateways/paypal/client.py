"""PayPal as the shop sees it.

A buyer approves a PayPal order on PayPal's page; only then can it be authorized, and somebody has to ask for that. So
`find` is what completes it: it authorizes an order that the buyer has approved, unless it was voided meanwhile.

Orders are known by PayPal's own id. Where the answer that named it was lost, the same request with the same
`PayPal-Request-Id` names it again, whatever else it says; that is also how an id is found, and how the key of an order
that never came is used up: what is created then is marked (`custom_id`), and nobody is ever sent to approve it.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from payments.gateways.base import Charge, GatewayUnavailable, Notice, Outcome, Reply, Widget
from payments.gateways.paypal import reading, webhooks, wire
from payments.gateways.paypal.wire import PayPalError

REPORTED = timedelta(days=30)  # the longest period that one search may cover is 31 days
VAULT: Final = "vault:"  # a method: a PayPal account that the buyer has agreed to let us charge again

_WHOLE: Final = "return=representation"
_NOTHING_TO_REFUND: Final = Reply(Outcome.DONE, code="nothing_to_refund", amount_minor=0)
_NOTHING_TO_VOID: Final = Reply(Outcome.DONE, code="nothing_to_void", message="Nothing was authorized under this key.")
_NO_SUCH: Final = Reply(Outcome.REFUSED, code="authorization_not_found", message="There is no such payment.")


class PayPalGateway:
    """Client of PayPal at `base`. One object serves all threads, and any process forked from this one."""

    name = "paypal"
    authorization_life = timedelta(days=3)  # the honor period; what is captured after it may be declined
    declined_stays_open = False  # a decline is marked (`_completed`)
    key_window = timedelta(hours=5)  # of an order's key: "the server stores keys for 6 hours"

    def __init__(self, *, base: str, client_id: str, secret: str, timeout_seconds: float, webhook_id: str = "") -> None:
        self._access: dict[str, Any] = {
            "base": base, "client_id": client_id, "secret": secret, "timeout_seconds": timeout_seconds,
        }  # fmt: skip
        self._webhook_id = webhook_id
        self._clients: dict[int, Any] = {}  # by process: two must never write to one connection

    # --- the four that move money -------------------------------------------------------------------------------------

    def authorize(
        self,
        *,
        key: str,
        amount_minor: int,
        currency: str,
        method: str,
        metadata: Mapping[str, str],
        return_url: str = "",
    ) -> Reply:
        unit = {
            "reference_id": "default",
            "custom_id": reading.note(key),
            "amount": reading.amount(amount_minor, currency),
        }
        source = {"paypal": _source(method, return_url)}
        try:
            order = self._create({"intent": "AUTHORIZE", "purchase_units": [unit], "payment_source": source}, key)
        except PayPalError as error:
            return wire.reply(error)
        if reading.is_voided(order):
            message = "The payment was voided before it was authorized."
            return Reply(Outcome.REFUSED, code="voided_before_authorization", message=message)
        if not reading.is_as_asked(order, key=key, amount_minor=amount_minor, currency=currency):
            message = "PayPal has another request under this key."
            return Reply(Outcome.UNKNOWN, code="idempotency_key_reused", message=message)
        return reading.authorized(order)

    def capture(self, *, key: str, authorization_key: str, reference: str, amount_minor: int) -> Reply:
        def capture(order: Mapping[str, Any]) -> Reply:
            held = reading.authorization_of(order)
            if held is None:
                if reading.is_voided(order):
                    return Reply(Outcome.REFUSED, code="authorization_voided", message="The payment was voided.")
                message = "The buyer has not approved the payment yet."
                return Reply(Outcome.UNKNOWN, code="authorization_pending", message=message, nothing_happened=True)
            asked = {
                "amount": reading.amount(amount_minor, held["amount"]["currency_code"]),
                "final_capture": True,
            }
            options = {"authorization_id": held["id"], "paypal_request_id": _id(key), "prefer": _WHOLE, "body": asked}
            taken = wire.body(self._sdk.payments.capture_authorized_payment(options))
            if taken["status"] in {"DECLINED", "FAILED"}:
                return Reply(Outcome.REFUSED, code="capture_declined", message="PayPal declined the capture.")
            return Reply(Outcome.DONE, reference=taken["id"], amount_minor=reading.minor(taken["amount"]))

        return self._on(authorization_key, reference, capture) or _NO_SUCH

    def void(self, *, key: str, authorization_key: str, reference: str = "") -> Reply:
        def void(order: Mapping[str, Any]) -> Reply:
            held = reading.authorization_of(order)
            if held is None and not reading.is_voided(order):
                order = self._forbid(order, authorization_key)
                held = reading.authorization_of(order)  # approved and authorized in this very moment?
            if held is None or held["status"] == "VOIDED":
                return Reply(Outcome.DONE, reference=order["id"])
            if reading.capture_of(order):
                return Reply(Outcome.REFUSED, code="already_captured", message="The money has been captured.")
            if held["status"] == "DENIED":
                return _NOTHING_TO_VOID
            return self._let_go(order["id"], held["id"], key)

        try:
            order = self._get(reference) if reference else self._use_up(authorization_key)
            return _NOTHING_TO_VOID if order is None or reading.is_unseen(order) else void(order)
        except PayPalError as error:
            return wire.reply(error)

    def refund(self, *, key: str, authorization_key: str, amount_minor: int | None, reference: str = "") -> Reply:
        def refund(order: Mapping[str, Any]) -> Reply:
            taken = reading.capture_of(order)
            made = reading.refunds_of(order)
            earlier = next((one for one in made if one.get("custom_id") == reading.note(key)), None)
            if earlier is not None:
                return reading.refund(earlier)
            if taken is None or reading.minor(taken["amount"]) <= sum(reading.minor(one["amount"]) for one in made):
                return _NOTHING_TO_REFUND
            currency = taken["amount"]["currency_code"]
            part = {} if amount_minor is None else {"amount": reading.amount(amount_minor, currency)}
            asked = {"custom_id": reading.note(key), **part}
            options = {"capture_id": taken["id"], "paypal_request_id": _id(key), "prefer": _WHOLE, "body": asked}
            given = wire.body(self._sdk.payments.refund_captured_payment(options))
            return reading.refund(given)

        return self._on(authorization_key, reference, refund) or _NOTHING_TO_REFUND

    # --- those that look ----------------------------------------------------------------------------------------------

    def find(self, *, authorization_key: str, reference: str = "") -> Charge | None:
        """Besides, authorize an order that its buyer has approved: PayPal waits for us to ask."""
        try:
            order = self._lookup(authorization_key, reference)
            if order is None:
                return None
            return reading.charge(self._completed(order, authorization_key), authorization_key)
        except PayPalError as error:
            raise GatewayUnavailable(reason=wire.reply(error).code) from error

    def list(self, *, since: datetime) -> Iterator[Charge]:
        """PayPal reports with a delay of up to three hours."""
        try:
            for reported in self._reported(since):
                order = self._get(reported["paypal_reference_id"])
                charge = reading.charge(order, reported["custom_field"]) if order else None
                if charge is not None and charge.created_at >= since:
                    yield charge
        except PayPalError as error:
            raise GatewayUnavailable(reason=wire.reply(error).code) from error

    def verify(self, *, body: bytes, headers: Mapping[str, str]) -> Notice:
        base = str(self._access["base"])
        return webhooks.verify(body=body, headers=headers, webhook_id=self._webhook_id, base=base)

    # --- in the buyer's browser ---------------------------------------------------------------------------------------

    def widget(self, *, amount_minor: int, currency: str) -> Widget:
        """Without the amount: PayPal's buttons read it from the order that they are given."""
        return Widget("paypal", str(self._access["client_id"]), {"currency": currency, "intent": "authorize"})

    def confirmation(self, *, reference: str) -> Mapping[str, str]:
        return {"orderId": reference}

    def charge_behind(self, *, reference: str) -> str:
        """Return the id of the order whose capture a webhook has named; empty where there is none."""
        if not reference.startswith(reading.CAPTURE):
            return ""
        try:
            options = {"capture_id": reference.removeprefix(reading.CAPTURE)}
            taken = wire.body(self._sdk.payments.get_captured_payment(options))
        except PayPalError as error:
            if wire.not_found(error):
                return ""
            raise GatewayUnavailable(reason=wire.reply(error).code) from error
        related = (taken.get("supplementary_data") or {}).get("related_ids") or {}
        return str(related.get("order_id") or "")

    # --- how they do it -----------------------------------------------------------------------------------------------

    @property
    def _sdk(self) -> Any:
        client = self._clients.get(os.getpid())
        if client is None:
            client = self._clients[os.getpid()] = wire.connect(**self._access)
        return client

    def _on(self, authorization_key: str, reference: str, act: Callable[[Mapping[str, Any]], Reply]) -> Reply | None:
        """Do `act` with the order of that key; None where there is none. Whatever goes wrong becomes a reply."""
        try:
            order = self._lookup(authorization_key, reference)
            return None if order is None or reading.is_unseen(order) else act(order)
        except PayPalError as error:
            return wire.reply(error)

    def _create(self, body: Mapping[str, Any], key: str) -> dict[str, Any]:
        options = {"body": dict(body), "paypal_request_id": _id(key), "prefer": _WHOLE}
        return wire.body(self._sdk.orders.create_order(options))

    def _get(self, order_id: str) -> dict[str, Any] | None:
        try:
            return wire.body(self._sdk.orders.get_order({"id": order_id}))
        except PayPalError as error:
            if wire.not_found(error):
                return None
            raise

    def _lookup(self, authorization_key: str, reference: str) -> dict[str, Any] | None:
        """Read the order. One whose id never reached us is looked for in the reports: nobody was sent to approve it."""
        if reference:
            return self._get(reference)
        wanted = reading.note(authorization_key)
        found = (r for r in self._reported(timezone.now() - REPORTED) if r["custom_field"] == wanted)
        reported = next(found, None)
        return self._get(reported["paypal_reference_id"]) if reported else None

    def _reported(self, since: datetime) -> Iterator[Mapping[str, Any]]:
        """Yield every authorization of ours since then as the reports have it, oldest first."""
        now = timezone.now()
        begin, page, pages = max(since, now - REPORTED), 1, 1
        while page <= pages:
            options = {
                "start_date": begin.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "end_date": (now + timedelta(seconds=1)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "balance_affecting_records_only": "N", "fields": "transaction_info", "page_size": 500, "page": page,
            }  # fmt: skip
            found = wire.body(self._sdk.transaction_search.search_transactions(options))
            for entry in found.get("transaction_details", []):
                info = entry["transaction_info"]
                if info.get("paypal_reference_id_type") == "ODR" and info.get("custom_field"):
                    yield info
            page, pages = page + 1, int(found.get("total_pages", 1))

    def _completed(self, order: dict[str, Any], authorization_key: str) -> dict[str, Any]:
        """Authorize an approved order; one that was voided meanwhile is let go of again.

        One that PayPal then declines could be approved anew, with another source of money. Here a decline is the end of
        it, and the buyer's next try another order: so it is marked, and never authorized.
        """
        if order["status"] != "APPROVED" or reading.is_voided(order):
            return order
        options = {"id": order["id"], "paypal_request_id": _id(f"{authorization_key}:approved"), "prefer": _WHOLE}
        try:
            self._sdk.orders.authorize_order(options)
        except PayPalError as error:
            reply = wire.reply(error)
            if reply.outcome is not Outcome.REFUSED:
                raise
            if reply.code == "instrument_declined":
                return self._forbid(order, authorization_key, mark=reading.DENIED)
        now = self._get(order["id"]) or order
        held = reading.authorization_of(now)
        if reading.is_voided(now) and held is not None and held["status"] == "CREATED":
            self._let_go(order["id"], held["id"], f"{authorization_key}:overtaken")
            now = self._get(order["id"]) or now
        return now

    def _forbid(
        self, order: Mapping[str, Any], authorization_key: str, *, mark: str = reading.VOIDED
    ) -> dict[str, Any]:
        """Mark an order that nobody has authorized yet, so that nobody ever will; answer what it is then.

        One that somebody has authorized in this very moment can't be marked any more, and is answered as it is.
        """
        path = "/purchase_units/@reference_id=='default'/custom_id"
        value = reading.note(authorization_key, mark=mark)
        try:
            self._sdk.orders.patch_order({"id": order["id"], "body": [{"op": "replace", "path": path, "value": value}]})
        except PayPalError as error:
            now = self._get(order["id"]) if wire.reply(error).outcome is Outcome.REFUSED else None
            if now is None or reading.authorization_of(now) is None:
                raise
            return now
        return self._get(order["id"]) or dict(order)

    def _let_go(self, order_id: str, authorization_id: str, key: str) -> Reply:
        options = {"authorization_id": authorization_id, "paypal_request_id": _id(key)}
        try:
            self._sdk.payments.void_payment(options)
        except PayPalError as error:
            reply = wire.reply(error)
            gone = reply.code == "authorization_voided"
            return Reply(Outcome.DONE, reference=order_id) if gone else reply
        return Reply(Outcome.DONE, reference=order_id)

    def _use_up(self, authorization_key: str) -> dict[str, Any] | None:
        """Name the order of a key whose answer was lost; where there is none, make one in its place."""
        found = self._lookup(authorization_key, "")
        if found is not None:
            return found
        unit = {
            "reference_id": "default",
            "custom_id": reading.note(authorization_key, mark=reading.UNSEEN),
            "amount": {"currency_code": "USD", "value": "1.00"},
        }
        made = self._create({"intent": "AUTHORIZE", "purchase_units": [unit]}, authorization_key)
        return self._get(made["id"])


def _id(key: str) -> str:
    """A `PayPal-Request-Id`, which has at most 108 characters."""
    return key if len(key) <= 108 else hashlib.sha256(key.encode()).hexdigest()


def _source(method: str, return_url: str) -> dict[str, Any]:
    if method.startswith(VAULT):
        return {"vault_id": method.removeprefix(VAULT)}
    urls = {"return_url": return_url, "cancel_url": return_url} if return_url else {}
    return {
        "experience_context": {
            "user_action": "PAY_NOW", "shipping_preference": "NO_SHIPPING",
            "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED", **urls,
        }
    }  # fmt: skip


def from_settings() -> PayPalGateway:
    """Return the client that the settings describe; the same one while they stay the same."""
    return _connected(
        settings.PAYPAL_API_BASE,
        settings.PAYPAL_CLIENT_ID,
        settings.PAYPAL_CLIENT_SECRET,
        settings.PAYMENT_TIMEOUT_SECONDS,
        settings.PAYPAL_WEBHOOK_ID,
    )


@cache
def _connected(base: str, client_id: str, secret: str, timeout_seconds: float, webhook_id: str) -> PayPalGateway:
    return PayPalGateway(
        base=base, client_id=client_id, secret=secret, timeout_seconds=timeout_seconds, webhook_id=webhook_id
    )
