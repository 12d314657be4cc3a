"""`python -m benchmarks`: measure, print a table, write JSON under benchmarks/results/."""

import argparse
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

from benchmarks import database
from benchmarks.report import Figure, table, write

MEASURES = (
    "limit",
    "drain",
    "hot",
    "row",
    "declined",
    "dbos",
    "http",
    "whole",
    "latency",
    "calls",
    "idle",
    "memory",
    "growth",
)


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--n", type=int, default=5000, help="orders to drain (default 5000)")
    parser.add_argument("--rounds", type=int, default=1, help="how often to measure everything (default 1)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the limit and the peers run (default 5)")
    parser.add_argument("--idle-seconds", type=float, default=20.0, help="how long to do nothing (default 20)")
    parser.add_argument("--orders", type=int, help="orders before the memory is weighed (default: as many as --n)")
    parser.add_argument(
        "--finished", type=int, nargs="*", default=[1_000, 100_000], metavar="SAGAS",
        help="finished sagas beside which to drain, in thousands (default 1000 100000; a million takes 15 GB of disk)",
    )  # fmt: skip
    parser.add_argument(
        "--lines", type=int, nargs="*", default=[1, 2, 4], help="lines of an order to drain with (default 1 2 4)"
    )
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES, metavar="MEASURE", help=str(MEASURES))
    options = parser.parse_args()
    if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        from marketplace.embedded import private  # noqa: PLC0415 - only where servers are to be started

        return private.run([sys.executable, "-m", "benchmarks", *sys.argv[1:]], durable=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    with database.own() as url:
        _run(options, url)
    return 0


def _run(options: argparse.Namespace, url: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    os.environ.setdefault("SECRET_KEY", "only-for-measuring")
    import django  # noqa: PLC0415 - the settings read the environment

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    server = database.durable(url)
    print(f"{server}; {os.cpu_count()} cores; {options.n:,} orders; {options.rounds} round(s)\n", flush=True)
    figures: list[Figure] = []
    for _ in range(options.rounds):
        for name, measure in _measures(options, url).items():
            if name in options.only:
                begun = time.monotonic()
                figures.extend(measure())
                print(f"  {name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print(table(figures))
    path = write(figures, settings={"n": options.n, "seconds": options.seconds, "server": server})
    print(f"\n{path}")


def _measures(options: argparse.Namespace, url: str) -> dict[str, Callable[[], list[Figure]]]:
    from benchmarks import calls, drain, growth, house, latency, limit, web, whole  # noqa: PLC0415 - they need Django set up

    return {
        "limit": lambda: [limit.set_based(url, options.seconds)],
        "drain": lambda: [drain.thousand_skus(options.n)],
        "hot": lambda: [drain.hot_sku(options.n)],
        "row": lambda: limit.one_row(url, options.seconds),
        "declined": lambda: [drain.declined(options.n)],
        "dbos": partial(_dbos, url, options.seconds),
        "http": lambda: web.placing(options.seconds),
        "whole": lambda: whole.in_to_confirmed(url, options.seconds),
        "latency": lambda: [*latency.until_confirmed(url, options.seconds), *_dbos_latency(url, options.seconds)],
        "calls": lambda: calls.at_200_ms(url, min(options.n, 1600)),
        "idle": lambda: house.idle(url, options.idle_seconds),
        "growth": lambda: [*growth.beside(options.n, options.finished), *growth.with_lines(options.n, options.lines)],
        "memory": lambda: house.memory(options.orders or options.n),
    }


def _dbos(url: str, seconds: float) -> list[Figure]:
    if not _has_dbos():
        return [Figure("peer: DBOS", None, "orders/s", "not installed: pip install 'marketplace[bench]'")]
    from benchmarks import dbos_peer  # noqa: PLC0415 - an optional dependency

    return [dbos_peer.throughput(url, seconds)]


def _dbos_latency(url: str, seconds: float) -> list[Figure]:
    if not _has_dbos():
        return []
    from benchmarks import dbos_peer, latency  # noqa: PLC0415 - an optional dependency

    return dbos_peer.latency(url, rate=latency.RATE, seconds=seconds)


def _has_dbos() -> bool:
    return importlib.util.find_spec("dbos") is not None


if __name__ == "__main__":
    sys.exit(main())
