"""The real sandbox gateway for tests: as a process that can be asked, restarted and killed, and a network that loses.

A conftest.py gets the fixtures by `from payments.testing import sandbox_gateway, sandbox_server  # noqa: F401`. There
is one server for each test process (so for each xdist worker), on a port and with a ledger of its own.
"""

import contextlib
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from payments.gateways.base import Charge
from payments.gateways.sandbox.client import SandboxGateway

_PROJECT: Final = Path(__file__).resolve().parent.parent


class SandboxServer:
    """The sandbox gateway's service as a process, with its ledger in `data`. It keeps its port when it is restarted."""

    api_key: Final = "sk_test_sandbox"
    webhook_secret: Final = "whsec_YSBzZWNyZXQgb2YgdGhlIHRlc3RzLCBhbmQgb25seSB0aGVpcnM="  # noqa: S105 of the tests

    def __init__(self, data: Path) -> None:
        self.data = data
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._started_with: dict[str, str] = {}
        self._since = datetime.now(UTC)
        self._asked_by: SandboxGateway | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What another process of the shop needs in its environment to use this gateway."""
        return {
            "PAYMENT_GATEWAY": "sandbox",
            "SANDBOX_GATEWAY_URL": self.url,
            "SANDBOX_API_KEY": self.api_key,
            "SANDBOX_WEBHOOK_SECRET": self.webhook_secret,
        }

    def start(self, **environment: str) -> None:
        """Start it, with for example `PAYMENT_FAILURE_RATE="1"`; return when it listens."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PAYMENT_", "SANDBOX_"))}
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "server.log").open("a") as log:
            command = ("-m", "payments.gateways.sandbox", "--listen", f"127.0.0.1:{self._port}")
            self._process = subprocess.Popen(  # noqa: S603 our own program
                [sys.executable, *command, "--data", str(self.data)],
                cwd=_PROJECT,
                env={**clean, "SANDBOX_API_KEY": self.api_key, **environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if "listens on" not in line:
            raise RuntimeError(f"The sandbox gateway did not start: {(self.data / 'server.log').read_text()[-2000:]}")
        self._port = int(line.partition("listens on ")[2].partition(";")[0].rpartition(":")[2])
        self._started_with = environment

    def stop(self) -> int:
        """End it as the supervisor does (SIGTERM); return its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self, **environment: str) -> None:
        """Start it again on the same port and ledger, after a kill or instead of what runs now."""
        self.stop()
        self.start(**environment)

    def refresh(self) -> None:
        """Let it run as it does by default, and let `charges` forget what was before."""
        if self._process is None or self._process.poll() is not None or self._started_with:
            self.restart()
        self._since = datetime.now(UTC)

    def tell(self, url: str, **environment: str) -> None:
        """Start it again so that it sends its webhooks to `url`, every change, signed with `webhook_secret`."""
        known = {"SANDBOX_WEBHOOK_URL": url, "SANDBOX_WEBHOOK_SECRET": self.webhook_secret, "SANDBOX_WEBHOOKS": "all"}
        self.restart(**{**known, **environment})

    def gateway(self, *, url: str = "", timeout_seconds: float = 5.0) -> SandboxGateway:
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

    def dispute(self, authorization_key: str, status: str) -> None:
        """OPEN a dispute about a charge, then have it WON or LOST."""
        self._deed(authorization_key, "dispute", {"status": status})

    def _story(self, authorization_key: str) -> dict[str, Any]:
        path = f"{self.url}/v1/authorizations/{quote(authorization_key, safe='')}"
        story: dict[str, Any] = httpx.get(path, headers=self._key, trust_env=False).json()
        return story

    def _deed(self, authorization_key: str, what: str, body: dict[str, str]) -> None:
        path = f"{self.url}/v1/authorizations/{quote(authorization_key, safe='')}/{what}"
        httpx.post(path, json=body, headers=self._key, trust_env=False).raise_for_status()

    @property
    def _key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}

    def _reader(self) -> SandboxGateway:
        if self._asked_by is None:
            self._asked_by = self.gateway()
        return self._asked_by

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        status = process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()
        return status


def answer_the_bank(action_url: str, decision: str) -> httpx.Response:
    """Press a button on the page where a buyer confirms a payment: "approve" or "decline"."""
    return httpx.post(action_url, data={"decision": decision}, trust_env=False)


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


class WebhookSink:
    """Somebody who takes in webhooks, and turns away the first `refusals` of them."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.turned_away = 0
        self.refusals = 0
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                refused = sink.turned_away < sink.refusals
                if refused:
                    sink.turned_away += 1
                else:
                    sink.taken.append((dict(self.headers), body))
                self.send_response(503 if refused else 202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int, *, within: float = 10.0) -> list[dict[str, Any]]:
        """Wait until so many have been taken in; return what they say, in the order of arrival."""
        end = time.monotonic() + within
        while len(self.taken) < count:
            if time.monotonic() > end:
                raise AssertionError(f"{len(self.taken)} of {count} webhooks within {within} s")
            time.sleep(0.01)
        return [json.loads(body) for _, body in self.taken]


class LossyProxy:
    """A piece of network before the server at `url`. It passes everything on, but for what it shall lose or hold."""

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._target = (target.hostname or "127.0.0.1", target.port or 80)
        self._to_lose = 0
        self._to_hold = 0
        self._held: list[bytes] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answers(self, count: int) -> None:
        """Hang up instead of passing on the next `count` answers. What was asked for has happened by then."""
        with self._lock:
            self._to_lose = count

    def hold_requests(self, count: int) -> None:
        """Keep the next `count` requests, and hang up on who sent them: they are on their way, and arrive late."""
        with self._lock:
            self._to_hold = count

    def deliver_held(self) -> int:
        """Let what was held arrive after all, one after the other; the answers reach nobody. Return how many it was."""
        with self._lock:
            held, self._held = self._held, []
        for request in held:
            with socket.create_connection(self._target, timeout=10) as far:
                far.sendall(request)
                far.recv(65536)
        return len(held)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with (
            near,
            contextlib.suppress(OSError),
            socket.create_connection(self._target) as far,
            selectors.DefaultSelector() as both,
        ):
            if self._holds():
                self._keep(near)
                return
            both.register(near, selectors.EVENT_READ, far)
            both.register(far, selectors.EVENT_READ, near)
            while True:
                for ready, _ in both.select():
                    data = ready.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data or (ready.fileobj is far and self._loses()):
                        return
                    ready.data.sendall(data)

    def _keep(self, near: socket.socket) -> None:
        """Read one whole request, and keep it."""
        request = b""
        while b"\r\n\r\n" not in request:
            request += near.recv(65536)
        head, _, body = request.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: *([0-9]+)", head)[1])  # type: ignore[index]
        while len(body) < length:
            more = near.recv(65536)
            request, body = request + more, body + more
        with self._lock:
            self._held.append(request)

    def _holds(self) -> bool:
        with self._lock:
            holding = self._to_hold > 0
            self._to_hold -= holding
        return holding

    def _loses(self) -> bool:
        with self._lock:
            losing = self._to_lose > 0
            self._to_lose -= losing
        return losing


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


@pytest.fixture
def webhook_sink() -> Iterator[WebhookSink]:
    """Somebody who takes in webhooks; `sandbox_gateway.tell(webhook_sink.url)` has them sent there."""
    sink = WebhookSink()
    yield sink
    sink.close()


@pytest.fixture
def lossy_proxy(sandbox_gateway: SandboxServer) -> Iterator[LossyProxy]:
    """A piece of network before the sandbox gateway that loses answers when it is told to."""
    proxy = LossyProxy(sandbox_gateway.url)
    yield proxy
    proxy.close()


@pytest.fixture
def nobody_listens() -> str:
    """An address where every connection is refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"
