"""What PostgreSQL could do if there were nothing but PostgreSQL: whole groups, one statement and one commit a step.

And what it does where nobody thinks of groups: one unit of a popular product, and a commit.
"""

import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks import minimal
from benchmarks.report import Figure

CLIENTS = 2  # as many as there are worker processes
TOGETHER = 200  # orders in one statement, as SAGA_BATCH_SIZE has it
CROWD = 32  # who want the same row at once


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


def one_row(url: str, seconds: float) -> list[Figure]:
    """Have pgbench reserve one unit of the same row a commit, for `seconds` each: one client, and a crowd."""
    pgbench = shutil.which("pgbench")
    return [_reserved(pgbench, url, seconds, clients) for clients in (1, CROWD)]


def _reserved(pgbench: str | None, url: str, seconds: float, clients: int) -> Figure:
    name = f"limit: one row a commit, {clients} client{'s' * (clients > 1)}"
    if pgbench is None:
        return Figure(name, None, "reservations/s", "pgbench is not installed")
    minimal.create(url)
    command = [pgbench, "--no-vacuum", "--protocol", "prepared", "--file", "/dev/stdin"]
    how = {"--client": clients, "--jobs": min(clients, CLIENTS), "--time": max(1, round(seconds))}
    server = conninfo_to_dict(url)
    password = str(server.pop("password", ""))  # for everybody to read, if it were among the arguments
    run = subprocess.run(
        [*command, *(str(word) for option in how.items() for word in option), make_conninfo(**server)],
        input=minimal.TAKE_ONE,
        env={**os.environ, "PGPASSWORD": password},
        capture_output=True,
        text=True,
        check=True,
    )
    rate = re.search(r"^tps = ([\d.]+)", run.stdout, re.MULTILINE)
    assert rate is not None, run.stdout
    return Figure(name, float(rate[1]), "reservations/s")


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
