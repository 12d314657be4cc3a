"""The sandbox gateway, with a look at PostgreSQL in some of its calls: is anything held for this order meanwhile?

The look asks for the locks of the order's own rows, and for the intent of this very call. What the worker's transaction
had not committed, it would not see; what that had locked, it would not get.
"""

import os
import threading
from functools import cache
from random import Random
from typing import Any

import psycopg

from payments.gateways.sandbox import client

SHARE = 0.2  # of the calls
PATIENCE = "150ms"  # less than the call takes: a lock that lasts as long as the call is not free by then

TABLE = "CREATE TABLE IF NOT EXISTS benchmark_look (held boolean NOT NULL); TRUNCATE benchmark_look"
_LOOK = """
SELECT 1 FROM payments_attempt AS a JOIN payments_payment AS p ON p.id = a.payment_id
JOIN orders_order AS o ON o.id = p.reference_id JOIN sagas_sagainstance AS s ON s.id = o.saga_id
WHERE a.idempotency_key = %s FOR UPDATE OF p, o, s
"""


class LookedAt:
    """Does what the sandbox's client does, but looks first: from here on the worker only waits for the call."""

    def __init__(self, gateway: Any) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._random = Random()  # noqa: S311 - which calls are looked at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    def authorize(self, **asked: Any) -> Any:
        self._look(asked["key"])
        return self._gateway.authorize(**asked)

    def capture(self, **asked: Any) -> Any:
        self._look(asked["key"])
        return self._gateway.capture(**asked)

    def _look(self, key: str) -> None:
        with self._lock:
            if self._random.random() > SHARE:
                return
            if self._connection is None:
                self._connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
                self._connection.execute(f"SET lock_timeout = '{PATIENCE}'")
            try:
                free = self._connection.execute(_LOOK, [key]).fetchone() is not None
            except psycopg.errors.LockNotAvailable:
                free = False
            self._connection.execute("INSERT INTO benchmark_look VALUES (%s)", [not free])


@cache
def from_settings() -> LookedAt:
    """Return the one there is."""
    return LookedAt(client.from_settings())
