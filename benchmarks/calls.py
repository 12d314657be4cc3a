"""The sandbox gateway behind HTTP, at 200 ms a call: as many orders as the calls allow, and nothing held meanwhile."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import psycopg

from benchmarks import drain, looked_at, processes, shop, web
from benchmarks.report import Figure

CALL_SECONDS = 0.2
CALLS_EACH = 2  # authorize, capture
CONCURRENCY = 16  # calls at a time, for each of the worker's processes


def at_200_ms(url: str, count: int) -> list[Figure]:
    """Drain `count` orders whose every call to the gateway takes 200 ms."""
    shop.empty(skus=1000)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(looked_at.TABLE)
    port = web.free_port()
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(
            processes.running(processes.sandbox(port, data), PAYMENT_LATENCY_MS=str(int(1000 * CALL_SECONDS)))
        )
        workers = stack.enter_context(
            processes.running(
                processes.workers(),
                BENCHMARK_GATEWAY="looked_at",
                SANDBOX_GATEWAY_URL=f"http://127.0.0.1:{port}",
                SAGA_CALL_CONCURRENCY=str(CONCURRENCY),
            )
        )
        warm = CONCURRENCY * 4
        shop.fill(warm, skus=1000)
        drain.until_idle(workers)
        shop.fill(count, skus=1000)
        seconds = drain.drained(workers, count)
    shop.check(confirmed=warm + count, failed=0)
    with psycopg.connect(url) as connection:
        [(looks, held)] = connection.execute("SELECT count(*), count(*) FILTER (WHERE held) FROM benchmark_look")
    assert looks, "nobody has looked"
    ceiling = processes.WORKERS * CONCURRENCY / CALL_SECONDS / CALLS_EACH
    return [
        Figure("200 ms a call: what the calls allow", ceiling, "orders/s", f"{processes.WORKERS} times {CONCURRENCY}"),
        Figure("200 ms a call: drained", count / seconds, "orders/s"),
        Figure("200 ms a call: held meanwhile", held, "calls", f"of {looks} in which it was looked for"),
    ]
