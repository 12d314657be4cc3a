"""The whole path under load: how many orders are confirmed while as many as possible come in."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from benchmarks import load, processes, shop, web
from benchmarks.report import Figure
from orders.models import Order

LOOK_EVERY_SECONDS = 0.2
PATIENCE_SECONDS = 120.0
_COUNT = """
SELECT count(*) FILTER (WHERE status = 'CONFIRMED'), count(*) FILTER (WHERE status <> 'CONFIRMED') FROM orders_order
"""


def in_to_confirmed(url: str, seconds: float) -> list[Figure]:
    """Post over 16 connections for `seconds`, with a worker of two processes beside the web server."""
    shop.empty(skus=load.SKUS)
    shop.settle()
    with web.served() as (clients, _), processes.running(processes.workers()):
        clients.run(web.OURS, web.WARM_UP_SECONDS)
        _until_drained()
        with watching(url) as seen:
            begun = time.perf_counter()
            taken = clients.run(web.OURS, seconds)
            elapsed = time.perf_counter() - begun
        _until_drained()
    shop.check(confirmed=Order.objects.count(), failed=0)
    confirmed = (seen[-1][0] - seen[0][0]) / elapsed
    waiting = [backlog for _, backlog in seen]
    half = len(waiting) // 2
    return [
        Figure("taken in, workers beside it", taken / elapsed, "orders/s"),
        Figure("HTTP in to CONFIRMED", confirmed, "orders/s"),
        Figure("backlog, highest of the first half", float(max(waiting[:half])), "orders"),
        Figure("backlog, highest of the second half", float(max(waiting[half:])), "orders"),
        Figure("backlog at the end", waiting[-1] / confirmed, "seconds of work"),
    ]


@contextmanager
def watching(url: str) -> Iterator[list[tuple[int, int]]]:
    """Yield a list that fills with how many orders are confirmed, and how many are not yet, now and until the end."""
    stop, seen = threading.Event(), []

    def look(connection: psycopg.Connection[tuple[int, int]]) -> None:
        row = connection.execute(_COUNT).fetchone()
        assert row is not None
        seen.append(row)

    def watch() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.wait(LOOK_EVERY_SECONDS):
                look(connection)

    with psycopg.connect(url, autocommit=True) as connection:
        look(connection)
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield seen
        finally:
            stop.set()
            thread.join()
        look(connection)


def _until_drained() -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while shop.working():
        if time.monotonic() > until:
            raise TimeoutError("The orders are not drained.")
        time.sleep(0.05)
