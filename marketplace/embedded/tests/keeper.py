"""Holds a data folder and keeps its servers running, as `run` does, but with nothing of the shop on top.

`python -m marketplace.embedded.tests.keeper DATA_DIR`; says "ready" when the servers let us in. With `--deaf`, it keeps
a process instead that ignores everything but a kill.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from marketplace.embedded import folder, servers
from marketplace.embedded.errors import CannotStart
from marketplace.embedded.layout import Layout
from marketplace.embedded.processes import MARK, Record
from marketplace.embedded.supervisor import Service, Supervisor, stop_signals

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"


async def keep(layout: Layout, *, deaf: bool) -> None:
    environment = {**os.environ, MARK: str(layout.data_dir)}
    supervisor = Supervisor(directory=Path.cwd(), logs=layout.logs, record=Record(layout.processes_file))

    async def live() -> None:
        if deaf:
            await supervisor.start([Service("deaf", [sys.executable, "-c", DEAF], environment)])
            while "on" not in (layout.logs / "deaf.log").read_text():
                await asyncio.sleep(0.05)
        else:
            wanted = servers.Wanted(postgres=True, valkey=True)
            await servers.start(supervisor, layout, wanted, environment=environment, durable=True)
        print("ready", flush=True)
        await supervisor.watch()

    living = asyncio.create_task(live())
    with stop_signals(lambda _: living.cancel()):
        async with supervisor:
            with contextlib.suppress(asyncio.CancelledError):
                await living


def main() -> int:
    layout, deaf = Layout(Path(sys.argv[1]).resolve()), "--deaf" in sys.argv
    try:
        with folder.taken(layout):
            print("ended", folder.end_leftovers(layout, patience_seconds=1 if deaf else 15), flush=True)
            asyncio.run(keep(layout, deaf=deaf))
    except CannotStart as problem:
        print(problem, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
