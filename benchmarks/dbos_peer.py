"""The same steps on DBOS: each a durable step of a workflow, each with one statement and one commit of its own.

Run by two processes with eight threads each, which start workflows themselves, one after the other, without a queue.
That is DBOS at its fastest; draining a queue costs it more.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any
from uuid import uuid4

from psycopg_pool import ConnectionPool

from benchmarks import minimal
from benchmarks.database import beside, folder_beside
from benchmarks.report import Figure

PROCESSES, THREADS = 2, 8
WARM_UP_SECONDS = 2.0


def throughput(url: str, seconds: float) -> Figure:
    """Run workflows for `seconds`."""
    minimal.create(url)
    command = [sys.executable, "-m", "benchmarks.dbos_peer", "--seconds", str(seconds)]
    first = subprocess.run([*command, "--migrate"], env=_environment(url), check=True, stdout=subprocess.DEVNULL)
    assert first.returncode == 0
    running = [
        subprocess.Popen(command, env=_environment(url), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        for process in running:
            _said(process, "ready")
        for process in running:
            assert process.stdin is not None
            print("go", file=process.stdin, flush=True)
        rates = [float(_said(process, "rate").split()[1]) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    minimal.check(url)
    return Figure("peer: DBOS", sum(rates), "orders/s")


def _environment(url: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": url}


def _said(process: "subprocess.Popen[str]", word: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line
    raise RuntimeError("The DBOS process has died.")


def _define(url: str) -> tuple[Any, Callable[[int], None]]:
    from dbos import DBOS  # noqa: PLC0415 - an optional dependency

    DBOS(
        config={
            "name": "benchmark",
            "system_database_url": folder_beside(beside(url, "dbos")),
            "log_level": "ERROR",
            "executor_id": str(uuid4()),
            "db_engine_kwargs": {"pool_size": THREADS + 8, "max_overflow": 0, "pool_pre_ping": False},
        }
    )
    pool = ConnectionPool(url, min_size=THREADS, max_size=THREADS, kwargs={"autocommit": True}, open=True)

    def move(statement: str, purchase: int) -> None:
        with pool.connection() as connection:
            connection.execute(statement, {"ids": [purchase]})

    @DBOS.step()
    def place(sku: int) -> int:
        with pool.connection() as connection:
            row = connection.execute(minimal.PLACE, [[sku]]).fetchone()
        assert row is not None
        return int(row[0][0])

    reserve = DBOS.step(name="reserve")(partial_named("reserve", move, minimal.RESERVE))
    pay = DBOS.step(name="pay")(partial_named("pay", move, minimal.PAY))
    confirm = DBOS.step(name="confirm")(partial_named("confirm", move, minimal.CONFIRM))

    @DBOS.step()
    def screen(purchase: int) -> bool:
        return purchase > 0

    @DBOS.workflow()
    def buy(sku: int) -> None:
        purchase = place(sku)
        reserve(purchase)
        pay(purchase)
        if screen(purchase):
            confirm(purchase)

    DBOS.launch()
    return DBOS, buy


def partial_named(name: str, function: Callable[..., None], *arguments: object) -> Callable[..., None]:
    """Return `function` with its first arguments given, under the name that DBOS wants of a step."""
    step = partial(function, *arguments)

    def run(purchase: int) -> None:
        step(purchase)

    run.__name__ = run.__qualname__ = name
    return run


def main() -> None:
    """One process of the peer: say `ready`, wait for `go`, say the `rate`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--migrate", action="store_true", help="make DBOS's own tables, and leave")
    options = parser.parse_args()
    _, buy = _define(os.environ["DATABASE_URL"])
    if options.migrate:
        os._exit(0)
    print("ready", flush=True)
    sys.stdin.readline()
    done = [0] * THREADS
    stop = threading.Event()

    def work(number: int) -> None:
        random = Random()  # noqa: S311 - which SKU is bought
        while not stop.is_set():
            buy(random.randrange(1000))
            done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(WARM_UP_SECONDS)
    before, begun = sum(done), time.perf_counter()
    time.sleep(options.seconds)
    rate = (sum(done) - before) / (time.perf_counter() - begun)
    stop.set()
    for thread in threads:
        thread.join()
    print("rate", rate, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
