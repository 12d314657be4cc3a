"""The whole house: what it costs when nothing happens, and what it weighs after a day's work."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg

from benchmarks import load, processes, shop, web
from benchmarks.report import Figure
from marketplace.kernel import redis
from marketplace.outbox.models import Unpublished
from orders.models import Order

SETTLE_SECONDS = 12.0  # a session of PostgreSQL that has gone idle tells its figures within ten
LOOK_EVERY_SECONDS = 0.02
AT_A_TIME = 2000  # orders posted between two looks at how many there are
PATIENCE_SECONDS = 300.0
MEGABYTE = 1_000_000

_TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
_QUERIES = """
SELECT pid, query_start::text, query FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND query <> ''
"""
_SERVERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def idle(url: str, seconds: float) -> list[Figure]:
    """Run everything for `seconds` with nothing to do."""
    shop.empty(skus=load.SKUS)
    with _everything() as (_, pids), psycopg.connect(url, autocommit=True) as connection:
        time.sleep(SETTLE_SECONDS)
        used, asked, begun = _used(pids, connection), _transactions(connection), time.perf_counter()
        common, times = _most_common(connection, seconds)
        elapsed = time.perf_counter() - begun
        used = {name: cpu - used[name] for name, cpu in _used(pids, connection).items()}
        asked = _transactions(connection) - asked
    shares = {name: 100 * cpu / elapsed for name, cpu in used.items()}
    return [
        Figure("idle: processor", sum(shares.values()), "% of one core", _listed(shares)),
        Figure("idle: transactions", asked / elapsed, "a second", "of everything together"),
        Figure("idle: most frequent query", times / elapsed, "a second", common),
    ]


def memory(count: int) -> list[Figure]:
    """Post `count` orders with everything running, wait until all are confirmed and told, and weigh it."""
    shop.empty(skus=load.SKUS)
    with _everything() as (clients, pids):
        before = sum(_weighed(pids).values())
        while (placed := Order.objects.count()) < count:
            clients.run(web.OURS, 1.0 if placed < count - AT_A_TIME else 0.2)
        _until_told()
        after = _weighed(pids)
    shop.check(confirmed=placed, failed=0)
    return [
        Figure("memory, at the start", before, "MB"),
        Figure("memory, after the orders", sum(after.values()), "MB", f"{placed:,} orders; {_listed(after)}"),
    ]


@contextmanager
def _everything() -> Iterator[tuple[web.Load, Mapping[str, int]]]:
    """Run web, worker, beat, relay and the sandbox bank; yield clients of the web, and the processes by name."""
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        commands = {
            "sandbox": processes.sandbox(web.free_port(), data),
            "worker": processes.workers(),
            "relay": processes.relay(),
            "beat": processes.beat(),
        }
        pids = {name: stack.enter_context(processes.running(command)).pid for name, command in commands.items()}
        clients, pids["web"] = stack.enter_context(web.served())
        clients.run(web.OURS, 0.5)  # so that each has done its work at least once
        _until_told()
        yield clients, pids


def _until_told() -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while shop.working() or Unpublished.objects.exists():
        if time.monotonic() > until:
            raise TimeoutError("The orders are not done, or their events are not published.")
        time.sleep(0.2)


def _used(pids: Mapping[str, int], connection: psycopg.Connection[tuple[object, ...]]) -> dict[str, float]:
    """Return the processor time that each has used: our processes, PostgreSQL's for us (if it is here), and Redis."""
    servers = [int(str(pid)) for (pid,) in connection.execute(_SERVERS)]
    answered = redis.client().info("cpu")
    return {
        **{name: processes.cpu_seconds(pid) for name, pid in pids.items()},
        "PostgreSQL": sum(processes.cpu_seconds(pid) for pid in servers if psutil.pid_exists(pid)),
        "Redis": float(answered["used_cpu_user"]) + float(answered["used_cpu_sys"]),
    }


def _transactions(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    connection.execute("SELECT pg_stat_clear_snapshot()")
    row = connection.execute(_TRANSACTIONS).fetchone()
    assert row is not None
    return int(str(row[0]))


def _most_common(connection: psycopg.Connection[tuple[object, ...]], seconds: float) -> tuple[str, int]:
    """Watch what every session was last asked; return the statement that was asked most often, and how often."""
    until, asked = time.perf_counter() + seconds, dict[tuple[object, object], str]()
    with connection.transaction():  # so that our own looks are one
        while time.perf_counter() < until:
            connection.execute("SELECT pg_stat_clear_snapshot()")
            asked |= {(pid, at): str(query) for pid, at, query in connection.execute(_QUERIES)}
            time.sleep(LOOK_EVERY_SECONDS)
    [(query, times)] = Counter(asked.values()).most_common(1)
    return " ".join(query.split())[:60], times


def _weighed(pids: Mapping[str, int]) -> dict[str, float]:
    return {name: processes.memory_bytes(pid) / MEGABYTE for name, pid in pids.items() if name != "sandbox"}


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2g}" if value < 10 else f"{name} {value:.0f}" for name, value in values.items())
