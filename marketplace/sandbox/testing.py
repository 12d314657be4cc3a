"""A sandbox service for tests: as a process that can be asked, restarted and killed, and a network that loses.

`nobody_listens` and `webhook_sink` are fixtures: a conftest.py gets them by importing them.
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
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import httpx
import pytest

from marketplace.sandbox.client import certificates
from marketplace.sandbox.standin import ManyAtOnce

_REQUEST: Final = re.compile(rb"[A-Z]+ [^ ?\r\n]+")  # how a request begins: method and path
_PROJECT: Final = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS: Final = 30.0  # for what comes in no time, unless the machine is very busy


@cache
def http() -> httpx.Client:
    """A client for tests that ask now and then: `httpx.get` makes one each time, and that takes longer than asking.

    It keeps no connection, so it is in nobody's way who stops a server.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(verify=certificates(), trust_env=False, limits=limits, timeout=PATIENCE_SECONDS)


def wait_until(look: Callable[[], Any], *, within: float = PATIENCE_SECONDS) -> None:
    """Wait until `look()` is true."""
    end = time.monotonic() + within
    while not look():
        if time.monotonic() > end:
            raise AssertionError(f"not within {within} s")
        time.sleep(0.01)


class SandboxProcess:
    """A service as a process, with its ledger in `data`. It keeps its port when it is restarted."""

    module: ClassVar[str]  # that is run
    prefixes: ClassVar[tuple[str, ...]]  # of what in the tests' own environment it must not see
    webhook_secret: ClassVar[str] = "whsec_YSBzZWNyZXQgb2YgdGhlIHRlc3RzLCBhbmQgb25seSB0aGVpcnM="  # noqa: S105 of the tests

    def __init__(self, data: Path) -> None:
        self.data = data
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._started_with: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Where it is, once it was started."""
        return f"http://127.0.0.1:{self._port}"

    def own_environment(self) -> dict[str, str]:
        """What it always has in its environment."""
        return {}

    def start(self, **environment: str) -> None:
        """Start it with these settings; return when it listens."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(self.prefixes)}
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "server.log").open("a") as log:
            command = ("-m", self.module, "--listen", f"127.0.0.1:{self._port}", "--data", str(self.data))
            self._process = subprocess.Popen(  # noqa: S603 our own program
                [sys.executable, *command],
                cwd=_PROJECT,
                env={**clean, **self.own_environment(), **environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if "listens on" not in line:
            raise RuntimeError(f"{self.module} did not start: {(self.data / 'server.log').read_text()[-2000:]}")
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
        """Let it run as it does by default."""
        if self._process is None or self._process.poll() is not None or self._started_with:
            self.restart()

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        status = process.wait(timeout=PATIENCE_SECONDS)
        if process.stdout is not None:
            process.stdout.close()
        return status


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

        self._server = ManyAtOnce(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int, *, within: float = PATIENCE_SECONDS) -> list[dict[str, Any]]:
        """Wait until so many have been taken in; return what they say, in the order of arrival."""
        wait_until(lambda: len(self.taken) >= count, within=within)
        return [json.loads(body) for _, body in self.taken]


class LossyProxy:
    """A piece of network before the server at `url`. It passes everything on, but for what it shall lose or hold."""

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._target = (target.hostname or "127.0.0.1", target.port or 80)
        self._to_lose, self._of = 0, b""
        self._to_hold = 0
        self._held: list[bytes] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answers(self, count: int, *, of: str = "") -> None:
        """Hang up instead of passing on the next `count` answers. What was asked for has happened by then.

        `of`: only to what changes something at a path that ends so.
        """
        with self._lock:
            self._to_lose, self._of = count, of.encode()

    def hold_requests(self, count: int) -> None:
        """Keep the next `count` requests, and hang up on who sent them: they are on their way, and arrive late."""
        with self._lock:
            self._to_hold = count

    def deliver_held(self) -> int:
        """Let what was held arrive after all, one after the other; the answers reach nobody. Return how many it was."""
        with self._lock:
            held, self._held = self._held, []
        for request in held:
            with socket.create_connection(self._target, timeout=PATIENCE_SECONDS) as far:
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
            asked = b""  # method and path of the last request
            while True:
                for ready, _ in both.select():
                    data = ready.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data or (ready.fileobj is far and self._loses(asked)):
                        return
                    if ready.fileobj is near and (line := _REQUEST.match(data)):
                        asked = line[0]
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

    def _loses(self, asked: bytes) -> bool:
        with self._lock:
            fits = not self._of or (asked.startswith(b"POST ") and asked.endswith(self._of))
            losing = fits and self._to_lose > 0
            self._to_lose -= losing
        return losing


@pytest.fixture
def webhook_sink() -> Iterator[WebhookSink]:
    """Somebody who takes in webhooks; `sandbox_gateway.tell(webhook_sink.url)` has them sent there."""
    sink = WebhookSink()
    yield sink
    sink.close()


@pytest.fixture
def nobody_listens() -> Iterator[str]:
    """An address where every connection is refused: it is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
