"""Stripe as the shop sees it.

Our authorization key is both Stripe's idempotency key and a line in the intent's metadata, so an intent is found again
without having seen the answer that named it. Three things of Stripe's are worth knowing before reading on:

Search lags (Stripe says: under a minute, as a rule), lists don't. So whoever is not found by search is looked for among
the newest intents, one by one.

A declined intent is not over: whoever knows its secret, as a buyer does who was sent to confirm, may confirm it with
another card. So one that is declined at once is cancelled there and then, and one that is declined later by a void.

Stripe has no way to forbid a key that it has never seen. We take its place: a void that finds nothing creates an
intent of its own under the authorization's idempotency key, never confirmed and cancelled at once. A late authorization
with that key is then another request under a used key, which Stripe turns down.

A method is a ConfirmationToken (`ctoken_…`), which Stripe's Payment Element makes in the buyer's browser, or a
PaymentMethod. With the first, a buyer whom the bank wants to hear from confirms in that browser, by Stripe.js; with the
second on the bank's page. (Source: Stripe, "Finalize payments on the server".)
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import stripe
import structlog
from django.conf import settings
from django.utils import timezone

from payments.gateways.base import Charge, GatewayUnavailable, Notice, Outcome, Reply, Widget
from payments.gateways.stripe import reading, webhooks

log = structlog.get_logger(__name__)

LAG = timedelta(minutes=15)  # how far back intents are looked through that search does not know yet: generous

_EXPAND: Final = ["latest_charge"]
_MADE_IN_BROWSER: Final = "ctoken_"  # how the id of a ConfirmationToken begins


class StripeGateway:
    """Client of Stripe with `api_key`, at `api_base`. One object serves all threads, and any process forked from it."""

    name = "stripe"
    authorization_life = timedelta(days=4, hours=18)  # the shortest there is: Visa's, without an extension
    declined_stays_open = True
    key_window = timedelta(hours=23)  # "keys are eligible to be removed after they're at least 24 hours old"

    def __init__(
        self,
        *,
        api_key: str,
        api_base: str,
        timeout_seconds: float,
        webhook_secret: str = "",
        publishable_key: str = "",
    ) -> None:
        self._api_key = api_key
        self._api_base = api_base
        self._timeout = timeout_seconds
        self._webhook_secret = webhook_secret
        self._publishable_key = publishable_key
        self._clients: dict[int, stripe.StripeClient] = {}  # by process: two must never write to one connection

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
        redirects = {"return_url": return_url} if return_url else {}
        parameters = {
            "amount": reading.to_stripe(amount_minor, currency),
            "currency": currency.lower(),
            "confirmation_token" if method.startswith(_MADE_IN_BROWSER) else "payment_method": method,
            "capture_method": "manual",
            "confirm": True,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "always" if return_url else "never"},
            "metadata": {**metadata, reading.KEY: key},
            "expand": _EXPAND,  # what Stripe thinks of the risk is told with the charge
            **redirects,
        }
        try:
            intent = self._intents.create(parameters, options={"idempotency_key": key})
            return reading.authorization(intent, return_url=return_url)
        except stripe.CardError as error:
            self._end(error, key)
            return reading.refusal(error.error)
        except stripe.IdempotencyError as error:
            return self._authorized_otherwise(key, error)
        except stripe.InvalidRequestError as error:
            return reading.invalid(error)
        except stripe.StripeError as error:
            return reading.unknown(error)

    def capture(self, *, key: str, authorization_key: str, reference: str, amount_minor: int) -> Reply:
        def capture(intent: Any) -> Reply:
            amount = reading.to_stripe(amount_minor, intent.currency)
            try:
                taken = self._intents.capture(
                    intent.id, {"amount_to_capture": amount}, options={"idempotency_key": key}
                )
            except stripe.InvalidRequestError as error:
                if error.code == "payment_intent_unexpected_state":
                    return reading.not_captured(self._intents.retrieve(intent.id))
                return reading.invalid(error)
            charge = taken.latest_charge
            return Reply(
                Outcome.DONE,
                reference=charge if isinstance(charge, str) else taken.id,
                amount_minor=reading.from_stripe(taken.amount_received, taken.currency),
            )

        return self._on(authorization_key, reference, capture) or reading.not_found()

    def void(self, *, key: str, authorization_key: str, reference: str = "") -> Reply:
        def cancel(intent: Any) -> Reply:
            nothing = reading.charge(intent, (), ()) is None
            if intent.status not in {"succeeded", "canceled"}:
                try:
                    self._intents.cancel(intent.id, options={"idempotency_key": key})
                except stripe.InvalidRequestError as error:
                    if error.code != "payment_intent_unexpected_state":
                        return reading.invalid(error)
                    intent = self._retrieve(intent.id)  # somebody was faster: what counts is what they made of it
                    if intent.status not in {"succeeded", "canceled"}:
                        return reading.not_voided(intent)
            if intent.status == "succeeded":
                return Reply(Outcome.REFUSED, code="already_captured", message="The money has been captured.")
            return Reply(Outcome.DONE, reference=intent.id, code="nothing_to_void" if nothing else "")

        return self._on(authorization_key, reference, cancel) or self._bury(authorization_key)

    def refund(self, *, key: str, authorization_key: str, amount_minor: int | None, reference: str = "") -> Reply:
        def refund(intent: Any) -> Reply:
            earlier = self._refunded_under(key, intent)
            if earlier is not None:
                return earlier
            charge = self._charge(intent)
            left = charge.captured_minor - charge.refunded_minor - charge.reversed_minor if charge else 0
            if not left and amount_minor is None:
                return Reply(Outcome.DONE, code="nothing_to_refund", amount_minor=0)
            # Without an amount it is all that is left; the same parameters each time, as the key demands.
            amount = {} if amount_minor is None else {"amount": reading.to_stripe(amount_minor, intent.currency)}
            parameters: Any = {"payment_intent": intent.id, "metadata": {reading.REFUND_KEY: key}, **amount}
            try:
                made = self._client.v1.refunds.create(parameters, options={"idempotency_key": key})
            except stripe.InvalidRequestError as error:
                return reading.invalid(error)
            return reading.refund(made)

        nothing = Reply(Outcome.DONE, code="nothing_to_refund", amount_minor=0)
        return self._on(authorization_key, reference, refund) or nothing

    # --- those that only read -----------------------------------------------------------------------------------------

    def find(self, *, authorization_key: str, reference: str = "") -> Charge | None:
        try:
            intent = self._retrieve(reference) if reference else self._lookup(authorization_key)
            return self._charge(intent) if intent is not None else None
        except stripe.StripeError as error:
            raise GatewayUnavailable(reason=reading.unknown(error).code) from error

    def list(self, *, since: datetime) -> Iterator[Charge]:
        """Stripe lists the newest first and keeps whole seconds, so what is older by less than one is listed too."""
        try:
            for intent in reversed([*self._since(since)]):
                charge = self._charge(intent) if reading.is_ours(intent) else None
                if charge is not None:
                    yield charge
        except stripe.StripeError as error:
            raise GatewayUnavailable(reason=reading.unknown(error).code) from error

    def verify(self, *, body: bytes, headers: Mapping[str, str]) -> Notice:
        return webhooks.verify(body=body, headers=headers, secret=self._webhook_secret)

    # --- in the buyer's browser ---------------------------------------------------------------------------------------

    def widget(self, *, amount_minor: int, currency: str) -> Widget:
        parameters: dict[str, str | int] = {
            "amount": reading.to_stripe(amount_minor, currency),
            "currency": currency.lower(),
            "release": stripe.api_version.partition(".")[2],  # each of Stripe.js goes with the API of the same name
        }
        return Widget("stripe", self._publishable_key, parameters)

    def confirmation(self, *, reference: str) -> Mapping[str, str]:
        try:
            intent = self._intents.retrieve(reference)
        except stripe.StripeError as error:
            raise GatewayUnavailable(reason=reading.unknown(error).code) from error
        return {"clientSecret": str(intent.client_secret)} if intent.status == "requires_action" else {}

    # --- how they do it -----------------------------------------------------------------------------------------------

    @property
    def _client(self) -> stripe.StripeClient:
        client = self._clients.get(os.getpid())
        if client is None:
            client = self._clients[os.getpid()] = stripe.StripeClient(
                self._api_key,
                base_addresses={"api": self._api_base} if self._api_base else {},
                max_network_retries=0,  # the saga repeats calls: one layer owns retries
                http_client=stripe.RequestsClient(timeout=self._timeout),
            )
        return client

    @property
    def _intents(self) -> Any:
        return self._client.v1.payment_intents

    def _on(self, authorization_key: str, reference: str, act: Callable[[Any], Reply]) -> Reply | None:
        """Do `act` with the intent of that key; None where there is none. Whatever goes wrong becomes a reply."""
        try:
            intent = self._retrieve(reference) if reference else self._lookup(authorization_key)
            return None if intent is None or reading.is_tombstone(intent) else act(intent)
        except stripe.StripeError as error:
            return reading.unknown(error)

    def _lookup(self, key: str) -> Any | None:
        """Find the intent of a key; a tombstone only where there is nothing else. Raises `StripeError`."""
        wanted = key.replace("\\", "\\\\").replace('"', '\\"')
        found = self._intents.search({"query": f'metadata["{reading.KEY}"]:"{wanted}"'}).data
        if found:
            real = [intent for intent in found if not reading.is_tombstone(intent)]
            return self._retrieve((real or found)[0].id)  # search may also be late to see what became of it
        newest = [intent for intent in self._since(timezone.now() - LAG) if reading.key(intent) == key]
        real = [intent for intent in newest if not reading.is_tombstone(intent)]
        return next(iter(real or newest), None)

    def _retrieve(self, reference: str) -> Any:
        return self._intents.retrieve(reference, {"expand": _EXPAND})

    def _since(self, moment: datetime) -> Iterator[Any]:
        parameters = {"created": {"gte": int(moment.timestamp())}, "limit": 100, "expand": ["data.latest_charge"]}
        found: Iterator[Any] = self._intents.list(parameters).auto_paging_iter()
        return found

    def _charge(self, intent: Any) -> Charge | None:
        given_back = getattr(intent.latest_charge, "amount_refunded", 0)
        refunds = self._refunds(intent) if given_back else []
        return reading.charge(intent, self._disputes(intent), refunds)

    def _refunds(self, intent: Any) -> Sequence[Any]:
        found: Sequence[Any] = self._client.v1.refunds.list({"payment_intent": intent.id, "limit": 100}).data
        return found

    def _disputes(self, intent: Any) -> Sequence[Any]:
        if not getattr(intent.latest_charge, "disputed", False):
            return []
        found: Sequence[Any] = self._client.v1.disputes.list({"payment_intent": intent.id}).data
        return found

    def _authorized_otherwise(self, key: str, error: stripe.StripeError) -> Reply:
        """Something else was done under this key: our own tombstone makes it a final no, all else is a riddle."""
        try:
            intent = self._lookup(key)
        except stripe.StripeError as trouble:
            return reading.unknown(trouble)
        if intent is not None and reading.is_tombstone(intent):
            message = "The payment was voided before it was authorized."
            return Reply(Outcome.REFUSED, code="voided_before_authorization", message=message)
        return reading.unknown(error)

    def _end(self, declined: stripe.CardError, key: str) -> None:
        """Cancel an intent that was declined at once. Nobody was told its secret: if this fails, it is only untidy."""
        intent = getattr(declined.error, "payment_intent", None)
        if intent is not None:
            try:
                self._intents.cancel(intent.id, options={"idempotency_key": f"{key}:declined"[-255:]})
            except stripe.StripeError as error:
                log.warning("declined_intent_left_open", intent=intent.id, error=type(error).__name__)

    def _bury(self, authorization_key: str) -> Reply:
        """Use up the key of an authorization that never came."""
        parameters = {
            "amount": 100,  # never confirmed, so never held: it only has to be more than Stripe's least
            "currency": "usd",
            "metadata": {reading.KEY: authorization_key, reading.TOMBSTONE: "yes"},
        }
        try:
            stone = self._intents.create(parameters, options={"idempotency_key": authorization_key})
            self._intents.cancel(stone.id, options={"idempotency_key": f"{authorization_key}:buried"[-255:]})
        except (
            stripe.StripeError
        ) as error:  # also when the authorization has come after all: then it is found next time
            return reading.unknown(error)
        return Reply(Outcome.DONE, code="nothing_to_void", message="Nothing was authorized under this key.")

    def _refunded_under(self, key: str, intent: Any) -> Reply | None:
        ours = [refund for refund in self._refunds(intent) if reading.note(refund, reading.REFUND_KEY) == key]
        return reading.refund(ours[0]) if ours else None


def from_settings() -> StripeGateway:
    """Return the client that the settings describe; the same one while they stay the same."""
    return _connected(
        settings.STRIPE_SECRET_KEY,
        settings.STRIPE_API_BASE,
        settings.PAYMENT_TIMEOUT_SECONDS,
        settings.STRIPE_WEBHOOK_SECRET,
        settings.STRIPE_PUBLISHABLE_KEY,
    )


@cache
def _connected(
    api_key: str, api_base: str, timeout_seconds: float, webhook_secret: str, publishable_key: str
) -> StripeGateway:
    return StripeGateway(
        api_key=api_key,
        api_base=api_base,
        timeout_seconds=timeout_seconds,
        webhook_secret=webhook_secret,
        publishable_key=publishable_key,
    )
