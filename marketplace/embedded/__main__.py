"""`python -m marketplace.embedded run`: the whole shop. `… exec -- COMMAND`: a command with servers of its own."""

import argparse
import os
import sys
from pathlib import Path

from marketplace.embedded import folder, private
from marketplace.embedded.errors import CannotStart
from marketplace.embedded.layout import Layout

BASE_DIR = Path(__file__).resolve().parents[2]


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m marketplace.embedded", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the whole shop until Ctrl-C")
    execute = commands.add_parser("exec", help="run a command with a private PostgreSQL and Valkey")
    execute.add_argument("arguments", nargs="+", metavar="COMMAND")
    options = parser.parse_args()
    try:
        return _run() if options.command == "run" else private.run(options.arguments)
    except CannotStart as problem:
        print(problem, file=sys.stderr)
        return 1


def _run() -> int:
    layout = Layout(Path(os.environ.get("DATA_DIR") or BASE_DIR / "var").resolve())
    with folder.taken(layout):
        folder.end_leftovers(layout)
        from marketplace.embedded import site  # noqa: PLC0415 - reads the settings, which write into the folder

        return site.run(layout)


if __name__ == "__main__":
    sys.exit(main())
