"""What PostgreSQL could do if there were nothing but PostgreSQL: whole groups, one statement and one commit a step."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random

import psycopg

from benchmarks import minimal
from benchmarks.report import Figure

CLIENTS = 2  # as many as there are worker processes
TOGETHER = 200  # orders in one statement, as SAGA_BATCH_SIZE has it


def set_based(url: str, seconds: float) -> Figure:
    """Run the four set-based statements, each its own transaction, for `seconds` by two clients."""
    minimal.create(url)
    with ProcessPoolExecutor(CLIENTS, mp_context=get_context("spawn")) as pool:
        list(pool.map(_ready, range(CLIENTS)))
        begun = time.perf_counter()
        done = sum(pool.map(_client, [url] * CLIENTS, [seconds] * CLIENTS, range(CLIENTS)))
        elapsed = time.perf_counter() - begun
    assert minimal.check(url) == done
    return Figure("limit: set-based SQL", done / elapsed, "orders/s")


def _ready(number: int) -> int:
    """Make the pool start its processes before the clock runs."""
    time.sleep(0.5)
    return number


def _client(url: str, seconds: float, seed: int) -> int:
    random = Random(seed)  # noqa: S311 - which SKU is bought
    done = 0
    with psycopg.connect(url, autocommit=True) as connection:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            bought = [random.randrange(1000) for _ in range(TOGETHER)]
            row = connection.execute(minimal.PLACE, [bought]).fetchone()
            assert row is not None
            for statement in (minimal.RESERVE, minimal.PAY, minimal.CONFIRM):
                connection.execute(statement, {"ids": row[0]})
            done += TOGETHER
    return done
