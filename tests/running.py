"""The whole system as a user runs it, for tests that use it from outside: by HTTP, in a browser, with `kill -9`."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import httpx
import psycopg
from redis import Redis

from marketplace.embedded.layout import Layout
from marketplace.embedded.testing import BASE_DIR, OF_THE_TEST_RUN, Site, free_port
from marketplace.embedded.valkey import PROGRAM as VALKEY
from payments.gateways.base import Charge
from payments.gateways.sandbox.client import SandboxGateway

DECIDED = {"CONFIRMED", "FAILED", "CANCELLED"}
PATIENCE = 240.0  # seconds, for what takes some on a machine that has nothing else to do
BUSY: LiteralString = """
SELECT count(*) FROM sagas_sagainstance
WHERE status NOT IN ('COMPLETED', 'FAILED', 'COMPENSATED', 'NEEDS_ATTENTION')
      AND standby = '' AND COALESCE(wait_until <= now(), true)
"""


class RunningShop(Site):
    """A shop with all its processes, and what a client, an operator and a vandal do with it."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        super().__init__(data_dir, **environment)
        limits = httpx.Limits(max_connections=60)
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False, limits=limits)

    def start(self) -> None:
        """Start it. A new one begins with a copy of what a first start prepares, which is made once for a test run."""
        if not self.layout.postgres_data.exists():
            self._copy_what_is_prepared()
        super().start()

    def _copy_what_is_prepared(self) -> None:
        """The original is in the folder of the test run's own servers, and is gone with them."""
        of_the_tests = Layout(Path(os.environ.get("DATA_DIR") or BASE_DIR / "var").resolve())
        if os.environ.get("DATABASE_URL") != of_the_tests.database_url or "DATABASE_URL" in self.environment:
            return
        original = of_the_tests.data_dir / "prepared"
        with original.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes that test, one makes it
            if not original.exists():
                draft = original.with_suffix(".new")
                clean = {name: value for name, value in os.environ.items() if name not in OF_THE_TEST_RUN}
                command = [sys.executable, "-m", "marketplace.embedded.tests.prepared", str(draft)]
                subprocess.run(command, cwd=BASE_DIR, env=clean, check=True)
                draft.rename(original)
        self.layout.data_dir.mkdir(parents=True, exist_ok=True)
        for name in ("postgres", "postgres.password", "static"):
            subprocess.run(["cp", "-a", original / name, self.layout.data_dir / name], check=True)

    def audit(self) -> str:
        """Run the auditor; return what it found, empty when the books agree."""
        result = self.manage("audit")
        return "" if result.returncode == 0 else result.stdout + result.stderr

    def kill_service(self, name: str) -> None:
        """`kill -9` a service with all its processes, and wait until another one has taken its place."""
        before = self.pid(name)
        os.killpg(before, signal.SIGKILL)
        eventually(lambda: self._pid_or_none(name) not in {None, before})

    def _pid_or_none(self, name: str) -> int | None:
        try:
            return self.pid(name)
        except KeyError:
            return None

    def rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        """What the shop's own database answers."""
        with psycopg.connect(self.layout.database_url, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def rests(self) -> bool:
        """Whether no saga has anything to do: each one waits for somebody, or has ended."""
        return self.rows(BUSY) == [(0,)]

    def redis(self) -> "Redis[bytes]":
        return Redis(unix_socket_path=str(self.layout.valkey_socket))

    # --- as a client of the API ---------------------------------------------------------------------------------------

    def post_order(
        self, sku: str, *, key: str = "", token: str = "tok_visa", quantity: int = 1, **more: Any
    ) -> httpx.Response:
        """Place an order; while another request with the key is being answered, ask again, as we are told to."""
        body = {"items": [{"sku": sku, "quantity": quantity}], "paymentMethod": token, **more}
        headers = {"Idempotency-Key": key or f"test-{uuid4()}"}
        end = time.monotonic() + PATIENCE
        while True:
            reply = self.http.post("/api/orders", json=body, headers=headers)
            if reply.status_code != 409 or reply.json()["code"] != "idempotency_in_progress" or time.monotonic() > end:
                return reply
            time.sleep(1)

    def post_orders(self, sku: str, count: int, *, at_once: int = 8, **order: Any) -> list[dict[str, Any]]:
        """Place so many orders, `at_once` side by side; every one must be accepted."""
        with ThreadPoolExecutor(at_once) as pool:
            replies = list(pool.map(lambda _: self.post_order(sku, **order), range(count)))
        assert {reply.status_code for reply in replies} == {201}, [r.text for r in replies if r.status_code != 201][:3]
        return [reply.json() for reply in replies]

    def order(self, created: dict[str, Any]) -> dict[str, Any]:
        """The order as it is now."""
        secret = {"X-Order-Secret": created["clientSecret"]}
        return self.http.get(f"/api/orders/{created['id']}", headers=secret).raise_for_status().json()

    def saga(self, created: dict[str, Any]) -> dict[str, Any]:
        secret = {"X-Order-Secret": created["clientSecret"]}
        return self.http.get(f"/api/orders/{created['id']}/saga", headers=secret).raise_for_status().json()

    def decided(self, created: list[dict[str, Any]], *, within: float = PATIENCE) -> list[dict[str, Any]]:
        """Wait until every one of these orders is decided; return them."""
        done: list[dict[str, Any]] = []
        end = time.monotonic() + within
        while len(done) < len(created) and time.monotonic() < end:
            now = self.order(created[len(done)])  # one after the other, or looking would be most of what the shop does
            if now["status"] in DECIDED:
                done.append(now)
            else:
                time.sleep(0.1)
        assert len(done) == len(created), f"not all are decided, such as {self.saga(created[len(done)])}"
        return done

    def available(self, sku: str) -> int:
        return int(self.http.get(f"/api/products/{sku}").raise_for_status().json()["available"])

    def charges(self) -> list[Charge]:
        """Everything in the sandbox bank's own books."""
        with closing(SandboxGateway(url=self.sandbox_url, api_key="sk_sandbox", timeout_seconds=PATIENCE)) as bank:
            return list(bank.list(since=datetime(2020, 1, 1, tzinfo=UTC)))


class OwnRedis:
    """A Redis of the test's own, to be stopped and started while the shop runs."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [str(VALKEY), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        eventually(lambda: _answers(self.port))

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def eventually(look: Any, within: float = PATIENCE) -> Any:
    """Return what `look()` answers as soon as that is true; fail after `within` seconds.

    Most of the time nobody looks, so that looking is not what takes long.
    """
    end = time.monotonic() + within
    while (begun := time.monotonic()) < end:
        found = look()
        if found:
            return found
        time.sleep(min(1.0, max(0.05, 3 * (time.monotonic() - begun))))
    raise AssertionError(f"not within {within} s: {look}")


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
