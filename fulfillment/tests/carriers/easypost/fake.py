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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import unquote, urlsplit

SERVICES = (("USPS", "GroundAdvantage", "7.33", 3), ("USPS", "Priority", "9.75", 2))
SECRET = "sëcret"
HEAVIEST_OUNCES = 1120.0


class Problem(Exception):
    """An error as EasyPost words it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.body = status, {"error": {"code": code, "message": message, "errors": []}}
        super().__init__(message)


class FakeEasyPost:
    """The whole of "EasyPost": its books, and the server at `url` that keeps them."""

    def __init__(self) -> None:
        self.shipments: dict[str, dict[str, Any]] = {}
        self.outage: Problem | None = None  # every request is answered like this
        self.bought = 0  # labels that had to be paid for
        self.crossing = threading.Barrier(1)  # those who create or buy meet here before it is done
        self._to_lose, self._of = 0, ""
        self._ids = count(1)
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v2"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def lose_answers(self, count: int, *, of: str) -> None:
        """Hang up instead of answering the next `count` requests whose path ends with `of`, after doing them."""
        self._to_lose, self._of = count, of

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
                self.crossing.wait(10)
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

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def _serve(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = urlsplit(self.path).path
                if self.headers.get("Authorization") != "Bearer EZTK_test":
                    status, answer = 401, Problem(401, "UNAUTHORIZED", "The API key is not valid.").body
                else:
                    status, answer = fake.answer(self.command, path, json.loads(raw) if raw else {})
                if fake._to_lose > 0 and path.endswith(fake._of):
                    fake._to_lose -= 1
                    self.close_connection = True
                    return
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


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
