"""The sandbox gateway as the shop sees it."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import httpx
from django.conf import settings
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from payments.gateways.base import (
    Charge,
    ChargeStatus,
    Dispute,
    GatewayUnavailable,
    NotGenuine,
    Notice,
    NotUnderstood,
    Outcome,
    Reply,
)

# The gateway has looked at it and said a final no.
_REFUSALS: Final = frozenset(
    {
        "card_declined",
        "insufficient_funds",
        "invalid_payment_method",
        "invalid_request",
        "voided_before_authorization",
        "authorization_not_found",
        "authorization_voided",
        "authorization_declined",
        "already_captured",
        "amount_too_large",
    }
)
# The gateway has not looked at it at all. `idempotency_key_reused` is in neither: something was done under that key.
_TURNED_AWAY: Final = frozenset({"processor_unavailable", "unauthorized", "authorization_pending"})

_CONNECT_SECONDS: Final = 3.0
_CONNECTIONS: Final = 200


class SandboxGateway:
    """Client of the sandbox gateway at `url`. One object serves all threads, and any process forked from this one."""

    name = "sandbox"
    key_window = timedelta(hours=24)

    def __init__(self, *, url: str, api_key: str, timeout_seconds: float, webhook_secret: str = "") -> None:
        self._url = url
        self._webhook = Webhook(webhook_secret) if webhook_secret else None
        self._api_key = api_key
        self._timeout = httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds))
        self._clients: dict[int, httpx.Client] = {}  # by process: two must never write to one connection

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
        body = {"amount_minor": amount_minor, "currency": currency, "method": method, "metadata": dict(metadata)}
        if return_url:
            body["return_url"] = return_url
        return self._move("/v1/authorizations", key, body)

    def capture(self, *, key: str, authorization_key: str, reference: str, amount_minor: int) -> Reply:
        return self._move(_path(authorization_key, "capture"), key, {"amount_minor": amount_minor})

    def void(self, *, key: str, authorization_key: str, reference: str = "") -> Reply:
        return self._move(_path(authorization_key, "void"), key, {})

    def refund(self, *, key: str, authorization_key: str, amount_minor: int | None, reference: str = "") -> Reply:
        return self._move(_path(authorization_key, "refund"), key, {"amount_minor": amount_minor})

    def find(self, *, authorization_key: str, reference: str = "") -> Charge | None:
        status, body = self._read(_path(authorization_key))
        if status == 404 and _error(body).get("code") == "authorization_not_found":
            return None
        return _charge(_expect(status, body)["authorization"])

    def list(self, *, since: datetime) -> Iterator[Charge]:
        parameters = {"since": since.isoformat(), "limit": "500"}
        while True:
            page = _expect(*self._read("/v1/authorizations", parameters))
            yield from map(_charge, page["results"])
            if page["next"] is None:
                return
            parameters["after"] = page["next"]

    def verify(self, *, body: bytes, headers: Mapping[str, str]) -> Notice:
        if self._webhook is None:
            raise NotGenuine
        try:  # the library compares in constant time, and tolerates five minutes either way
            self._webhook.verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError) as problem:  # a signature may be no base64, a body no text
            raise NotGenuine from problem
        try:
            said = json.loads(body)
            return Notice(
                event_id=str(said["id"]),
                kind=str(said["type"]),
                authorization_key=str(said["data"]["key"]),
                reference=str(said["data"]["reference"]),
                occurred_at=datetime.fromisoformat(said["created_at"]),
            )
        except (ValueError, TypeError, LookupError) as problem:
            raise NotUnderstood from problem

    def close(self) -> None:
        """Close this process's idle connections. The next call opens new ones."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    def _client(self) -> httpx.Client:
        client = self._clients.get(os.getpid())
        if client is None:
            with _making:
                client = self._clients.get(os.getpid()) or httpx.Client(
                    base_url=self._url,
                    headers={"Authorization": f"Bearer {self._api_key}"},
                    timeout=self._timeout,
                    limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
                    trust_env=False,  # no proxy stands between us and a service of our own
                )
                self._clients[os.getpid()] = client
        return client

    def _move(self, path: str, key: str, body: Mapping[str, Any]) -> Reply:
        try:
            response = self._client().post(path, json=body, headers={"Idempotency-Key": key})
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            message = "The payment gateway could not be reached."
            return Reply(Outcome.UNKNOWN, code="gateway_unreachable", message=message, nothing_happened=True)
        except httpx.TimeoutException:
            return Reply(Outcome.UNKNOWN, code="gateway_timeout", message="The payment gateway did not answer in time.")
        except httpx.TransportError:
            return Reply(Outcome.UNKNOWN, code="connection_lost", message="The payment gateway's answer was lost.")
        return _reply(response)

    def _read(self, path: str, parameters: Mapping[str, str] | None = None) -> tuple[int, Any]:
        try:
            response = self._client().get(path, params=parameters)
        except httpx.TransportError as problem:
            raise GatewayUnavailable from problem
        return response.status_code, _json(response)


# Held while a client is made, so that threads that start together share one; made anew in a forked process, because
# the thread that held it may not have come along.
_making = threading.Lock()


def _make_anew() -> None:
    global _making  # noqa: PLW0603 a lock can't be reset in place
    _making = threading.Lock()


os.register_at_fork(after_in_child=_make_anew)


def from_settings() -> SandboxGateway:
    """Return the client that the settings describe; the same one while they stay the same."""
    return _connected(
        settings.SANDBOX_GATEWAY_URL,
        settings.SANDBOX_API_KEY,
        settings.PAYMENT_TIMEOUT_SECONDS,
        settings.SANDBOX_WEBHOOK_SECRET,
    )


@cache
def _connected(url: str, api_key: str, timeout_seconds: float, webhook_secret: str) -> SandboxGateway:
    return SandboxGateway(url=url, api_key=api_key, timeout_seconds=timeout_seconds, webhook_secret=webhook_secret)


def _path(authorization_key: str, action: str = "") -> str:
    path = f"/v1/authorizations/{quote(authorization_key, safe='')}"
    return f"{path}/{action}" if action else path


def _json(response: httpx.Response) -> Any:
    """The body, or None when it is not JSON."""
    try:
        return response.json()
    except ValueError:
        return None


def _error(body: Any) -> Mapping[str, Any]:
    found = body.get("error") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def _expect(status: int, body: Any) -> Any:
    if status != 200 or not isinstance(body, dict):
        raise GatewayUnavailable(status=status, reason=str(_error(body).get("code", "unreadable_answer")))
    return body


def _reply(response: httpx.Response) -> Reply:
    body = _json(response)
    if response.is_success and isinstance(body, dict) and isinstance(body.get("reference"), str):
        if response.status_code == 202:
            return Reply(
                Outcome.PENDING, body["reference"], body.get("code", ""), action_url=body.get("action_url", "")
            )
        return Reply(
            Outcome.DONE, reference=body["reference"], code=body.get("code", ""), amount_minor=body.get("amount_minor")
        )
    problem = _error(body)
    code, message = str(problem.get("code", "unreadable_answer")), str(problem.get("message", ""))
    if response.is_client_error and code in _REFUSALS:
        return Reply(Outcome.REFUSED, code=code, message=message)
    message = message or f"The payment gateway's answer makes no sense (status {response.status_code})."
    return Reply(Outcome.UNKNOWN, code=code, message=message, nothing_happened=code in _TURNED_AWAY)


def _charge(body: Mapping[str, Any]) -> Charge:
    return Charge(
        key=body["key"],
        reference=body["reference"],
        status=ChargeStatus(body["status"]),
        amount_minor=body["amount_minor"],
        currency=body["currency"],
        captured_minor=body["captured_minor"],
        refunded_minor=body["refunded_minor"],
        created_at=datetime.fromisoformat(body["created_at"]),
        reversed_minor=body["reversed_minor"],
        dispute=Dispute(body["dispute"]),
        failure_code=body["decline_code"],
        failure_message=body["decline_message"],
    )
