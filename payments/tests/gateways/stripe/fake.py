"""A stateful stand-in for Stripe's API, over HTTP, as far as our gateway uses it.

Strict where Stripe is: idempotency keys with a check of the parameters, the intent's states, amounts. What is sent is
checked against Stripe's published OpenAPI document; `complaints` must be empty in the end. Like Stripe's, its search
lags behind: by default it sees nothing younger than an hour.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

from marketplace.sandbox.standin import Asked, StandIn
from payments.tests.gateways.specs import document

FORM = "application/x-www-form-urlencoded"
APPROVED, DECLINED, POOR, SECURE = (
    "pm_card_visa",
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_threeDSecure2Required",
)
# What the Payment Element makes in a browser of the same cards.
TOKENS = {"ctoken_visa": APPROVED, "ctoken_declined": DECLINED, "ctoken_poor": POOR, "ctoken_secure": SECURE}
PROCESSING = "pm_fake_processing"  # ours: a method whose bank takes its time


class Problem(Exception):
    """An error as Stripe words it."""

    def __init__(self, status: int, type: str, message: str, **more: Any) -> None:
        self.status, self.body = status, {"error": {"type": type, "message": message, **more}}
        super().__init__(message)


def _invalid(message: str, **more: Any) -> Problem:
    return Problem(400, "invalid_request_error", message, **more)


class FakeStripe(StandIn):
    """The whole of "Stripe": its books, and the server at `url` that keeps them."""

    def __init__(self) -> None:
        self.intents: dict[str, dict[str, Any]] = {}
        self.charges: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.disputes: dict[str, dict[str, Any]] = {}
        self.complaints: list[str] = []
        self.search_lag = 3600.0  # seconds
        self.busy_keys: set[str] = set()  # keys of requests that are still being worked on, as far as others are told
        self.outage: tuple[int, dict[str, Any]] | None = None  # every request is answered like this
        self._spent: set[str] = set()
        self._answers: dict[str, tuple[Any, int, dict[str, Any]]] = {}
        self._ids = count(1)
        self._lock = threading.RLock()
        super().__init__()

    def forget_keys(self) -> None:
        """Do as Stripe does after a day: drop all idempotency keys."""
        self._answers.clear()

    # --- what a buyer, a bank or somebody at the dashboard does -------------------------------------------------------

    def intent_of(self, key: str) -> dict[str, Any]:
        return next(i for i in self.intents.values() if i["metadata"].get("marketplace_key") == key)

    def decide(self, key: str, *, approve: bool) -> None:
        """The buyer comes to the bank's page and goes through with it, or fails there."""
        intent = self.intent_of(key)
        if intent["status"] == "canceled":
            return  # and the page says so
        assert intent["status"] in {"requires_action", "processing"}, intent["status"]
        intent["next_action"] = None
        if approve:
            self._hold(intent)
        else:
            intent["status"] = "requires_payment_method"
            intent["last_payment_error"] = {
                "code": "payment_intent_authentication_failure",
                "message": "Not confirmed.",
            }

    def turn_down(self, key: str) -> None:
        """The buyer has gone through with it, and then the bank says no: unlike a failure there, that was a charge."""
        intent = self.intent_of(key)
        assert intent["status"] in {"requires_action", "processing"}, intent["status"]
        self._charge(intent, "failed")
        intent["status"], intent["next_action"] = "requires_payment_method", None
        intent["last_payment_error"] = {
            "code": "card_declined",
            "decline_code": "insufficient_funds",
            "message": "Your card has insufficient funds.",
        }

    def try_another_card(self, key: str, *, captured: bool = False) -> bool:
        """Stripe's script, which knows the intent's secret, confirms what was declined with a card that is good.

        `captured`: and somebody takes the money at the dashboard. False, where the intent is over.
        """
        intent = self.intent_of(key)
        if intent["status"] != "requires_payment_method":
            return False
        intent["last_payment_error"] = None
        self._hold(intent)
        if captured:
            self._capture(intent, {})
        return True

    def event(self, key: str, *, kind: str = "payment_intent.amount_capturable_updated") -> dict[str, Any]:
        """What Stripe would tell us about an intent."""
        about = self._shown(self.intent_of(key), {})
        at = int(time.time())
        return {"id": self._id("evt"), "object": "event", "type": kind, "created": at, "data": {"object": about}}

    def dispute(self, key: str, *, status: str) -> None:
        intent = self.intent_of(key)
        charge = self.charges[intent["latest_charge"]]
        charge["disputed"] = True
        found = next((d for d in self.disputes.values() if d["payment_intent"] == intent["id"]), None)
        if found is None:
            found = {
                "id": self._id("dp"), "object": "dispute", "amount": charge["amount"], "charge": charge["id"],
                "currency": charge["currency"], "payment_intent": intent["id"], "created": int(time.time()),
            }  # fmt: skip
            self.disputes[found["id"]] = found
        found["status"] = status

    # --- the API ------------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, sent: dict[str, Any], key: str) -> tuple[int, dict[str, Any]]:
        with self._lock:
            if self.outage:
                return self.outage
            self.complaints += document("stripe_requests.json").complaints(
                method, path, _typed(method, path, sent) if method == "POST" else {}, media=FORM
            )
            if key in self.busy_keys:
                more = {"code": "idempotency_key_in_use"}
                return 409, Problem(409, "idempotency_error", "Another request has this key.", **more).body
            if key and key in self._answers:
                first, status, body = self._answers[key]
                if first != (path, sent):
                    return 400, Problem(
                        400, "idempotency_error", "Keys can only be used with the same parameters."
                    ).body
                return status, body
            try:
                status, body = 200, json.loads(json.dumps(self._do(method, path, sent)))
            except Problem as problem:
                status, body = problem.status, problem.body
            if key and status in {200, 402}:
                self._answers[key] = ((path, sent), status, body)
            return status, body

    def _do(self, method: str, path: str, sent: dict[str, Any]) -> dict[str, Any]:  # noqa: PLR0911 - a table
        match method, *path.removeprefix("/v1/").split("/"):
            case "POST", "payment_intents":
                return self._create(sent)
            case "GET", "payment_intents":
                return _page(self._listed(sent), sent)
            case "GET", "payment_intents", "search":
                return self._searched(sent)
            case "GET", "payment_intents", identifier:
                return self._shown(self._intent(identifier), sent)
            case "POST", "payment_intents", identifier, "capture":
                return self._capture(self._intent(identifier), sent)
            case "POST", "payment_intents", identifier, "cancel":
                return self._cancel(self._intent(identifier))
            case "POST", "refunds":
                return self._refund(sent)
            case "GET", "refunds":
                return _page([r for r in self.refunds.values() if r["payment_intent"] == sent["payment_intent"]], sent)
            case "GET", "disputes":
                return _page([d for d in self.disputes.values() if d["payment_intent"] == sent["payment_intent"]], sent)
        raise Problem(404, "invalid_request_error", f"Unrecognized request URL ({method}: {path}).")

    def _create(self, sent: dict[str, Any]) -> dict[str, Any]:
        amount = int(sent["amount"])
        if amount < 50:
            raise _invalid("Amount must be at least 50 cents.", code="amount_too_small", param="amount")
        intent = {
            "id": self._id("pi"), "object": "payment_intent", "amount": amount, "amount_capturable": 0,
            "amount_received": 0, "currency": sent["currency"],
            "capture_method": sent.get("capture_method", "automatic"),
            "status": "requires_payment_method", "metadata": sent.get("metadata", {}), "latest_charge": None,
            "last_payment_error": None, "next_action": None, "created": int(time.time()),
            "payment_method": sent.get("payment_method"), "cancellation_reason": None,
        }  # fmt: skip
        intent["client_secret"] = f"{intent['id']}_secret_of_the_buyer"
        token = sent.get("confirmation_token")
        if token is not None:
            intent["payment_method"] = self._spend(token)
        self.intents[intent["id"]] = intent
        if sent.get("confirm") == "true":
            self._confirm(intent, sent)
        return self._shown(intent, sent)

    def _spend(self, token: str) -> str:
        """The card behind a ConfirmationToken, which is good for one intent."""
        card = TOKENS.get(token.rpartition("_n")[0] or token)  # "ctoken_visa_n3": the third of its kind
        if card is None or token in self._spent:
            raise _invalid(
                f"No such confirmation token: {token!r}", code="resource_missing", param="confirmation_token"
            )
        self._spent.add(token)
        return card

    def _confirm(self, intent: dict[str, Any], sent: dict[str, Any]) -> None:
        match intent["payment_method"]:
            case "pm_card_visa":
                self._hold(intent)
            case "pm_card_riskLevelElevated":
                self._hold(intent)
                self.charges[intent["latest_charge"]]["outcome"] |= {"risk_level": "elevated", "type": "manual_review"}
            case "pm_card_chargeDeclined":
                self._decline(intent, "generic_decline", "Your card was declined.")
            case "pm_card_chargeDeclinedInsufficientFunds":
                self._decline(intent, "insufficient_funds", "Your card has insufficient funds.")
            case "pm_card_threeDSecure2Required" if "confirmation_token" in sent or not sent.get("return_url"):
                intent["status"], intent["next_action"] = "requires_action", {"type": "use_stripe_sdk"}
            case "pm_card_threeDSecure2Required":
                intent["status"] = "requires_action"
                redirect = {"url": f"{self.url}/redirect/{intent['id']}", "return_url": sent["return_url"]}
                intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": redirect}
            case "pm_fake_processing":
                intent["status"] = "processing"
            case other:
                del self.intents[intent["id"]]
                raise _invalid(f"No such PaymentMethod: {other!r}", code="resource_missing", param="payment_method")

    def _charge(self, intent: dict[str, Any], status: str) -> None:
        charge = {
            "id": self._id("ch"), "object": "charge", "amount": intent["amount"], "amount_captured": 0,
            "amount_refunded": 0, "captured": False, "currency": intent["currency"], "disputed": False,
            "refunded": False, "status": status, "payment_intent": intent["id"], "created": int(time.time()),
            "outcome": {"risk_level": "normal", "type": "authorized"},
            "payment_method_details": {"type": "card", "card": {"country": "US"}},
        }  # fmt: skip
        self.charges[charge["id"]] = charge
        intent["latest_charge"] = charge["id"]

    def _hold(self, intent: dict[str, Any]) -> None:
        self._charge(intent, "succeeded")
        intent["status"], intent["amount_capturable"] = "requires_capture", intent["amount"]

    def _decline(self, intent: dict[str, Any], decline_code: str, message: str) -> None:
        self._charge(intent, "failed")
        error = {"type": "card_error", "code": "card_declined", "decline_code": decline_code, "message": message}
        intent["last_payment_error"] = error
        more = {**error, "payment_intent": self._shown(intent, {})}
        raise Problem(402, more.pop("type"), more.pop("message"), **more)

    def _capture(self, intent: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
        if intent["status"] != "requires_capture":
            raise self._unexpected(intent, "captured")
        amount = int(sent.get("amount_to_capture", intent["amount_capturable"]))
        if amount > intent["amount_capturable"]:
            raise _invalid(
                "The amount is more than can be captured.", code="amount_too_large", param="amount_to_capture"
            )
        charge = self.charges[intent["latest_charge"]]
        charge["captured"], charge["amount_captured"] = True, amount
        intent["status"], intent["amount_received"], intent["amount_capturable"] = "succeeded", amount, 0
        return self._shown(intent, sent)

    def _cancel(self, intent: dict[str, Any]) -> dict[str, Any]:
        if intent["status"] in {"succeeded", "canceled", "processing"}:
            raise self._unexpected(intent, "canceled")
        if intent["status"] == "requires_capture":  # Stripe calls it a refund to let go of what was held
            self._give_back(intent, intent["amount_capturable"], {})
        intent["status"], intent["amount_capturable"], intent["next_action"] = "canceled", 0, None
        return self._shown(intent, {})

    def _refund(self, sent: dict[str, Any]) -> dict[str, Any]:
        intent = self._intent(sent["payment_intent"])
        if intent["status"] != "succeeded":
            raise _invalid("This PaymentIntent has no captured charge.", code="charge_not_captured")
        charge = self.charges[intent["latest_charge"]]
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = int(sent.get("amount", left))
        if any(d["status"] == "lost" for d in self.disputes.values() if d["charge"] == charge["id"]):
            raise _invalid("The charge has been charged back.", code="charge_disputed")
        if not left:
            raise _invalid("The charge has already been refunded.", code="charge_already_refunded")
        if amount > left:
            raise _invalid("The amount is more than what is left.", code="amount_too_large", param="amount")
        return self._give_back(intent, amount, sent)

    def _give_back(self, intent: dict[str, Any], amount: int, sent: dict[str, Any]) -> dict[str, Any]:
        charge = self.charges[intent["latest_charge"]]
        charge["amount_refunded"] += amount
        refund = {
            "id": self._id("re"), "object": "refund", "amount": amount, "currency": intent["currency"],
            "payment_intent": intent["id"], "charge": charge["id"], "status": "succeeded", "failure_reason": None,
            "metadata": sent.get("metadata", {}), "created": int(time.time()),
        }  # fmt: skip
        self.refunds[refund["id"]] = refund
        return refund

    def _listed(self, sent: dict[str, Any]) -> list[dict[str, Any]]:
        since = int(sent.get("created", {}).get("gte", 0))
        return [self._shown(i, sent) for i in reversed(self.intents.values()) if i["created"] >= since]

    def _searched(self, sent: dict[str, Any]) -> dict[str, Any]:
        asked = re.fullmatch(r'metadata\["(\w+)"\]:"((?:[^"\\]|\\.)*)"', sent["query"])
        if asked is None:
            raise _invalid("We can't read this query.")
        value = re.sub(r"\\(.)", r"\1", asked[2])
        known = [i for i in self.intents.values() if time.time() - i["created"] >= self.search_lag]
        found = [self._shown(i, {}) for i in known if i["metadata"].get(asked[1]) == value]
        return {"object": "search_result", "data": found, "has_more": False, "next_page": None, "url": "/v1/search"}

    def _shown(self, intent: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
        expands = any(str(name).endswith("latest_charge") for name in _values(sent.get("expand", {})))
        charge = self.charges.get(intent["latest_charge"]) if expands else intent["latest_charge"]
        return {**intent, "latest_charge": charge}

    def _intent(self, identifier: str) -> dict[str, Any]:
        if identifier not in self.intents:
            raise Problem(
                404, "invalid_request_error", f"No such payment_intent: {identifier!r}", code="resource_missing"
            )
        return self.intents[identifier]

    def _unexpected(self, intent: dict[str, Any], wish: str) -> Problem:
        message = f"This PaymentIntent could not be {wish} because it has a status of {intent['status']}."
        return _invalid(message, code="payment_intent_unexpected_state", payment_intent=self._shown(intent, {}))

    def _id(self, kind: str) -> str:
        return f"{kind}_fake{next(self._ids):06}"

    def reply(self, asked: Asked) -> tuple[int, Any]:
        if not asked.headers.get("Authorization", "").startswith("Bearer sk_test_"):
            return 401, Problem(401, "invalid_request_error", "Invalid API Key provided.").body
        key = asked.headers.get("Idempotency-Key", "") if asked.method == "POST" else ""
        return self.answer(asked.method, asked.path, _nested(asked.query or asked.body.decode()), key)


def _nested(form: str) -> dict[str, Any]:
    """`a[b][c]=d` as {"a": {"b": {"c": "d"}}}."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        first, *rest = re.findall(r"[^\[\]]+", name)
        at = found
        for part, following in zip([first, *rest], [*rest, None], strict=True):
            if following is None:
                at[part] = value
            else:
                at = at.setdefault(part, {})
    return found


def _values(expand: Any) -> list[Any]:
    return list(expand.values()) if isinstance(expand, dict) else list(expand)


def _typed(method: str, path: str, sent: dict[str, Any]) -> dict[str, Any]:
    """What a form says, with the types that the document gives it: a form knows only text."""
    return _cast(sent, document("stripe_requests.json").schema(method, path, media=FORM))


def _cast(value: Any, schema: dict[str, Any]) -> Any:
    kinds = [schema, *schema.get("anyOf", [])]
    if isinstance(value, dict) and any(kind.get("type") == "array" for kind in kinds):
        return list(value.values())
    if isinstance(value, dict):
        known = {k: v for kind in kinds for k, v in kind.get("properties", {}).items()}
        return {name: _cast(part, known.get(name, {})) for name, part in value.items()}
    if any(kind.get("type") == "integer" for kind in kinds) and re.fullmatch(r"-?\d+", value):
        return int(value)
    if any(kind.get("type") == "boolean" for kind in kinds) and value in {"true", "false"}:
        return value == "true"
    return value


def _page(rows: list[dict[str, Any]], sent: dict[str, Any]) -> dict[str, Any]:
    after = sent.get("starting_after")
    begin = next((at + 1 for at, row in enumerate(rows) if row["id"] == after), 0)
    limit = int(sent.get("limit", 10))
    return {
        "object": "list", "data": rows[begin : begin + limit], "has_more": len(rows) > begin + limit, "url": "/v1/list",
    }  # fmt: skip


@contextmanager
def running() -> Iterator[FakeStripe]:
    """A fake of one's own, closed in the end; every request that it saw must have been a valid one."""
    fake = FakeStripe()
    try:
        yield fake
        assert not fake.complaints, fake.complaints
    finally:
        fake.close()
