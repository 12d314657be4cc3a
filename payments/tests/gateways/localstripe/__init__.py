"""A second, foreign Stripe: PyPI's `localstripe` (GPL-3.0), a stand-in by people who have not read our code.

It judges the way there and back: the happy path, declines, 3-D Secure and the signature of webhooks. It ignores
idempotency keys and lets a cancelled intent be captured, so it is asked about neither.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_HERE = Path(__file__).parent
_PLAIN: dict[str, Any] = {"trust_env": False, "timeout": 30}
YES, NO, ASKS = "4242424242424242", "4000000000000341", "4000000000003220"  # Stripe's own test cards


@dataclass(frozen=True)
class LocalStripe:
    """One that is running at `url`."""

    url: str

    def card(self, number: str) -> str:
        """A PaymentMethod with this number, as Stripe.js would make it in a browser."""
        fields = {"number": number, "cvc": "123", "exp_month": "12", "exp_year": "30"}
        made = self._post("/v1/payment_methods", type="card", **{f"card[{name}]": fields[name] for name in fields})
        return str(made["id"])

    def decide(self, intent: str, client_secret: str, *, approve: bool) -> None:
        """The buyer answers the bank, as Stripe.js passes it on."""
        path = f"/v1/payment_intents/{intent}/_authenticate"
        self._post(path, client_secret=client_secret, success=str(approve).lower())

    def tell(self, url: str, secret: str) -> None:
        """Have it send its webhooks to `url`, signed with `secret`."""
        httpx.post(f"{self.url}/_config/webhooks/ours", json={"url": url, "secret": secret}, **_PLAIN)

    def intent(self, identifier: str) -> dict[str, Any]:
        reply = httpx.get(f"{self.url}/v1/payment_intents/{identifier}", auth=("sk_test_1", ""), **_PLAIN)
        found: dict[str, Any] = reply.raise_for_status().json()
        return found

    def _post(self, path: str, **fields: str) -> dict[str, Any]:
        reply = httpx.post(f"{self.url}{path}", data=fields, auth=("sk_test_1", ""), **_PLAIN)
        made: dict[str, Any] = reply.raise_for_status().json()
        return made


@contextmanager
def running() -> Iterator[LocalStripe]:
    """One of the test's own, on the loopback interface alone, with its books in memory."""
    with subprocess.Popen(
        [sys.executable, str(_HERE / "server.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("http://"):
                raise RuntimeError("localstripe did not start")
            yield LocalStripe(line.strip())
        finally:
            process.terminate()
