"""Taking a data folder for ourselves: its lock, what a killed predecessor left in it, the folder of its sockets."""

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from marketplace.embedded import postgres, processes
from marketplace.embedded.account import Account
from marketplace.embedded.errors import CannotStart
from marketplace.embedded.layout import Layout

LEFTOVER_PATIENCE_SECONDS = 15.0


@contextlib.contextmanager
def taken(layout: Layout) -> Iterator[None]:
    """Hold the data folder alone. Raises CannotStart when it can't be written, or another supervisor holds it.

    The kernel drops the lock with its holder, however that ends.
    """
    try:
        layout.data_dir.mkdir(parents=True, exist_ok=True)
        file = layout.lock_file.open("a+")
    except OSError as error:
        raise CannotStart(
            f"The data folder {layout.data_dir} can't be used: {error.strerror}. Set DATA_DIR."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise CannotStart(
                f"The data folder {layout.data_dir} is in use (process {holder}). Stop that one, or run a second "
                "beside it: make run PORT=8001 DATA_DIR=var2"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def end_leftovers(layout: Layout, *, patience_seconds: float = LEFTOVER_PATIENCE_SECONDS) -> int:
    """End what a killed supervisor left running on this folder; return how many processes that were.

    The caller holds the folder, so whatever still works on it has nobody to work for.
    """
    record = processes.Record(layout.processes_file)
    found = {
        leftover.process.pid: leftover
        for leftover in [*processes.marked(layout.data_dir), *record.left_behind(), *postgres.left_behind(layout)]
    }
    processes.end(list(found.values()), patience_seconds=patience_seconds)
    layout.processes_file.unlink(missing_ok=True)
    return len(found)


def make_sockets_folder(path: Path, account: Account) -> None:
    """Make the folder of the sockets, open to the servers' user alone.

    Raises CannotStart when it is somebody else's.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    found = path.lstat()
    if found.st_uid not in {os.geteuid(), account.uid}:
        raise CannotStart(f"{path} belongs to somebody else. Remove it, or set DATA_DIR to another folder.")
    if not stat.S_ISDIR(found.st_mode):
        path.unlink()
        path.mkdir(mode=0o700)
    account.own(path)


def remove(layout: Layout) -> None:
    """Remove a data folder and its sockets for good."""
    shutil.rmtree(layout.sockets, ignore_errors=True)
    shutil.rmtree(layout.data_dir, ignore_errors=True)
