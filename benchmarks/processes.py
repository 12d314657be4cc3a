"""Processes of the shop, as `make run` starts them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

from marketplace.embedded.site import QUEUES

WORKERS = 2  # processes of the one Celery worker


@contextmanager
def running(command: Sequence[str], **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python COMMAND` with `settings` beside us, as long as the block lasts; show what it said if that fails."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**environment(), **settings},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        except BaseException:
            _show(said)
            raise
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment() -> dict[str, str]:
    """Return our environment, with the settings that are measured."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "PYTHONWARNINGS": "ignore:::celery.platforms",
        "LOG_LEVEL": "WARNING",
    }


def workers(count: int = WORKERS) -> list[str]:
    """Return the command of one Celery worker with `count` processes."""
    return [
        *("-m", "celery", "--quiet", "-A", "marketplace", "worker", "--queues", QUEUES, "--pool", "prefork"),
        *("--concurrency", str(count), "--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]


def web(port: int) -> list[str]:
    """Return the command of one web server process at `port` of this machine."""
    return [
        *("-m", "granian", "--interface", "wsgi", "marketplace.wsgi:application", "--host", "127.0.0.1"),
        *("--port", str(port), "--no-ws", "--workers", "1", "--blocking-threads", "16", "--log-level", "error"),
    ]


def beat() -> list[str]:
    """Return the command of Celery beat."""
    return ["-m", "celery", "--quiet", "-A", "marketplace", "beat", "--pidfile", ""]


def relay() -> list[str]:
    """Return the command of the outbox relay."""
    return ["manage.py", "relay"]


def sandbox(port: int, data: Path) -> list[str]:
    """Return the command of the sandbox gateway at `port` of this machine."""
    return ["-m", "payments.gateways.sandbox", "--listen", f"127.0.0.1:{port}", "--data", str(data)]


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its children have used."""
    return sum(used.user + used.system for process in tree(pid) if (used := _asked(process.cpu_times)))


def memory_bytes(pid: int) -> int:
    """Return the memory of a process and its children; what they share with others counts by their share."""
    return sum(memory.pss for process in tree(pid) if (memory := _asked(process.memory_full_info)))


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and its children, and theirs."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _asked(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except psutil.NoSuchProcess:
        return None


def _show(said: IO[bytes]) -> None:
    said.seek(0)
    sys.stderr.write(said.read()[-4000:].decode(errors="replace"))
