"""A whole shop in processes of its own, for tests that drive a browser, kill processes or flush servers."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from marketplace.embedded import processes
from marketplace.embedded.layout import Layout

BASE_DIR = Path(__file__).resolve().parents[2]
READY_LINE = "Marketplace is ready."
STOP_SECONDS = 180  # every stage has time of its own, and the machine may be busy
POLL_SECONDS = 0.1
_held: list[socket.socket] = []
OF_THE_TEST_RUN = (
    "DATABASE_URL",
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "EVENT_BUS_URL",
    "SANDBOX_GATEWAY_URL",
    "SANDBOX_WEBHOOK_URL",
    "SANDBOX_WEBHOOK_HOST",
    "SANDBOX_CARRIER_URL",
    "SANDBOX_CARRIER_WEBHOOK_URL",
    "SANDBOX_CARRIER_WEBHOOK_HOST",
    "PUBLIC_URL",
)


class Site:
    """`python -m marketplace.embedded run` with a data folder and a port of its own."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.layout = Layout(data_dir.resolve())
        self.port = free_port()
        inherited = {name: value for name, value in os.environ.items() if name not in OF_THE_TEST_RUN}
        self.environment = {**inherited, "DATA_DIR": str(self.layout.data_dir), "PORT": str(self.port), **environment}
        self.url = f"http://127.0.0.1:{self.port}"
        self.sandbox_url = f"http://127.0.0.1:{self.port + 1000}"
        self.carrier_url = f"http://127.0.0.1:{self.port + 1001}"
        self.said = self.layout.data_dir / "said.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it says that it is ready. Raises RuntimeError with what it said instead."""
        self.layout.data_dir.mkdir(parents=True, exist_ok=True)
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "marketplace.embedded", "run"],
                cwd=BASE_DIR,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        while READY_LINE not in self.said.read_text():
            if self.process.poll() is not None:
                raise RuntimeError(f"exit code {self.process.returncode}: {self.said.read_text()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> int:
        """Stop it as Ctrl-C does; return its exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        return self.process.wait(timeout=STOP_SECONDS)

    def kill(self) -> None:
        """Kill the supervisor alone, with no time to stop anything."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def pid(self, name: str) -> int:
        """Return the pid of "web", "worker", "beat", "relay", "sandbox", "postgres" or "valkey". KeyError: not now."""
        alive: dict[str, tuple[int, float, str]] = json.loads(self.layout.processes_file.read_text())
        return alive[name][0]

    def running(self) -> list[psutil.Process]:
        """Return every process that works for this shop, the supervisor aside."""
        return [leftover.process for leftover in processes.marked(self.layout.data_dir)]

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `manage.py` against this shop; look at `returncode` and `stdout`."""
        return subprocess.run(  # noqa: S603 - a command of the tests
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def running_site(data_dir: Path, **environment: str) -> Iterator[Site]:
    """Run a shop for the length of a block, with these settings beside its own."""
    site = Site(data_dir, **environment)
    try:
        site.start()
        yield site
    finally:
        site.stop()


def free_port() -> int:
    """Return a port that is free, and so are the two a thousand above it (the sandbox gateway's and carrier's).

    They stay free for a server until this process ends, also while one that uses them is down: on Linux a socket that
    is bound and doesn't listen keeps everybody away, outgoing connections too, but those who ask for SO_REUSEADDR, as
    servers do.
    """
    while True:
        sockets = [socket.socket() for _ in range(3)]
        try:
            sockets[0].bind(("127.0.0.1", 0))
            port: int = sockets[0].getsockname()[1]
            for other, number in zip(sockets[1:], (port + 1000, port + 1001), strict=True):
                other.bind(("127.0.0.1", number))
        except (OSError, OverflowError):
            for one in sockets:
                one.close()
            continue
        if sys.platform == "linux":
            for one in sockets:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _held.extend(sockets)
        else:
            for one in sockets:
                one.close()
        return port
