"""The measures: how the shop is doing, for the dashboard, for health and for Prometheus, so that they all agree.

Each stays cheap however much history there is: what is recent is found by the time it began, and of it the newest are
looked at and no more. What is unfinished is `unfinished`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from marketplace.kernel import counting
from marketplace.sagas import circuits, pausing, standby
from marketplace.sagas.definition import Node
from marketplace.sagas.models import TERMINAL, Direction, Status
from orders.desk import FULFILLMENT
from orders.models import BEFORE_CONFIRMATION
from orders.sagas.place_order import PlaceOrder

MOST_SAGAS: Final = 5000
MOST_AN_HOUR: Final = 2000  # orders that are looked at of each hour
MOST_SKUS: Final = 20_000
DAY: Final = timedelta(hours=24)
HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RecentSagas:
    """The sagas that began within `window`, at most the newest `MOST_SAGAS` of them. Durations in seconds.

    Without those that ship orders: they take days, and of the few that end within a day most were stopped.
    """

    window: timedelta
    by_status: Mapping[str, int] = field(default_factory=dict)
    mean_seconds: float | None = None
    median_seconds: float | None = None
    p95_seconds: float | None = None

    @property
    def total(self) -> int:
        """How many were looked at."""
        return sum(self.by_status.values())

    @property
    def ended(self) -> int:
        """How many of them are over."""
        return sum(count for status, count in self.by_status.items() if status in TERMINAL)

    @property
    def mean_milliseconds(self) -> float | None:
        """Their mean duration, for people."""
        return None if self.mean_seconds is None else self.mean_seconds * 1000

    @property
    def median_milliseconds(self) -> float | None:
        """What half of them took at most, for people."""
        return None if self.median_seconds is None else self.median_seconds * 1000

    @property
    def p95_milliseconds(self) -> float | None:
        """What 95 % of them took at most, for people."""
        return None if self.p95_seconds is None else self.p95_seconds * 1000

    @property
    def completion_rate(self) -> float | None:
        """The share of the ended ones that reached their goal, 0 to 1."""
        return self._share(Status.COMPLETED)

    @property
    def compensation_rate(self) -> float | None:
        """The share of the ended ones that had to undo something, 0 to 1; cancelled orders are among them."""
        return self._share(Status.COMPENSATED)

    def _share(self, status: Status) -> float | None:
        return self.by_status.get(status, 0) / self.ended if self.ended else None


# The newest come first off the index `sagas_newest`; a busy day costs no more than a quiet one.
_RECENT: Final = """
WITH newest AS MATERIALIZED (
    SELECT status, extract(epoch FROM completed_at - started_at) AS seconds FROM sagas_sagainstance
    WHERE started_at >= statement_timestamp() - %s AND name <> %s ORDER BY started_at DESC LIMIT %s)
SELECT status, count(*), (SELECT avg(seconds) FROM newest)::float8,
       (SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY seconds) FROM newest)::float8[]
FROM newest GROUP BY status
"""


def recent_sagas(*, window: timedelta) -> RecentSagas:
    """Measure the sagas that began within `window`: from start to end, waits for a buyer included."""
    rows = _rows(_RECENT, [window, FULFILLMENT, MOST_SAGAS])
    if not rows:
        return RecentSagas(window)
    mean, percentiles = rows[0][2:]
    median, p95 = percentiles or (None, None)
    return RecentSagas(window, {row[0]: row[1] for row in rows}, mean, median, p95)


@dataclass(frozen=True, slots=True)
class StepMeasure:
    """One step, in one direction: attempts by how they ended, and how long they took, in milliseconds.

    `refused` is a business no (the card was declined). `failed` is trouble: no answer, unknown, tried again, parked.
    """

    step: str
    direction: str
    attempts: int
    done: int
    refused: int
    failed: int
    mean_ms: float
    p95_ms: float

    @property
    def failure_rate(self) -> float:
        """The share of attempts that met with trouble, 0 to 1."""
        return self.failed / self.attempts


_NODES: Final[Sequence[Node]] = PlaceOrder.steps
STEP_NAMES: Final = tuple(node.name for node in _NODES)  # in the order they run in
_STEPS: Final = """
WITH newest AS MATERIALIZED (
    SELECT id FROM sagas_sagainstance
    WHERE started_at >= statement_timestamp() - %s ORDER BY started_at DESC LIMIT %s)
SELECT h.step, h.direction, count(*), count(*) FILTER (WHERE h.status = 'DONE'),
       count(*) FILTER (WHERE h.status = 'REFUSED'),
       count(*) FILTER (WHERE h.status IN ('RETRY', 'UNKNOWN', 'UNAVAILABLE', 'PARKED')),
       avg(h.duration_ms)::float8, percentile_cont(0.95) WITHIN GROUP (ORDER BY h.duration_ms)::float8
FROM newest JOIN sagas_sagahistory AS h ON h.saga_id = newest.id
WHERE h.actor = '' AND h.status <> 'STANDBY'
GROUP BY h.step, h.direction ORDER BY h.step
"""


def step_measures(*, window: timedelta) -> list[StepMeasure]:
    """Measure every step of the sagas that began within `window`: forward ones first, in the order they run in."""
    found = [StepMeasure(*row) for row in _rows(_STEPS, [window, MOST_SAGAS])]
    return sorted(found, key=lambda one: (one.direction != Direction.FORWARD, _place(one.step)))


def _place(step: str) -> int:
    return STEP_NAMES.index(step) if step in STEP_NAMES else len(STEP_NAMES)


@dataclass(frozen=True, slots=True)
class StandsStill:
    """A breaker that is not closed, or a pause: since when, why, and how many sagas stand by for it."""

    what: str
    reason: str  # as sagas have it in `standby`
    since: datetime
    why: str
    waiting: int


def standing_still() -> list[StandsStill]:
    """Return every breaker that is not closed and every pause. Three queries, by partial indexes and tiny tables."""
    waiting = standby.waiting()
    breakers = [
        StandsStill(f"Breaker {one.name}", standby.circuit(one.name), one.opened_at, one.why, one.waiting)
        for one in circuits.views(waiting)
        if one.opened_at is not None
    ]
    pauses = [
        StandsStill(
            f"Paused: {standby.what_in_words(one.what)}",
            standby.pause(one.what),
            one.paused_at,
            f"{one.paused_by}: {one.reason}",
            one.waiting,
        )
        for one in pausing.views(waiting)
    ]
    return [*breakers, *pauses]


@dataclass(frozen=True, slots=True)
class Hour:
    """The orders of one hour, from `start` (UTC), by what became of them so far."""

    start: datetime
    confirmed: int = 0
    failed: int = 0
    cancelled: int = 0
    open: int = 0
    about: bool = False  # reckoned from a part of them

    @property
    def total(self) -> int:
        """All of them."""
        return self.confirmed + self.failed + self.cancelled + self.open


_HOURS: Final = """
SELECT h.start, n.total, n.failed, n.cancelled, n.open, n.first
FROM generate_series(%(first)s, %(last)s, interval '1 hour') AS h (start) CROSS JOIN LATERAL (
    SELECT count(*) AS total, count(*) FILTER (WHERE status = 'FAILED') AS failed,
           count(*) FILTER (WHERE status = 'CANCELLED') AS cancelled,
           count(*) FILTER (WHERE status = ANY(%(open)s)) AS open, min(created_at) AS first
    FROM (SELECT status, created_at FROM orders_order
          WHERE created_at >= h.start AND created_at < h.start + interval '1 hour'
          ORDER BY created_at DESC LIMIT %(most)s) AS newest) AS n
WHERE n.total > 0
"""


def orders_per_hour(*, now: datetime, hours: int = 24) -> list[Hour]:
    """Count the orders of the last `hours` hours, the one that runs included; the oldest hour first, none left out.

    Of each hour the last `MOST_AN_HOUR` orders are looked at; an hour of more is reckoned from how long these took.
    """
    last = now.replace(minute=0, second=0, microsecond=0)
    first = last - timedelta(hours=hours - 1)
    values = {"first": first, "last": last, "open": list(BEFORE_CONFIRMATION), "most": MOST_AN_HOUR}
    found = {}
    for start, total, failed, cancelled, still_open, since in _rows(_HOURS, values):
        counted = Hour(start, total - failed - cancelled - still_open, failed, cancelled, still_open)
        found[start] = (
            counted if total < MOST_AN_HOUR else _reckoned(counted, since=since, until=min(start + HOUR, now))
        )
    starts = [first + timedelta(hours=n) for n in range(hours)]
    return [found.get(start, Hour(start)) for start in starts]


def _reckoned(counted: Hour, *, since: datetime, until: datetime) -> Hour:
    """The hour up to `until`, of which what happened from `since` on was counted."""
    times = (until - counted.start) / max(until - since, timedelta(milliseconds=1))
    kinds = {kind: round(getattr(counted, kind) * times) for kind in ("confirmed", "failed", "cancelled", "open")}
    return Hour(counted.start, **kinds, about=True)


@dataclass(frozen=True, slots=True)
class Shelves:
    """Units held for orders under way, and of how many SKUs for sale how many have none left.

    `more_held`, `more_skus`: there are more, which were not looked at.
    """

    units_held: int
    skus: int
    sold_out: int
    more_held: bool = False
    more_skus: bool = False


# Read off the holds: an index of what is held of each SKU would be written with every order.
_HELD: Final = """
SELECT coalesce(sum(quantity), 0)::bigint, count(*) FROM (
    SELECT quantity FROM inventory_reservation WHERE state = 'HELD' LIMIT %s) AS read
"""
_SKUS: Final = """
SELECT count(*) FILTER (WHERE p.is_active), count(*) FILTER (WHERE p.is_active AND s.available = 0), count(*)
FROM (SELECT sku, is_active FROM inventory_product ORDER BY sku LIMIT %s) AS p CROSS JOIN LATERAL (
    SELECT available FROM inventory_stock WHERE sku = p.sku LIMIT 1) AS s
"""


def shelves() -> Shelves:
    """Sum up up to `counting.MOST_READ` holds, and the stock of what is for sale of the first `MOST_SKUS`."""
    [(held, holds)] = _rows(_HELD, [counting.MOST_READ])
    [(skus, sold_out, seen)] = _rows(_SKUS, [MOST_SKUS])
    return Shelves(held, skus, sold_out, more_held=holds > counting.MOST, more_skus=seen == MOST_SKUS)


def _rows(statement: str, values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
