"""Starting processes so that they end with us, and finding those that did not.

Three nets under a supervisor that is killed: on Linux the kernel tells each child when its parent dies; a record in the
data folder names every child by its pid and the moment it was started, so that the next start ends what is left and
never a stranger who was given the same pid; and all of them, and their own children, carry a mark in their environment.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from marketplace.embedded.account import Account

PR_SET_PDEATHSIG = 1
MARK = "MARKETPLACE_DATA"  # in the environment of every child, and of its children: whose process this is
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    account: Account,
    death_signal: signal.Signals,
) -> subprocess.Popen[bytes]:
    """Start a command as the leader of its own session, with its output on a pipe and nothing on its input.

    On Linux it is sent `death_signal` when the calling *thread* ends; call this from the main thread only, in a process
    that has no other threads.
    """
    return subprocess.Popen(  # noqa: S603 - commands of ours, never of a user's
        account.command(command, death_signal=death_signal),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd=directory,
        start_new_session=True,
        preexec_fn=partial(_end_with_parent, os.getpid(), death_signal),  # noqa: PLW1509 - no threads here
        **account.popen_arguments(),
    )


def _end_with_parent(parent: int, death_signal: signal.Signals) -> None:
    """Runs in the child, after it has become its user (a change of user would forget the death signal)."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent:  # the parent died before it could be watched
        os._exit(1)


@dataclass(frozen=True)
class Leftover:
    """A process of ours that outlived its supervisor, and the signal that asks it to end."""

    process: psutil.Process
    stop_signal: signal.Signals


class Record:
    """The children that live, on disk, for whoever comes after us. The caller holds the data folder's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._alive: dict[str, tuple[int, float, str]] = {}

    def add(self, name: str, pid: int, *, stop_signal: signal.Signals) -> None:
        """Write down a child that was just started."""
        try:
            self._alive[name] = (pid, psutil.Process(pid).create_time(), stop_signal.name)
        except psutil.NoSuchProcess:  # it is over already
            self._alive.pop(name, None)
        self._write()

    def remove(self, name: str) -> None:
        """Forget a child that has ended."""
        if self._alive.pop(name, None) is not None:
            self._write()

    def _write(self) -> None:
        draft = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk, a removed folder: never a reason to let a child run on
            draft.write_text(json.dumps(self._alive))
            draft.replace(self._path)

    def left_behind(self) -> list[Leftover]:
        """Return the recorded processes that are still the very same ones, whoever is their parent now."""
        try:
            recorded = json.loads(self._path.read_text())
            rows = [(int(pid), float(started), signal.Signals[name]) for pid, started, name in recorded.values()]
        except (
            FileNotFoundError,
            ValueError,
            AttributeError,
            TypeError,
            KeyError,
        ):  # none, or cut short by a full disk
            return []
        found = []
        for pid, started, stop_signal in rows:
            try:
                process = psutil.Process(pid)
                if abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(Leftover(process, stop_signal))
            except psutil.NoSuchProcess:
                continue
        return found


def marked(data_dir: Path) -> list[Leftover]:
    """Return every process that carries this data folder's mark: the children of children whose parent is gone."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == str(data_dir):
                found.append(Leftover(process, signal.SIGTERM))
        except psutil.Error:  # gone, or somebody else's
            continue
    return found


def end(leftovers: Sequence[Leftover], *, patience_seconds: float) -> None:
    """Ask these processes to end, wait, and kill those that have not."""
    for leftover in leftovers:
        _signal(leftover.process, leftover.stop_signal)
    _, stubborn = psutil.wait_procs([leftover.process for leftover in leftovers], timeout=patience_seconds)
    for process in stubborn:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=5)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)  # psutil looks at the start time first, so a recycled pid is safe
    except psutil.Error:
        return


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a child has ended, without collecting it: until that is done, its pid is nobody else's."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # collected already
        return True


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to everything in the group of a child that isn't collected yet."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return
