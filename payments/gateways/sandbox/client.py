"""The sandbox gateway as the shop sees it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import httpx
from django.conf import settings

from marketplace.sandbox.client import SandboxClient, error_of, json_of
from payments.gateways.base import (
    Charge,
    ChargeStatus,
    Dispute,
    GatewayUnavailable,
    GivenBack,
    NotGenuine,
    Notice,
    NotUnderstood,
    Outcome,
    Reply,
    Risk,
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


class SandboxGateway(SandboxClient):
    """Client of the sandbox gateway at `url`. One object serves all threads, and any process forked from this one."""

    name = "sandbox"
    authorization_life = timedelta(days=7)
    declined_stays_open = False
    key_window = timedelta(hours=24)

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
        if status == 404 and error_of(body).get("code") == "authorization_not_found":
            return None
        found = _expect(status, body)
        return replace(_charge(found["authorization"]), refunds=_refunds(found["movements"]))

    def list(self, *, since: datetime) -> Iterator[Charge]:
        parameters = {"since": since.isoformat(), "limit": "500"}
        while True:
            page = _expect(*self._read("/v1/authorizations", parameters))
            yield from map(_charge, page["results"])
            if page["next"] is None:
                return
            parameters["after"] = page["next"]

    def verify(self, *, body: bytes, headers: Mapping[str, str]) -> Notice:
        if not self._is_genuine(body, headers):
            raise NotGenuine
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
        return response.status_code, json_of(response)


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


def _expect(status: int, body: Any) -> Any:
    if status != 200 or not isinstance(body, dict):
        raise GatewayUnavailable(status=status, reason=str(error_of(body).get("code", "unreadable_answer")))
    return body


def _reply(response: httpx.Response) -> Reply:
    body = json_of(response)
    if response.is_success and isinstance(body, dict) and isinstance(body.get("reference"), str):
        if response.status_code == 202:
            return Reply(
                Outcome.PENDING, body["reference"], body.get("code", ""), action_url=body.get("action_url", "")
            )
        told = body.get("authorization")
        risk, country = _judged(told) if isinstance(told, dict) else (Risk.UNTOLD, "")
        return Reply(
            Outcome.DONE,
            reference=body["reference"],
            code=body.get("code", ""),
            amount_minor=body.get("amount_minor"),
            risk=risk,
            card_country=country,
        )
    problem = error_of(body)
    code, message = str(problem.get("code", "unreadable_answer")), str(problem.get("message", ""))
    if response.is_client_error and code in _REFUSALS:
        return Reply(Outcome.REFUSED, code=code, message=message)
    message = message or f"The payment gateway's answer makes no sense (status {response.status_code})."
    return Reply(Outcome.UNKNOWN, code=code, message=message, nothing_happened=code in _TURNED_AWAY)


def _refunds(movements: Sequence[Mapping[str, Any]]) -> tuple[GivenBack, ...]:
    return tuple(
        GivenBack(
            reference=movement["reference"],
            key=movement["idempotency_key"],
            amount_minor=movement["amount_minor"],
            made_at=datetime.fromisoformat(movement["created_at"]),
        )
        for movement in movements
        if movement["kind"] == "REFUND"
    )


def _judged(body: Mapping[str, Any]) -> tuple[Risk, str]:
    return Risk(body.get("risk", "")), str(body.get("card_country", ""))


def _charge(body: Mapping[str, Any]) -> Charge:
    risk, country = _judged(body)
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
        risk=risk,
        card_country=country,
    )
