"""Private servers for one command: `python -m marketplace.embedded exec -- pytest`."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from marketplace.embedded import folder, servers
from marketplace.embedded.layout import Layout
from marketplace.embedded.processes import MARK, Record
from marketplace.embedded.supervisor import Supervisor, stop_signals

POLL_SECONDS = 0.1


def run(command: Sequence[str], *, durable: bool = False) -> int:
    """Run a command with DATABASE_URL and REDIS_URL of servers of its own, gone afterwards; return its exit code.

    DATA_DIR is a folder of its own too. A server that the environment names already is kept. `durable`: PostgreSQL
    waits for the disk as it does in earnest, for who wants to measure it. Raises CannotStart.
    """
    wanted = servers.Wanted.by(os.environ)
    data_dir = Path(tempfile.mkdtemp(prefix="marketplace-")).resolve()
    data_dir.chmod(0o755)  # the servers may run as another user than we do
    layout = Layout(data_dir)
    try:
        return asyncio.run(_run(command, layout, wanted, durable=durable))
    finally:
        folder.remove(layout)


async def _run(command: Sequence[str], layout: Layout, wanted: servers.Wanted, *, durable: bool) -> int:
    environment = {**os.environ, MARK: str(layout.data_dir)}
    supervisor = Supervisor(directory=Path.cwd(), logs=layout.logs, record=Record(layout.processes_file))
    async with supervisor:
        starting = asyncio.create_task(
            servers.start(supervisor, layout, wanted, environment=environment, durable=durable)
        )

        process: subprocess.Popen[bytes] | None = None
        stopped = False

        def on_signal(number: signal.Signals) -> None:
            nonlocal stopped
            if process is None:
                stopped = True
                starting.cancel()
            elif number != signal.SIGINT:  # the terminal gives Ctrl-C to the command itself
                process.send_signal(number)

        with stop_signals(on_signal):  # without a gap: a signal between the two would end us, and leave the servers
            try:
                await starting
            except asyncio.CancelledError:
                if not stopped:
                    raise
            if stopped:
                return 128 + signal.SIGINT
            addresses = {
                "DATA_DIR": str(layout.data_dir),
                **({"DATABASE_URL": layout.database_url} if wanted.postgres else {}),
                **({"REDIS_URL": layout.redis_url} if wanted.valkey else {}),
            }
            process = subprocess.Popen(command, env={**os.environ, **addresses})  # noqa: S603 - what we were given
            while process.poll() is None:
                await asyncio.sleep(POLL_SECONDS)
        code = process.returncode
        return code if code >= 0 else 128 - code
