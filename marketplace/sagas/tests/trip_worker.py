"""What a real Celery worker imports to know the trip: `celery … -I marketplace.sagas.tests.trip_worker`.

There the world outside lives in tables, written on connections of their own: like a real provider, it keeps what it was
told whatever becomes of our transaction, or of our process.
"""

import os
import threading
import time
from typing import Any

import psycopg
from django.conf import settings

from marketplace.kernel import redis
from marketplace.sagas.tests import trip
from marketplace.sagas.ticket import Ticket

LATENCY_SECONDS = float(os.environ.get("TRIP_LATENCY_SECONDS", "0"))
NAME = os.environ.get("TRIP_WORKER", "worker")
CARDS = int(os.environ.get("TRIP_CARDS", "1000000"))  # so many are charged; whoever comes then waits, and waits
vars(redis).update(CONNECT_TIMEOUT_SECONDS=20.0, ANSWER_TIMEOUT_SECONDS=20.0)  # a busy Redis is not one that is gone


class TableWorld(trip.World):
    """The hotel and the bank, in tables."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def _ask(self, statement: str) -> int:
        self._run("SELECT 1")
        return int(self._local.line.execute(statement).fetchone()[0])

    def _run(self, statement: str, *parameters: Any) -> None:
        if not hasattr(self._local, "line"):
            to = settings.DATABASES["default"]
            self._local.line = psycopg.connect(
                host=to["HOST"],
                port=to["PORT"] or None,
                user=to["USER"],
                password=to["PASSWORD"] or None,
                dbname=to["NAME"],
                autocommit=True,
            )
        self._local.line.execute(statement, parameters)

    def act(self, what: str, ticket: Ticket) -> Any:
        self._run("INSERT INTO trips_log (what, saga_id, worker) VALUES (%s, %s, %s)", what, ticket.id, NAME)
        if what in {"hotel", "card"}:
            time.sleep(LATENCY_SECONDS)
        while what == "card" and self._ask("SELECT count(*) FROM trips_outside WHERE key LIKE '%:card'") >= CARDS:
            time.sleep(0.1)

    def book(self, key: str) -> None:
        self._run(
            "INSERT INTO trips_outside (key, state) VALUES (%s, 'booked')"
            " ON CONFLICT (key) DO UPDATE SET requests = trips_outside.requests + 1",
            key,
        )

    def cancel(self, key: str) -> None:
        self._run(
            "INSERT INTO trips_outside (key, state) VALUES (%s, 'cancelled')"
            " ON CONFLICT (key) DO UPDATE SET state = 'cancelled', requests = trips_outside.requests + 1",
            key,
        )


trip.world = TableWorld()
