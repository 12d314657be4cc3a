"""The load: a process that posts orders over a few connections. It needs nothing of Django's."""

import json
import time
from http.client import HTTPConnection
from random import Random
from threading import Thread
from uuid import uuid4

CONNECTIONS = 8
SKUS = 1000


def post(port: int, path: str, seconds: float) -> int:
    """Post over `CONNECTIONS` connections; return how many orders were taken in. Raises for any other answer."""
    until = time.perf_counter() + seconds
    taken = [0] * CONNECTIONS
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            taken[number] = _post_until(until, port, path)
        except BaseException as error:  # noqa: BLE001 - a thread's only way to be heard
            failures.append(error)

    threads = [Thread(target=work, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(taken)


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
