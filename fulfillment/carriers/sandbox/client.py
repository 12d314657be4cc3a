"""The sandbox carrier as the shop sees it."""

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import httpx
from django.conf import settings

from fulfillment.carriers.base import (
    CarrierUnavailable,
    Consignment,
    LabelStatus,
    NotGenuine,
    Notice,
    NotUnderstood,
    Outcome,
    Parcel,
    Rate,
    Reply,
    Scan,
    ScanKind,
)
from marketplace.sandbox.client import SandboxClient, error_of, json_of

# The carrier has looked at it and said a final no.
_REFUSALS: Final = frozenset(
    {
        "address_incomplete",
        "address_unknown",
        "already_picked_up",
        "invalid_request",
        "label_bought_already",
        "not_served",
        "service_unknown",
        "shipment_not_found",
        "too_heavy",
        "voided_before_label",
    }
)
# The carrier has not looked at it at all. `idempotency_key_reused` is in neither: something was done under that key.
_TURNED_AWAY: Final = frozenset({"carrier_busy", "carrier_unreachable", "unauthorized"})


class SandboxCarrier(SandboxClient):
    """Client of the sandbox carrier at `url`. One object serves all threads, and any process forked from this one."""

    name = "sandbox"
    key_window = timedelta(hours=24)

    def rates(self, parcel: Parcel) -> list[Rate]:
        body = {"to": _address(parcel), "weight_grams": parcel.weight_grams}
        try:
            response = self._client().post("/v1/rates", json=body)
        except httpx.TransportError as problem:
            raise CarrierUnavailable from problem
        found = _expect(response.status_code, json_of(response))
        return [Rate(one["service"], one["days_min"], one["days_max"]) for one in found["rates"]]

    def create_shipment(self, *, shipment_key: str, parcel: Parcel) -> Reply:
        body = {"to": _address(parcel), "weight_grams": parcel.weight_grams, "service": parcel.service}
        return self._change("/v1/shipments", shipment_key, {**body, "reference": parcel.reference})

    def buy_label(self, *, key: str, shipment_key: str, reference: str, parcel: Parcel) -> Reply:
        return self._change(_path(shipment_key, "label"), key, {})

    def void_label(self, *, key: str, shipment_key: str, reference: str = "") -> Reply:
        return self._change(_path(shipment_key, "void"), key, {})

    def find(self, *, shipment_key: str, reference: str = "", tracking_number: str = "") -> Consignment | None:
        try:
            response = self._client().get(_path(shipment_key))
        except httpx.TransportError as problem:
            raise CarrierUnavailable from problem
        body = json_of(response)
        if response.status_code == 404 and error_of(body).get("code") == "shipment_not_found":
            return None
        return _consignment(_expect(response.status_code, body))

    def track(self, *, shipment_key: str, reference: str = "", tracking_number: str = "") -> Consignment | None:
        return self.find(shipment_key=shipment_key)

    def verify(self, *, body: bytes, headers: Mapping[str, str]) -> Notice:
        if not self._is_genuine(body, headers):
            raise NotGenuine
        try:
            said = json.loads(body)
            told = said["data"]
            return Notice(
                event_id=str(said["id"]),
                kind=str(said["type"]),
                occurred_at=datetime.fromisoformat(said["created_at"]),
                shipment_key=str(told["key"]),
                reference=str(told["reference"]),
                tracking_number=str(told["tracking_number"]),
                scans=tuple(map(_scan, told["scans"])),
            )
        except (ValueError, TypeError, LookupError) as problem:
            raise NotUnderstood from problem

    def _change(self, path: str, key: str, body: Mapping[str, Any]) -> Reply:
        try:
            response = self._client().post(path, json=body, headers={"Idempotency-Key": key})
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            message = "The carrier could not be reached."
            return Reply(Outcome.UNKNOWN, code="carrier_unreachable", message=message, nothing_happened=True)
        except httpx.TimeoutException:
            return Reply(Outcome.UNKNOWN, code="carrier_timeout", message="The carrier did not answer in time.")
        except httpx.TransportError:
            return Reply(Outcome.UNKNOWN, code="connection_lost", message="The carrier's answer was lost.")
        return _reply(response)


def from_settings() -> SandboxCarrier:
    """Return the client that the settings describe; the same one while they stay the same."""
    return _connected(
        settings.SANDBOX_CARRIER_URL,
        settings.SANDBOX_CARRIER_API_KEY,
        settings.CARRIER_TIMEOUT_SECONDS,
        settings.SANDBOX_CARRIER_WEBHOOK_SECRET,
    )


@cache
def _connected(url: str, api_key: str, timeout_seconds: float, webhook_secret: str) -> SandboxCarrier:
    return SandboxCarrier(url=url, api_key=api_key, timeout_seconds=timeout_seconds, webhook_secret=webhook_secret)


def _path(shipment_key: str, action: str = "") -> str:
    path = f"/v1/shipments/{quote(shipment_key, safe='')}"
    return f"{path}/{action}" if action else path


def _address(parcel: Parcel) -> dict[str, str]:
    to = parcel.to
    return {
        "name": to.name,
        "line1": to.line1,
        "line2": to.line2,
        "postal_code": to.postal_code,
        "city": to.city,
        "country": to.country,
    }


def _expect(status: int, body: Any) -> Any:
    if status != 200 or not isinstance(body, dict):
        raise CarrierUnavailable(status=status, reason=str(error_of(body).get("code", "unreadable_answer")))
    return body


def _reply(response: httpx.Response) -> Reply:
    body = json_of(response)
    if response.is_success and isinstance(body, dict):
        return Reply(
            Outcome.DONE,
            reference=str(body.get("reference", "")),
            code=str(body.get("code", "")),
            tracking_number=str(body.get("tracking_number", "")),
            tracking_url=str(body.get("tracking_url", "")),
            label_reference=str(body.get("label", "")),
            estimated_delivery=_day(body.get("expected")),
        )
    problem = error_of(body)
    code, message = str(problem.get("code", "unreadable_answer")), str(problem.get("message", ""))
    if response.is_client_error and code in _REFUSALS:
        return Reply(Outcome.REFUSED, code=code, message=message)
    if code == "carrier_down":
        code = "carrier_unreachable"  # it is, whoever says so
    message = message or f"The carrier's answer makes no sense (status {response.status_code})."
    return Reply(Outcome.UNKNOWN, code=code, message=message, nothing_happened=code in _TURNED_AWAY)


def _day(text: Any) -> date | None:
    return date.fromisoformat(text) if isinstance(text, str) and text else None


def _scan(told: Mapping[str, Any]) -> Scan:
    return Scan(
        event_id=str(told["id"]),
        kind=ScanKind(told["kind"]),
        occurred_at=datetime.fromisoformat(told["at"]),
        place=str(told["place"]),
        message=str(told["message"]),
    )


def _consignment(body: Mapping[str, Any]) -> Consignment:
    return Consignment(
        shipment_key=body["key"],
        reference=body["reference"],
        status=LabelStatus(body["status"]),
        tracking_number=body["tracking_number"],
        tracking_url=body["tracking_url"],
        label_reference=body["label"],
        service=body["service"],
        estimated_delivery=_day(body["expected"]),
        scans=tuple(map(_scan, body["scans"])),
    )
