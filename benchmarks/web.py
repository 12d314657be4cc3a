"""How fast orders are taken in over HTTP: ours as shipped, and the plain view beside it."""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from multiprocessing import get_context
from socket import socket

from benchmarks import load, processes, shop
from benchmarks.report import Figure
from orders.models import Order

CLIENTS = 2  # processes
WARM_UP_SECONDS = 1.0
SLICE_SECONDS = 1.0
PLAIN, OURS = "/plain/orders", "/api/orders"


class Load:
    """Client processes that are ready to post to `port`."""

    def __init__(self, pool: ProcessPoolExecutor, port: int) -> None:
        self._pool = pool
        self.port = port

    def run(self, path: str, seconds: float) -> int:
        """Post for `seconds` over `CLIENTS * load.CONNECTIONS` connections; return how many orders were taken in."""
        ports, paths, times = [[value] * CLIENTS for value in (self.port, path, seconds)]
        return sum(self._pool.map(load.post, ports, paths, times))


@contextmanager
def served() -> Iterator[tuple[Load, int]]:
    """Run the web server, with clients beside it; yield them and the server's process id."""
    port = free_port()
    with processes.running(processes.web(port)) as server:
        _await(port)
        with ProcessPoolExecutor(CLIENTS, mp_context=get_context("spawn")) as pool:
            yield Load(pool, port), server.pid


def placing(seconds: float) -> list[Figure]:
    """Post one-line orders over 16 connections for `seconds` to the plain view, and for as long to ours.

    By turns, a second each, so that whatever else the machine does falls on both alike.
    """
    shop.empty(skus=load.SKUS)
    shop.settle()
    taken, elapsed, used = ({PLAIN: 0.0, OURS: 0.0} for _ in range(3))
    with served() as (clients, pid):
        warm = sum(clients.run(path, WARM_UP_SECONDS) for path in (PLAIN, OURS))
        for _ in range(max(1, round(seconds / SLICE_SECONDS))):
            for path in (PLAIN, OURS):
                cpu, begun = processes.cpu_seconds(pid), time.perf_counter()
                taken[path] += clients.run(path, SLICE_SECONDS)
                elapsed[path] += time.perf_counter() - begun
                used[path] += processes.cpu_seconds(pid) - cpu
    assert Order.objects.count() == warm + sum(taken.values()), (Order.objects.count(), warm, taken)
    return [
        Figure("peer: plain DRF and ORM", taken[PLAIN] / elapsed[PLAIN], "orders/s"),
        Figure("POST /api/orders", taken[OURS] / elapsed[OURS], "orders/s"),
        Figure("plain view, processor of the web", 1000 * used[PLAIN] / taken[PLAIN], "ms/order"),
        Figure("POST, processor of the web", 1000 * used[OURS] / taken[OURS], "ms/order"),
    ]


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _await(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/api/products?limit=1")
            connection.getresponse().read()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return
