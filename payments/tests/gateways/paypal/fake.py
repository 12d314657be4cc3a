"""A stateful stand-in for PayPal's API, over HTTP, as far as our gateway uses it.

Like PayPal it knows a request again by its `PayPal-Request-Id` alone, and then answers with the order as it is now,
whatever else the request says. What is sent is checked against PayPal's published OpenAPI documents; `complaints` must
be empty in the end.
"""

import base64
import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from marketplace.sandbox.standin import Asked, StandIn
from payments.tests.gateways.specs import document

APPROVED, DECLINED = "vault:approved", "vault:declined"  # accounts that may be charged without asking
TOKEN = "A21AA-access-token"
LOGIN = "/v1/oauth2/token"
PAGE = "paypal"  # the buyer is sent to PayPal's page


class Problem(Exception):
    """An error as PayPal words it."""

    def __init__(self, status: int, name: str, issue: str, description: str) -> None:
        self.status = status
        details = [{"issue": issue, "description": description}]
        self.body = {"name": name, "message": description, "debug_id": "fake", "details": details}
        super().__init__(issue)


def _unprocessable(issue: str, description: str) -> Problem:
    return Problem(422, "UNPROCESSABLE_ENTITY", issue, description)


def _cents(amount: dict[str, str]) -> float:
    return float(amount["value"])


class FakePayPal(StandIn):
    """The whole of "PayPal": its books, and the server at `url` that keeps them."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.complaints: list[str] = []
        self.report_lag = timedelta()  # PayPal's own is up to three hours
        self.outage: int | None = None
        self.login = ("test", "secret")
        self.on_authorize: Any = None  # called in the middle of an authorization, with the order
        self.before_patch: Any = None  # called before an order is changed, with the order
        self.declines: set[str] = set()  # orders whose source of money turns out not to work
        self._made: dict[tuple[str, str], str] = {}  # (path, request id): the order or the payment it made
        self._ids = count(1)
        self._lock = threading.RLock()
        super().__init__()

    def approve(self, order_id: str) -> None:
        """The buyer agrees on PayPal's page."""
        order = self.orders[order_id]
        assert order["status"] == "PAYER_ACTION_REQUIRED", order["status"]
        order["status"] = "APPROVED"

    def webhook(
        self,
        order_id: str,
        *,
        webhook_id: str,
        age: timedelta = timedelta(),
        kind: str = "PAYMENT.AUTHORIZATION.CREATED",
    ) -> tuple[dict[str, str], bytes]:
        """Headers and body of what PayPal would tell us about an order's authorization, or the order itself."""
        order = self.orders[order_id]
        about = {"id": order_id, "purchase_units": order["purchase_units"], "status": order["status"]}
        if not kind.startswith("CHECKOUT.ORDER"):
            held = order["purchase_units"][0]["payments"]["authorizations"][0]
            about = {**held, "supplementary_data": {"related_ids": {"order_id": order_id}}}
        if kind == "PAYMENT.CAPTURE.REFUNDED":  # one made at the dashboard names its capture, and no order
            payments = order["purchase_units"][0]["payments"]
            above = f"{self.url}/v2/payments/captures/{payments['captures'][0]['id']}"
            about = {**payments["refunds"][-1], "links": [{"rel": "up", "href": above, "method": "GET"}]}
        resource = "checkout-order" if kind.startswith("CHECKOUT.ORDER") else "authorization"
        said = {
            "id": f"WH-EVENT-{next(self._ids)}", "event_type": kind, "resource_type": resource, "create_time": _now(),
            "resource": about,
        }  # fmt: skip
        body = json.dumps(said).encode()
        sent_at = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")
        signed = f"transmission-1|{sent_at}|{webhook_id}|{zlib.crc32(body)}".encode()
        signature = _KEY.sign(signed, PKCS1v15(), SHA256())
        headers = {
            "PAYPAL-AUTH-ALGO": "SHA256withRSA", "PAYPAL-CERT-URL": f"{self.url}/v1/notifications/certs/CERT-0001",
            "PAYPAL-TRANSMISSION-ID": "transmission-1", "PAYPAL-TRANSMISSION-TIME": sent_at,
            "PAYPAL-TRANSMISSION-SIG": base64.b64encode(signature).decode(),
        }  # fmt: skip
        return headers, body

    # --- the API ------------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, query: dict[str, str], sent: Any, key: str) -> tuple[int, Any]:
        with self._lock:
            if self.outage:
                return self.outage, {"name": "OUTAGE", "message": "Sorry."}
            self._check(method, path, sent)
            try:
                return self._do(method, path, query, sent or {}, key)
            except Problem as problem:
                return problem.status, problem.body

    def _check(self, method: str, path: str, sent: Any) -> None:
        if method == "GET":
            return
        name = "paypal_checkout_orders_v2.json" if "/checkout/" in path else "paypal_payments_payment_v2.json"
        self.complaints += document(name).complaints(method, path, sent or {}, media="application/json")

    def _do(  # noqa: PLR0911 - a table
        self, method: str, path: str, query: dict[str, str], sent: Any, key: str
    ) -> tuple[int, Any]:
        match method, *path.strip("/").split("/"):
            case "POST", "v2", "checkout", "orders":
                return self._create(sent, key)
            case "GET", "v2", "checkout", "orders", identifier:
                return 200, self._shown(self._order(identifier))
            case "PATCH", "v2", "checkout", "orders", identifier:
                return self._patch(self._order(identifier), sent)
            case "POST", "v2", "checkout", "orders", identifier, "authorize":
                return self._authorize(self._order(identifier))
            case "POST", "v2", "payments", "authorizations", identifier, "capture":
                return self._capture(identifier, sent, key)
            case "POST", "v2", "payments", "authorizations", identifier, "void":
                return self._void(identifier)
            case "POST", "v2", "payments", "captures", identifier, "refund":
                return self._refund(identifier, sent, key)
            case "GET", "v2", "payments", "captures", identifier:
                return 200, self._captured(identifier)
            case "GET", "v1", "reporting", "transactions":
                return 200, self._reported(query)
        raise Problem(404, "RESOURCE_NOT_FOUND", "NO_SUCH_PATH", f"{method} {path}")

    def _create(self, sent: dict[str, Any], key: str) -> tuple[int, Any]:
        known = self._made.get(("orders", key))
        if known:
            return 200, self._shown(self.orders[known])
        unit = json.loads(json.dumps(sent["purchase_units"][0]))
        if "." in unit["amount"]["value"] and unit["amount"]["currency_code"] in {"JPY", "HUF", "TWD"}:
            raise _unprocessable("DECIMALS_NOT_SUPPORTED", "Currency does not support decimals.")
        wallet = sent.get("payment_source", {}).get("paypal", {})
        if wallet.get("vault_id") == "declined":
            raise _unprocessable("INSTRUMENT_DECLINED", "The instrument presented was declined.")
        order = {
            "id": f"ORDER{next(self._ids):014}", "intent": sent["intent"], "create_time": _now(),
            "status": "PAYER_ACTION_REQUIRED" if wallet else "CREATED", "purchase_units": [{**unit, "payments": {}}],
        }  # fmt: skip
        self.orders[order["id"]] = order
        self._made["orders", key] = order["id"]
        if wallet.get("vault_id"):
            self._hold(order)
        return 201, self._shown(order)

    def _patch(self, order: dict[str, Any], sent: list[dict[str, Any]]) -> tuple[int, Any]:
        if self.before_patch:
            self.before_patch(order)
        if order["status"] not in {"CREATED", "APPROVED", "PAYER_ACTION_REQUIRED"}:
            raise _unprocessable("ORDER_ALREADY_COMPLETED", "The order cannot be patched after it is completed.")
        for change in sent:
            assert change["path"] == "/purchase_units/@reference_id=='default'/custom_id", change
            order["purchase_units"][0]["custom_id"] = change["value"]
        return 204, None

    def _authorize(self, order: dict[str, Any]) -> tuple[int, Any]:
        if order["status"] == "COMPLETED":
            raise _unprocessable("ORDER_ALREADY_AUTHORIZED", "Order already authorized.")
        if order["status"] != "APPROVED":
            raise _unprocessable("ORDER_NOT_APPROVED", "Payer has not yet approved the Order for payment.")
        if order["id"] in self.declines:
            raise _unprocessable("INSTRUMENT_DECLINED", "The instrument presented was declined.")
        self._hold(order)
        if self.on_authorize:
            self.on_authorize(order)
        return 201, self._shown(order)

    def _hold(self, order: dict[str, Any]) -> None:
        unit = order["purchase_units"][0]
        held = {
            "id": f"AUTH{next(self._ids):013}", "status": "CREATED", "amount": unit["amount"], "create_time": _now(),
            "custom_id": unit.get("custom_id", ""),
        }  # fmt: skip
        unit["payments"]["authorizations"] = [held]
        order["status"] = "COMPLETED"

    def _capture(self, identifier: str, sent: dict[str, Any], key: str) -> tuple[int, Any]:
        payments, held = self._authorization(identifier)
        if ("captures", key) in self._made:
            return 200, next(c for c in payments["captures"] if c["id"] == self._made["captures", key])
        if held["status"] == "VOIDED":
            raise _unprocessable("AUTHORIZATION_VOIDED", "A voided authorization cannot be captured.")
        if held["status"] == "CAPTURED":
            raise _unprocessable("AUTHORIZATION_ALREADY_CAPTURED", "Authorization has already been captured.")
        amount = sent.get("amount", held["amount"])
        if _cents(amount) > _cents(held["amount"]):
            raise _unprocessable("MAX_CAPTURE_AMOUNT_EXCEEDED", "Capture amount exceeds allowable limit.")
        taken = {"id": f"CAPT{next(self._ids):013}", "status": "COMPLETED", "amount": amount, "create_time": _now()}
        payments.setdefault("captures", []).append(taken)
        held["status"] = "CAPTURED"
        self._made["captures", key] = taken["id"]
        return 201, taken

    def _void(self, identifier: str) -> tuple[int, Any]:
        _, held = self._authorization(identifier)
        if held["status"] == "CAPTURED":
            raise _unprocessable("PREVIOUSLY_CAPTURED", "Authorization has been previously captured.")
        if held["status"] == "VOIDED":
            raise _unprocessable("PREVIOUSLY_VOIDED", "Authorization has been previously voided.")
        held["status"] = "VOIDED"
        return 204, None

    def _refund(self, identifier: str, sent: dict[str, Any], key: str) -> tuple[int, Any]:
        every = [order["purchase_units"][0]["payments"] for order in self.orders.values()]
        payments = next(p for p in every if any(c["id"] == identifier for c in p.get("captures", [])))
        taken = next(c for c in payments["captures"] if c["id"] == identifier)
        made = payments.setdefault("refunds", [])
        if ("refunds", key) in self._made:
            return 200, next(r for r in made if r["id"] == self._made["refunds", key])
        left = round(_cents(taken["amount"]) - sum(_cents(r["amount"]) for r in made), 3)
        digits = len(taken["amount"]["value"].partition(".")[2])
        amount = sent.get("amount") or {**taken["amount"], "value": f"{left:.{digits}f}"}
        if left <= 0:
            raise _unprocessable("CAPTURE_FULLY_REFUNDED", "The capture has already been fully refunded.")
        if _cents(amount) > left:
            raise _unprocessable("REFUND_AMOUNT_EXCEEDED", "The refund amount is more than what is left.")
        refund = {
            "id": f"RFND{next(self._ids):013}", "status": "COMPLETED", "amount": amount, "create_time": _now(),
            "custom_id": sent.get("custom_id", ""),
        }  # fmt: skip
        made.append(refund)
        taken["status"] = "REFUNDED" if _cents(amount) == left else "PARTIALLY_REFUNDED"
        self._made["refunds", key] = refund["id"]
        return 201, refund

    def _captured(self, identifier: str) -> dict[str, Any]:
        for order in self.orders.values():
            for taken in order["purchase_units"][0].get("payments", {}).get("captures", []):
                if taken["id"] == identifier:
                    return {**taken, "supplementary_data": {"related_ids": {"order_id": order["id"]}}}
        raise Problem(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID", "There is no such capture.")

    def refund_at_the_dashboard(self, order_id: str, value: str) -> str:
        """Somebody gives money back at PayPal's own dashboard; return the refund's id."""
        (taken,) = self.orders[order_id]["purchase_units"][0]["payments"]["captures"]
        amount = {"currency_code": taken["amount"]["currency_code"], "value": value}
        _, made = self._refund(taken["id"], {"amount": amount}, f"dashboard-{next(self._ids)}")
        return str(made["id"])

    def _reported(self, query: dict[str, str]) -> dict[str, Any]:
        since, until = (datetime.fromisoformat(query[name]) for name in ("start_date", "end_date"))
        assert until - since <= timedelta(days=31), "the maximum supported range is 31 days"
        rows = []
        for order in self.orders.values():
            for held in order["purchase_units"][0]["payments"].get("authorizations", []):
                at = datetime.fromisoformat(held["create_time"])
                if since <= at.replace(microsecond=999_999) and at <= until and _old(at, self.report_lag):
                    info = {
                        "transaction_id": held["id"], "paypal_reference_id": order["id"],
                        "paypal_reference_id_type": "ODR", "custom_field": held["custom_id"],
                        "transaction_initiation_date": held["create_time"],
                    }  # fmt: skip
                    rows.append({"transaction_info": info})
        size, page = int(query["page_size"]), int(query["page"])
        pages = max(1, -(-len(rows) // size))
        return {"transaction_details": rows[(page - 1) * size : page * size], "page": page, "total_pages": pages}

    def _order(self, identifier: str) -> dict[str, Any]:
        if identifier not in self.orders:
            raise Problem(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID", "Specified resource ID does not exist.")
        return self.orders[identifier]

    def _authorization(self, identifier: str) -> tuple[dict[str, Any], dict[str, Any]]:
        for order in self.orders.values():
            payments = order["purchase_units"][0]["payments"]
            for held in payments.get("authorizations", []):
                if held["id"] == identifier:
                    return payments, held
        raise Problem(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID", "Specified resource ID does not exist.")

    def _shown(self, order: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(json.dumps(order))
        rel = "payer-action" if order["status"] == "PAYER_ACTION_REQUIRED" else "self"
        shown["links"] = [{"rel": rel, "href": f"{self.url}/checkoutnow?token={order['id']}", "method": "GET"}]
        return shown

    def _loses(self, asked: Asked) -> bool:
        return asked.path != LOGIN and super()._loses(asked)

    def reply(self, asked: Asked) -> tuple[int, Any]:
        if asked.path.startswith("/v1/notifications/certs/"):
            return (200, _certificate()) if asked.path.endswith("/CERT-0001") else (404, None)
        if asked.path == LOGIN:
            login = base64.b64encode(":".join(self.login).encode()).decode()
            if asked.headers.get("Authorization", "") != f"Basic {login}":
                return 401, {"error": "invalid_client"}
            return 200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        key = asked.headers.get("PayPal-Request-Id", "")
        assert len(key) <= 108, "a PayPal-Request-Id has at most 108 characters"
        return self.answer(asked.method, asked.path, query, json.loads(asked.body) if asked.body else None, key)


_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def _certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "messageverificationcerts.paypal.com")])
    today = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_KEY.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
    )
    return builder.sign(_KEY, SHA256()).public_bytes(Encoding.PEM)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _old(at: datetime, lag: timedelta) -> bool:
    return not lag or datetime.now(UTC) - at >= lag


@contextmanager
def running() -> Iterator[FakePayPal]:
    """A fake of one's own, closed in the end; every request that it saw must have been a valid one."""
    fake = FakePayPal()
    try:
        yield fake
        assert not fake.complaints, fake.complaints
    finally:
        fake.close()
