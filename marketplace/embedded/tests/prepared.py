"""Makes a data folder with everything in it that `run` prepares before the shop opens: the database, the static files.

`python -m marketplace.embedded.tests.prepared DATA_DIR`. Whole shops of tests begin with a copy: that is sooner there.
"""

import asyncio
import os
import sys
from pathlib import Path

from marketplace.embedded import servers
from marketplace.embedded.layout import Layout
from marketplace.embedded.processes import MARK, Record
from marketplace.embedded.supervisor import Service, Supervisor, together


async def make(layout: Layout) -> None:
    layout.data_dir.mkdir(parents=True, exist_ok=True)
    layout.data_dir.chmod(0o755)  # the server may run as another user than we do
    layout.password()
    environment = {**os.environ, MARK: str(layout.data_dir), "DATA_DIR": str(layout.data_dir)}
    wanted = servers.Wanted(postgres=True, valkey=False)
    prepare = Service("prepare", [sys.executable, "-m", "marketplace.embedded.prepare"], environment, quiet=True)
    supervisor = Supervisor(directory=Path.cwd(), logs=layout.logs, record=Record(layout.processes_file))
    async with supervisor:
        await together(
            servers.start(supervisor, layout, wanted, environment=environment, durable=False), supervisor.run(prepare)
        )


if __name__ == "__main__":
    asyncio.run(make(Layout(Path(sys.argv[1]).resolve())))
