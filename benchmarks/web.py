"""How fast orders are taken in over HTTP: ours as shipped, and the plain view beside it."""

import time
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection
from multiprocessing import get_context
from socket import socket

from benchmarks import load, processes, shop
from benchmarks.report import Figure
from orders.models import Order

CLIENTS = 2  # processes
WARM_UP_SECONDS = 1.0


def placing(seconds: float) -> list[Figure]:
    """Post one-line orders over 16 connections for `seconds`, first to the plain view, then to ours."""
    return [
        Figure("peer: plain DRF and ORM", _load("/plain/orders", seconds), "orders/s"),
        Figure("POST /api/orders", _load("/api/orders", seconds), "orders/s"),
    ]


def _load(path: str, seconds: float) -> float:
    shop.empty(skus=load.SKUS)
    shop.settle()
    port = _free_port()
    with processes.running(processes.web(port)):
        _await(port)
        with ProcessPoolExecutor(CLIENTS, mp_context=get_context("spawn")) as pool:
            warm = sum(pool.map(load.post, [port] * CLIENTS, [path] * CLIENTS, [WARM_UP_SECONDS] * CLIENTS))
            begun = time.perf_counter()
            taken = sum(pool.map(load.post, [port] * CLIENTS, [path] * CLIENTS, [seconds] * CLIENTS))
            elapsed = time.perf_counter() - begun
    assert Order.objects.count() == warm + taken, (Order.objects.count(), warm + taken)
    return taken / elapsed


def _free_port() -> int:
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
