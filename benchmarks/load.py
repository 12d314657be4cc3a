"""The load: a process that posts orders over a few connections. It needs nothing of Django's.

Plain sockets and one thread: an HTTP client of Python's takes more of the processor than what is measured with it.
"""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from selectors import EVENT_READ, DefaultSelector
from uuid import UUID

CONNECTIONS = 8
SKUS = 1000
PATIENCE_SECONDS = 30.0

_random = Random()  # noqa: S311 - which SKU is bought


def post(port: int, path: str, seconds: float, connections: int = CONNECTIONS) -> int:
    """Post over `connections` for `seconds`; return how many orders were taken in. Raises for any other answer."""
    taken = 0
    with ExitStack() as stack:
        selector = stack.enter_context(DefaultSelector())
        for _ in range(connections):
            client = stack.enter_context(Client(port))
            client.send(path)
            selector.register(client.socket, EVENT_READ, client)
        until = time.perf_counter() + seconds
        while selector.get_map():
            ready = selector.select(PATIENCE_SECONDS)
            if not ready:
                raise TimeoutError(f"{path} has not answered for {PATIENCE_SECONDS:.0f} seconds")
            for key, _ in ready:
                if key.data.receive() is None:
                    continue
                taken += 1
                if time.perf_counter() < until:
                    key.data.send(path)
                else:
                    selector.unregister(key.fileobj)
    return taken


@dataclass(frozen=True, slots=True)
class Answered:
    """An order that was taken in, and when its answer was there (`time.perf_counter`)."""

    order_id: UUID
    at: float


def steadily(port: int, path: str, *, rate: float, seconds: float) -> Iterator[Answered]:
    """Post `rate` orders a second for `seconds`, one after the other, at even intervals."""
    with Client(port) as client:
        begun = time.perf_counter()
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            client.send(path)
            while (body := client.receive()) is None:
                pass
            yield Answered(UUID(json.loads(body)["id"]), time.perf_counter())


class Client:
    """One connection that is kept, with one request at a time on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, path: str) -> None:
        """Ask for an order of one line, which can be paid."""
        body = b'{"items":[{"sku":"bench-%d","quantity":1}],"paymentMethod":"tok_visa"}' % _random.randrange(SKUS)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {UUID(int=_random.getrandbits(128))}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._received = b""
        self.socket.sendall(head.encode() + body)

    def receive(self) -> bytes | None:
        """Read what has come; return the answer's body once it is whole. Raises unless it is a 201."""
        received = self.socket.recv(65536)
        if not received:
            raise ConnectionError(f"the server hung up after {self._received[:300]!r}")
        self._received += received
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return None
        if not head.startswith(b"HTTP/1.1 201"):
            raise RuntimeError(f"answered {self._received[:500]!r}")
        return body
