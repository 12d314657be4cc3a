"""The real sandbox gateway for tests: as a process that can be asked, restarted and killed, and a network that loses.

A conftest.py gets the fixtures by `from payments.testing import sandbox_gateway, sandbox_server  # noqa: F401`. There
is one server for each test process (so for each xdist worker), on a port and with a ledger of its own.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from marketplace.sandbox.testing import (
    PATIENCE_SECONDS,
    LossyProxy,
    SandboxProcess,
    WebhookSink,
    http,
    nobody_listens,
    webhook_sink,
)
from payments.gateways.base import Charge, Reply
from payments.gateways.sandbox.client import SandboxGateway

__all__ = [
    "LossyProxy", "SandboxServer", "WebhookSink", "answer_the_bank", "lose_quickly", "lossy_proxy", "nobody_listens",
    "quickly_lost", "sandbox_gateway", "sandbox_server", "sign", "signed_webhook", "webhook_sink",
]  # fmt: skip


class SandboxServer(SandboxProcess):
    """The sandbox gateway's service, and what its own people do."""

    module = "payments.gateways.sandbox"
    prefixes = ("PAYMENT_", "SANDBOX_")
    api_key: Final = "sk_test_sandbox"

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self._since = datetime.now(UTC)
        self._asked_by: SandboxGateway | None = None

    def own_environment(self) -> dict[str, str]:
        return {"SANDBOX_API_KEY": self.api_key}

    @property
    def environment(self) -> dict[str, str]:
        """What another process of the shop needs in its environment to use this gateway."""
        return {
            "PAYMENT_GATEWAY": "sandbox",
            "SANDBOX_GATEWAY_URL": self.url,
            "SANDBOX_API_KEY": self.api_key,
            "SANDBOX_WEBHOOK_SECRET": self.webhook_secret,
        }

    def refresh(self) -> None:
        """Let it run as it does by default, and let `charges` forget what was before."""
        super().refresh()
        self._since = datetime.now(UTC)

    def tell(self, url: str, **environment: str) -> None:
        """Start it again so that it sends its webhooks to `url`, every change, signed with `webhook_secret`."""
        known = {"SANDBOX_WEBHOOK_URL": url, "SANDBOX_WEBHOOK_SECRET": self.webhook_secret, "SANDBOX_WEBHOOKS": "all"}
        self.restart(**{**known, **environment})

    def gateway(self, *, url: str = "", timeout_seconds: float = PATIENCE_SECONDS) -> SandboxGateway:
        """Return a client of its own; by another `url` for example through a `LossyProxy`."""
        return SandboxGateway(
            url=url or self.url,
            api_key=self.api_key,
            timeout_seconds=timeout_seconds,
            webhook_secret=self.webhook_secret,
        )

    def charges(self) -> list[Charge]:
        """What the ledger believes: every charge since the test began, oldest first."""
        return list(self._reader().list(since=self._since))

    def charge(self, authorization_key: str) -> Charge | None:
        """What the ledger believes about one authorization."""
        return self._reader().find(authorization_key=authorization_key)

    def movements(self, authorization_key: str) -> list[tuple[str, int]]:
        """Every time money was moved for one authorization: kind and minor units, oldest first."""
        return [(m["kind"], m["amount_minor"]) for m in self._story(authorization_key).get("movements", [])]

    def events(self, authorization_key: str) -> list[dict[str, Any]]:
        """Every webhook about one authorization, oldest first."""
        events: list[dict[str, Any]] = self._story(authorization_key).get("events", [])
        return events

    def reverse(self, authorization_key: str) -> None:
        """Take the money back, or let go of what is held, as a bank does without being asked."""
        self._deed(authorization_key, "reverse", {})

    def change_its_mind(self, authorization_key: str) -> None:
        """Have the bank hold the money of a payment that it had declined, as no bank should. It tells nobody."""
        with contextlib.closing(sqlite3.connect(self.data / "ledger.sqlite3", timeout=10)) as ledger, ledger:
            ledger.execute(
                "UPDATE authorizations SET decision = 'APPROVED', decline_code = '', decline_message = ''"
                " WHERE key = ? AND decision = 'DECLINED'",
                [authorization_key],
            )

    def let_plans_come_due(self) -> None:
        """Crash, and start again when the time has come for all that the bank was to do by itself later."""
        environment = self._started_with
        self.kill()
        with contextlib.closing(sqlite3.connect(self.data / "ledger.sqlite3", timeout=10)) as ledger, ledger:
            ledger.execute("UPDATE plans SET due_at = 0")
        self.start(**environment)

    def dispute(self, authorization_key: str, status: str) -> None:
        """OPEN a dispute about a charge, then have it WON or LOST."""
        self._deed(authorization_key, "dispute", {"status": status})

    def _story(self, authorization_key: str) -> dict[str, Any]:
        path = f"{self.url}/v1/authorizations/{quote(authorization_key, safe='')}"
        story: dict[str, Any] = http().get(path, headers=self._key).json()
        return story

    def _deed(self, authorization_key: str, what: str, body: dict[str, str]) -> None:
        path = f"{self.url}/v1/authorizations/{quote(authorization_key, safe='')}/{what}"
        http().post(path, json=body, headers=self._key).raise_for_status()

    @property
    def _key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}

    def _reader(self) -> SandboxGateway:
        if self._asked_by is None:
            self._asked_by = self.gateway()
        return self._asked_by


def answer_the_bank(action_url: str, decision: str) -> httpx.Response:
    """Press a button on the page where a buyer confirms a payment: "approve" or "decline"."""
    return http().post(action_url, data={"decision": decision})


def signed_webhook(
    key: str, reference: str = "", *, event_id: str = "evt_1", age: timedelta = timedelta(), secret: str = ""
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a webhook about the charge `key`, as the sandbox makes them, signed so long ago."""
    at = datetime.now(UTC) - age
    data = {"key": key, "reference": reference}
    told = {"id": event_id, "type": "authorization.authorized", "created_at": at.isoformat(), "data": data}
    body = json.dumps(told)
    return sign(body, event_id=event_id, at=at, secret=secret), body.encode()


def sign(body: str, *, event_id: str, at: datetime, secret: str = "") -> dict[str, str]:
    """The headers that make `body` a genuine webhook of the sandbox's."""
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret or SandboxServer.webhook_secret).sign(event_id, at, body),
    }


@pytest.fixture(scope="session")
def sandbox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    """The one server of this test process. Tests ask for `sandbox_gateway`."""
    server = SandboxServer(tmp_path_factory.mktemp("sandbox"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def sandbox_gateway(sandbox_server: SandboxServer, settings: Any) -> SandboxServer:
    """A running sandbox gateway, named in the settings: `payments.services.send` goes there."""
    sandbox_server.refresh()
    settings.PAYMENT_GATEWAY = "sandbox"
    settings.SANDBOX_GATEWAY_URL = sandbox_server.url
    settings.SANDBOX_API_KEY = sandbox_server.api_key
    settings.SANDBOX_WEBHOOK_SECRET = sandbox_server.webhook_secret
    return sandbox_server


def lose_quickly(patch: pytest.MonkeyPatch) -> None:
    """Have nobody in this process wait for long for the answer that `tok_timeout` loses; others may take their time.

    A short time-out for all calls would at times be missed by one that is to be answered, on a busy machine.
    """
    really, lost = SandboxGateway.authorize, set[str]()

    def authorize(self: SandboxGateway, *, key: str, method: str, **asked: Any) -> Reply:
        if method != "tok_timeout" or key in lost:
            return really(self, key=key, method=method, **asked)
        hasty = SandboxGateway(url=self._url, api_key=self._api_key, timeout_seconds=0.5)
        reply = really(hasty, key=key, method=method, **asked)
        hasty.close()
        if reply.code == "gateway_timeout":
            lost.add(key)
            while self.find(authorization_key=key) is None:  # what was asked for is on its way, and happens
                time.sleep(0.01)
        return reply

    patch.setattr(SandboxGateway, "authorize", authorize)


@pytest.fixture
def quickly_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `lose_quickly` does, for one test."""
    lose_quickly(monkeypatch)


@pytest.fixture
def lossy_proxy(sandbox_gateway: SandboxServer) -> Iterator[LossyProxy]:
    """A piece of network before the sandbox gateway that loses answers when it is told to."""
    proxy = LossyProxy(sandbox_gateway.url)
    yield proxy
    proxy.close()
