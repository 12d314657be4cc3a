"""A stateful stand-in for EasyPost's API, over HTTP, as far as our carrier uses it.

Strict where EasyPost is: a shipment is bought once and by one of its own rates, only a label that nobody has scanned is
taken back, and a reference finds the newest shipment that has it. Like EasyPost, it knows no idempotency keys.
"""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import unquote

from marketplace.sandbox.standin import Asked, StandIn

SERVICES = (("USPS", "GroundAdvantage", "7.33", 3), ("USPS", "Priority", "9.75", 2))
SECRET = "sëcret"
HEAVIEST_OUNCES = 1120.0


class Problem(Exception):
    """An error as EasyPost words it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.body = status, {"error": {"code": code, "message": message, "errors": []}}
        super().__init__(message)


class FakeEasyPost(StandIn):
    """The whole of "EasyPost": its books, and the server at `url` that keeps them."""

    def __init__(self) -> None:
        self.shipments: dict[str, dict[str, Any]] = {}
        self.api_key = "EZTK_test"
        self.outage: Problem | None = None  # every request is answered like this
        self.bought = 0  # labels that had to be paid for
        self.crossing = threading.Barrier(1)  # those who create or buy meet here before it is done
        self._ids = count(1)
        self._lock = threading.RLock()
        super().__init__()
        self.url += "/v2"

    # --- what carriers do ---------------------------------------------------------------------------------------------

    def scan(self, reference: str, status: str, message: str = "") -> dict[str, Any]:
        """Let something happen to a parcel; answer the webhook's event that tells of it."""
        with self._lock:
            tracker = self.named(reference)["tracker"]
            at = datetime(2026, 5, 4, 12, tzinfo=UTC) + timedelta(hours=len(tracker["tracking_details"]))
            tracker["status"] = status
            tracker["tracking_details"].append(
                {
                    "object": "TrackingDetail",
                    "status": status,
                    "message": message or status,
                    "datetime": at.isoformat().replace("+00:00", "Z"),
                    "tracking_location": {"city": "Houston", "country": "US", "zip": None},
                }
            )
            return {
                "id": f"evt_{next(self._ids)}",
                "object": "Event",
                "description": "tracker.updated",
                "created_at": at.isoformat(),
                "result": json.loads(json.dumps(tracker)),
            }

    def named(self, reference: str) -> dict[str, Any]:
        """The newest shipment with this reference, or the one with this id."""
        found = [s for s in self.shipments.values() if reference in (s["id"], s["reference"])]
        if not found:
            raise Problem(404, "NOT_FOUND", "The requested resource could not be found.")
        return found[-1]

    # --- the API ------------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, sent: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            if self.outage is not None:
                raise self.outage
            if method == "POST":
                self.crossing.wait(60)
            with self._lock:
                return self._answer(method, path, sent)
        except Problem as problem:
            return problem.status, problem.body

    def _answer(self, method: str, path: str, sent: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match [method, *map(unquote, path.strip("/").split("/"))]:
            case ["POST", "beta", "rates"]:
                return 200, {"rates": self._rates(self._checked(sent["shipment"]))}
            case ["POST", "v2", "shipments"]:
                return 201, self._create(sent["shipment"])
            case ["GET", "v2", "shipments", identity]:
                return 200, self.named(identity)
            case ["POST", "v2", "shipments", identity, "buy"]:
                return 200, self._buy(self.named(identity), sent["rate"]["id"])
            case ["POST", "v2", "shipments", identity, "refund"]:
                return 200, self._refund(self.named(identity))
        raise Problem(404, "NOT_FOUND", f"No such endpoint: {method} {path}")

    def _checked(self, told: dict[str, Any]) -> dict[str, Any]:
        for side in ("to_address", "from_address"):
            if not told[side].get("street1"):
                raise Problem(422, "ADDRESS.PARAMETERS.INVALID", "street1: is required")
        if told["parcel"]["weight"] <= 0:
            raise Problem(422, "PARCEL.PARAMETERS.INVALID", "weight: must be greater than 0")
        return told

    def _rates(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        if told["parcel"]["weight"] > HEAVIEST_OUNCES:
            return []
        return [
            {
                "id": f"rate_{next(self._ids)}",
                "object": "Rate",
                "carrier": carrier,
                "service": service,
                "rate": price,
                "currency": "USD",
                "delivery_days": days,
                "est_delivery_days": days,
            }
            for carrier, service, price, days in SERVICES
        ]

    def _create(self, told: dict[str, Any]) -> dict[str, Any]:
        rates = self._rates(self._checked(told))
        too_heavy = {"carrier": "USPS", "type": "rate_error", "message": "Shipment is too heavy."}
        shipment = {
            "id": f"shp_{next(self._ids)}",
            "object": "Shipment",
            "reference": told.get("reference"),
            "options": told.get("options") or {},
            "rates": rates,
            "messages": [] if rates else [too_heavy],
            "selected_rate": None,
            "postage_label": None,
            "tracking_code": None,
            "tracker": None,
            "refund_status": None,
        }
        self.shipments[shipment["id"]] = shipment
        return shipment

    def _buy(self, shipment: dict[str, Any], rate_id: str) -> dict[str, Any]:
        if shipment["postage_label"]:
            raise Problem(422, "SHIPMENT.POSTAGE.EXISTS", "Postage already exists for this shipment.")
        rate = next((one for one in shipment["rates"] if one["id"] == rate_id), None)
        if rate is None:
            raise Problem(422, "SHIPMENT.POSTAGE.RATE_NOT_FOUND", "The rate could not be found.")
        number = f"94{next(self._ids):018}"
        self.bought += 1
        shipment["selected_rate"] = rate
        shipment["tracking_code"] = number
        shipment["postage_label"] = {"object": "PostageLabel", "label_url": f"https://easypost.example/{number}.png"}
        shipment["tracker"] = {
            "id": f"trk_{next(self._ids)}",
            "object": "Tracker",
            "tracking_code": number,
            "shipment_id": shipment["id"],
            "status": "unknown",
            "public_url": f"https://track.easypost.example/{number}",
            "est_delivery_date": "2026-05-08T00:00:00Z",
            "tracking_details": [],
        }
        return shipment

    def _refund(self, shipment: dict[str, Any]) -> dict[str, Any]:
        if not shipment["postage_label"]:
            raise Problem(422, "SHIPMENT.REFUND.UNAVAILABLE", "There is no postage to refund.")
        moved = shipment["tracker"]["status"] not in ("unknown", "pre_transit")
        shipment["refund_status"] = "rejected" if moved else "submitted"
        return shipment

    def reply(self, asked: Asked) -> tuple[int, Any]:
        if asked.headers.get("Authorization") != f"Bearer {self.api_key}":
            return 401, Problem(401, "UNAUTHORIZED", "The API key is not valid.").body
        return self.answer(asked.method, asked.path, json.loads(asked.body) if asked.body else {})


def signature(body: bytes, secret: str = "se\u0308cret") -> str:  # the same secret, decomposed (NFKD), as it is used
    return "hmac-sha256-hex=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@contextmanager
def running() -> Iterator[FakeEasyPost]:
    """A fake of one's own, closed in the end."""
    fake = FakeEasyPost()
    try:
        yield fake
    finally:
        fake.close()
