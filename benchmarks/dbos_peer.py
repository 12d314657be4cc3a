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

import psycopg
from psycopg_pool import ConnectionPool

from benchmarks import minimal
from benchmarks.database import beside, folder_beside
from benchmarks.report import Figure, percentiles

PROCESSES, THREADS = 2, 8
NAME, VERSION, QUEUE, BUY = "benchmark", "1", "orders", "buy"
SHIPPING = "shipping"  # a queue that nobody serves: of our orders, too, it is measured when they are confirmed
POLL_SECONDS = 0.01  # how often the queue is asked; by default DBOS asks once a second
PATIENCE_SECONDS = 30.0
WARM_UP_SECONDS = 8.0  # as long as ours has (`latency`)


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


def latency(url: str, *, rate: float, seconds: float) -> list[Figure]:
    """Start `rate` workflows a second for `seconds`; return how long they take from when their start was answered.

    In place: the process that starts them runs them, without a hop. By a queue: another process takes them from there,
    as our worker does, asking every 10 ms.
    """
    minimal.create(url)
    command = [sys.executable, "-m", "benchmarks.dbos_peer", "--seconds", str(seconds), "--rate", str(rate)]
    subprocess.run([*command, "--migrate"], env=_environment(url), check=True, stdout=subprocess.DEVNULL)
    in_place = subprocess.run(command, env=_environment(url), check=True, stdout=subprocess.PIPE, text=True)
    [line] = [line for line in in_place.stdout.splitlines() if line.startswith("took")]
    figures = percentiles("peer: DBOS in place", [float(took) for took in line.split()[1:]])
    with subprocess.Popen(
        [*command, "--serve"], env=_environment(url), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as serving:
        try:
            _said(serving, "ready")
            took = _queued(folder_beside(beside(url, "dbos")), rate=rate, seconds=seconds)
        finally:
            serving.kill()
    minimal.check(url)
    return [*figures, *percentiles("peer: DBOS by a queue", took)]


def _queued(url: str, *, rate: float, seconds: float) -> list[float]:
    """Enqueue workflows at even intervals; return how long each took, from when it was enqueued."""
    from dbos import DBOSClient  # noqa: PLC0415 - an optional dependency

    random = Random()  # noqa: S311 - which SKU is bought
    client = DBOSClient(system_database_url=url)
    asked = {"workflow_name": BUY, "queue_name": QUEUE, "app_version": VERSION, "application_name": NAME}
    enqueued: dict[str, float] = {}
    for span in (WARM_UP_SECONDS, seconds):
        enqueued.clear()
        begun = time.perf_counter()
        for number in range(int(rate * span)):
            time.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            handle: Any = client.enqueue(asked, random.randrange(1000))
            enqueued[handle.workflow_id] = time.time()
    return [done - enqueued[workflow] for workflow, done in _completed(url, list(enqueued)).items()]


def _completed(url: str, workflows: list[str]) -> dict[str, float]:
    """Return when (in seconds since 1970) each of `workflows` was done; waits until all of them are."""
    statement = (
        "SELECT workflow_uuid, completed_at / 1000.0 FROM dbos.workflow_status"
        " WHERE status = 'SUCCESS' AND workflow_uuid = ANY(%s)"
    )
    until = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            done = {workflow: float(at) for workflow, at in connection.execute(statement, [workflows])}
            if len(done) == len(workflows):
                return done
            if time.monotonic() > until:
                raise TimeoutError(f"{len(workflows) - len(done)} workflows are not done")
            time.sleep(0.1)


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
            "name": NAME,
            "application_version": VERSION,
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

    @DBOS.workflow(name="ship")
    def ship(purchase: int) -> None:
        """Begin only, like our `fulfill_order`."""

    @DBOS.workflow(name=BUY)
    def buy(sku: int) -> None:
        purchase = place(sku)
        reserve(purchase)
        pay(purchase)
        if screen(purchase):
            confirm(purchase)
            DBOS.enqueue_workflow(SHIPPING, ship, purchase)

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
    parser.add_argument("--rate", type=float, help="start so many a second, and say how long each `took`")
    parser.add_argument("--serve", action="store_true", help="run what others put into the queue")
    parser.add_argument("--migrate", action="store_true", help="make DBOS's own tables, and leave")
    options = parser.parse_args()
    dbos, buy = _define(os.environ["DATABASE_URL"])
    if options.migrate:
        os._exit(0)
    if options.serve:
        dbos.register_queue(QUEUE, worker_concurrency=THREADS, polling_interval_sec=POLL_SECONDS)
        print("ready", flush=True)
        sys.stdin.readline()
    if options.rate:
        print("took", *_steadily(dbos, buy, rate=options.rate, seconds=options.seconds), flush=True)
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


def _steadily(dbos: Any, buy: Callable[[int], None], *, rate: float, seconds: float) -> list[float]:
    """Start workflows at even intervals; return how long each took, from when its start was answered."""
    random = Random()  # noqa: S311 - which SKU is bought
    took: list[float] = []

    def follow(handle: Any, started: float) -> None:
        handle.get_result()
        took.append(time.perf_counter() - started)

    for span, kept in ((WARM_UP_SECONDS, False), (seconds, True)):
        begun, threads = time.perf_counter(), []
        for number in range(int(rate * span)):
            time.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            handle = dbos.start_workflow(buy, random.randrange(1000))
            threads.append(threading.Thread(target=follow, args=(handle, time.perf_counter())))
            threads[-1].start()
        for thread in threads:
            thread.join()
        if not kept:
            took.clear()
    return took


if __name__ == "__main__":
    main()
