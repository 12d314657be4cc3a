"""`python -m benchmarks.profile`: where the time of a drain goes, in Python and in PostgreSQL.

One worker drives in this process, so that the profiler sees it all; a statement's time is what we waited for it. The
processor time an order is what to compare with: it changes little when something else keeps the machine busy.
"""

import argparse
import cProfile
import gc
import math
import os
import pstats
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from benchmarks import database

WARM_UP = 500


def main() -> int:
    """Drain, and print what took the time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--n", type=int, default=2000, help="orders to drain (default 2000)")
    parser.add_argument("--lines", type=int, default=40, help="functions to print (default 40)")
    parser.add_argument("--python", action="store_true", help="profile Python too, which makes it a good deal slower")
    options = parser.parse_args()
    if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        from marketplace.embedded import private  # noqa: PLC0415 - only where servers are to be started

        return private.run([sys.executable, "-m", "benchmarks.profile", *sys.argv[1:]], durable=True)
    with database.own():
        os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
        os.environ.setdefault("SECRET_KEY", "only-for-measuring")
        import django  # noqa: PLC0415 - the settings read the environment

        django.setup()
        from django.core.management import call_command  # noqa: PLC0415

        call_command("migrate", verbosity=0)
        _profile(options)
    return 0


class Statements:
    """Django's `execute_wrapper` that adds up the time of each statement."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.times: dict[str, int] = defaultdict(int)

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        begun = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            key = " ".join(str(sql).split())[:110]
            self.seconds[key] += time.perf_counter() - begun
            self.times[key] += 1

    def show(self) -> None:
        """Print them, the costliest first."""
        for key, seconds in sorted(self.seconds.items(), key=lambda item: -item[1])[:25]:
            print(f"{seconds * 1000:8.0f} ms {self.times[key]:5}  {key}")


def _server_seconds() -> float:
    """Processor time that PostgreSQL has spent on our connection; NaN where it runs on another machine."""
    from django.db import connection  # noqa: PLC0415 - needs Django set up

    connection.ensure_connection()
    try:
        with open(f"/proc/{connection.connection.info.backend_pid}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9
    except OSError:
        return math.nan


def _told(seconds: float, orders: int) -> str:
    return "unknown" if math.isnan(seconds) else f"{seconds / orders * 1000:.3f} ms"


def _profile(options: argparse.Namespace) -> None:
    from django.db import connection  # noqa: PLC0415 - needs Django set up

    from benchmarks import shop  # noqa: PLC0415
    from marketplace.sagas.runner import Worker  # noqa: PLC0415

    queues = ["orders", "inventory", "payments", "fulfillment"]

    def drive() -> float:
        begun = time.perf_counter()
        Worker(queues, on_full=lambda: None, on_bell=lambda queue: None).drive(until=time.monotonic() + 300)
        return time.perf_counter() - begun

    gc.collect()  # as in a worker's process (`marketplace.celery`)
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    shop.empty(skus=1000)
    shop.fill(WARM_UP, skus=1000)
    drive()
    shop.fill(options.n, skus=1000)
    shop.settle()
    statements, profiler = Statements(), cProfile.Profile()
    cpu, servers_cpu = time.process_time(), _server_seconds()
    with connection.execute_wrapper(statements):
        if options.python:
            profiler.enable()
        seconds = drive()
        profiler.disable()
    cpu, servers_cpu = time.process_time() - cpu, _server_seconds() - servers_cpu
    shop.check(confirmed=WARM_UP + options.n, failed=0)
    waited = sum(statements.seconds.values())
    print(f"{options.n} orders in {seconds:.2f} s: {options.n / seconds:.0f}/s")
    print(
        f"processor time an order: Python {cpu / options.n * 1000:.3f} ms, PostgreSQL {_told(servers_cpu, options.n)}"
    )
    print(f"waited {waited:.2f} s for {sum(statements.times.values())} statements:\n")
    statements.show()
    if options.python:
        pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(options.lines)


if __name__ == "__main__":
    sys.exit(main())
