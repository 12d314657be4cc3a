"""Processes of the shop, as `make run` starts them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from marketplace.embedded.site import QUEUES


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python COMMAND` beside us for as long as the block lasts; show what it said if the block fails."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, *command], env=environment(), stdout=said, stderr=subprocess.STDOUT, start_new_session=True
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


def workers(count: int = 2) -> list[str]:
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


def _show(said: IO[bytes]) -> None:
    said.seek(0)
    sys.stderr.write(said.read()[-4000:].decode(errors="replace"))
