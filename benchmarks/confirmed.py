"""Hearing that an order is confirmed at the moment its transaction commits, without asking again and again."""

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg

_SET_UP = """
CREATE OR REPLACE FUNCTION benchmark_confirmed() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('benchmark_confirmed', NEW.id::text); RETURN NULL; END $$;
CREATE TRIGGER benchmark_confirmed AFTER UPDATE ON orders_order FOR EACH ROW
    WHEN (NEW.status = 'CONFIRMED' AND OLD.status <> 'CONFIRMED') EXECUTE FUNCTION benchmark_confirmed();
"""
_TAKE_DOWN = "DROP TRIGGER benchmark_confirmed ON orders_order; DROP FUNCTION benchmark_confirmed()"
PATIENCE_SECONDS = 30.0


class Confirmations:
    """When (`time.perf_counter`) each order was confirmed."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        self.at: dict[UUID, float] = {}
        self._stop = threading.Event()
        self._connection = connection
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def wait_for(self, orders: Collection[UUID]) -> None:
        """Wait until all of `orders` are confirmed; raises TimeoutError."""
        until = time.monotonic() + PATIENCE_SECONDS
        while missing := [order for order in orders if order not in self.at]:
            if time.monotonic() > until:
                raise TimeoutError(f"{len(missing)} orders are not confirmed")
            time.sleep(0.05)

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join()

    def _listen(self) -> None:
        self._connection.execute("LISTEN benchmark_confirmed")
        while not self._stop.is_set():
            for told in self._connection.notifies(timeout=0.2):
                self.at[UUID(told.payload)] = time.perf_counter()


@contextmanager
def listening(url: str) -> Iterator[Confirmations]:
    """Listen for as long as the block lasts."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_SET_UP)  # type: ignore[arg-type]
        confirmations = Confirmations(connection)
        try:
            yield confirmations
        finally:
            confirmations.close()
            connection.execute(_TAKE_DOWN)
