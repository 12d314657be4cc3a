"""How fast orders are taken in over HTTP: ours as shipped, and the plain view beside it."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection
from multiprocessing import get_context
from random import Random
from socket import socket
from threading import Thread
from uuid import uuid4

from benchmarks import processes, shop
from benchmarks.report import Figure
from orders.models import Order

CLIENTS = 2  # processes
CONNECTIONS = 8  # of each
WARM_UP_SECONDS = 1.0
SKUS = 1000


def placing(seconds: float) -> list[Figure]:
    """Post one-line orders over 16 connections for `seconds`, first to the plain view, then to ours."""
    return [
        Figure("peer: plain DRF and ORM", _load("/plain/orders", seconds), "orders/s"),
        Figure("POST /api/orders", _load("/api/orders", seconds), "orders/s"),
    ]


def _load(path: str, seconds: float) -> float:
    shop.empty(skus=SKUS)
    shop.settle()
    port = _free_port()
    with processes.running(processes.web(port)):
        _await(port)
        with ProcessPoolExecutor(CLIENTS, mp_context=get_context("spawn")) as pool:
            warm = sum(pool.map(_client, [port] * CLIENTS, [path] * CLIENTS, [WARM_UP_SECONDS] * CLIENTS))
            begun = time.perf_counter()
            taken = sum(pool.map(_client, [port] * CLIENTS, [path] * CLIENTS, [seconds] * CLIENTS))
            elapsed = time.perf_counter() - begun
    assert Order.objects.count() == warm + taken, (Order.objects.count(), warm + taken)
    return taken / elapsed


def _client(port: int, path: str, seconds: float) -> int:
    """Post over `CONNECTIONS` connections; return how many orders were taken in. Raises for any other answer."""
    until = time.perf_counter() + seconds
    taken = [0] * CONNECTIONS
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            taken[number] = _post_until(until, port, path)
        except BaseException as error:  # noqa: BLE001 - a thread's only way to be heard
            failures.append(error)

    _together(work)
    if failures:
        raise failures[0]
    return sum(taken)


def _together(work: Callable[[int], None]) -> None:
    threads = [Thread(target=work, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _post_until(until: float, port: int, path: str) -> int:
    random = Random()  # noqa: S311 - which SKU is bought
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    taken = 0
    while time.perf_counter() < until:
        item = {"sku": f"bench-{random.randrange(SKUS)}", "quantity": 1}
        body = json.dumps({"items": [item], "paymentMethod": "tok_visa"})
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid4())}
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 201:
            raise RuntimeError(f"{path} answered {response.status}: {answer[:300]!r}")
        taken += 1
    return taken


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
