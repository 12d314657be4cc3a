"""What the processes say: all of it into files, and what a developer must see onto the terminal."""

import contextlib
import re
import sys
from pathlib import Path

SAVE_AT_BYTES = 10 * 1024 * 1024  # a log this long is set aside at the next start
REMEMBERED_LINES = 5
_ASIDE = re.compile(r"\[(debug|info)\s*\]|\b(DEBUG|INFO)\b|\"level\": ?\"(debug|info)\"")
_AHEAD = re.compile(r"\[(warning|error|critical)\s*\]|\b(WARNING|ERROR|CRITICAL|FATAL|PANIC)\b|\"level\": ?\"(w|e|c)")


def say(line: str) -> None:
    """Print a line for the person at the terminal, who may have closed it."""
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = None  # `print` writes nowhere from now on


class Log:
    """The output of one process: appended to its file, and shown with its name in front where it matters.

    `quiet` keeps a chatty server off the terminal altogether.
    """

    def __init__(self, name: str, folder: Path, *, quiet: bool) -> None:
        self.path = folder / f"{name}.log"
        if self.path.exists() and self.path.stat().st_size > SAVE_AT_BYTES:
            self.path.replace(self.path.with_suffix(".log.1"))
        self._file = self.path.open("ab", buffering=0)
        self._name = name
        self._quiet = quiet
        self._rest = b""
        self._showing = True
        self.last: list[str] = []

    def feed(self, chunk: bytes) -> None:
        """Take what was read from the process; an unfinished line waits for its end."""
        with contextlib.suppress(OSError):  # a full disk shall not stop the shop
            self._file.write(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(line.decode(errors="replace").rstrip())

    def close(self) -> None:
        """Show what had no end of line, and close the file."""
        if self._rest:
            self._line(self._rest.decode(errors="replace").rstrip())
        self._rest = b""
        self._file.close()

    def _line(self, line: str) -> None:
        if not line:
            return
        self.last = [*self.last, line][-REMEMBERED_LINES:]
        if self._quiet:
            return
        if _AHEAD.search(line):
            self._showing = True
        elif _ASIDE.search(line):
            self._showing = False
        if self._showing:  # a line of no level goes with the one before it: a traceback with its error
            say(f"{self._name:<8} | {line}")
