"""The measures: how the shop is doing, for the dashboard, for health and for Prometheus, so that they all agree.

Each is one query that stays cheap however much history there is: what is unfinished is found by partial indexes, and
what is recent by the time it began, of which the newest `MOST_SAGAS` are looked at and no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Case, Count, DurationField, ExpressionWrapper, F, Min, Q, Sum, When
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import LessThan

from inventory.models import Stock
from marketplace.operations.diagnosis import of_saga
from marketplace.operations.subjects import orders_about
from marketplace.sagas import circuits, pausing, standby
from marketplace.sagas.definition import Node
from marketplace.sagas.models import TERMINAL, Direction, SagaInstance, Status
from orders.desk import FULFILLMENT
from orders.models import BEFORE_CONFIRMATION
from orders.sagas.place_order import PlaceOrder

MOST_SAGAS: Final = 5000
DAY: Final = timedelta(hours=24)
HOUR: Final = timedelta(hours=1)

UNFINISHED: Final = ~Q(status__in=sorted(TERMINAL))


def stuck() -> Q:
    """Sagas that a person should look at: parked ones that nobody has acknowledged, and those that are late.

    Late is past their time, and waiting for nobody. Who stands by for a breaker or a pause is not late: what it waits
    for is told on its own.

    Their time is SAGA_TIMEOUT_SECONDS (5 minutes), not counting what was spent waiting for a buyer.
    """
    allowed = timedelta(seconds=settings.SAGA_TIMEOUT_SECONDS)
    out_of_time = Q(LessThan(Coalesce(F("deadline_at"), F("started_at") + allowed), Now()))
    waits = Q(wait_until__gte=Now())
    parked = Q(status=Status.NEEDS_ATTENTION, acknowledged_at__isnull=True)
    moving = UNFINISHED & ~Q(status=Status.NEEDS_ATTENTION) & Q(standby="")
    return parked | (moving & out_of_time & ~waits)


@dataclass(frozen=True, slots=True)
class LiveSagas:
    """The sagas that are not over: how many by status; how many are stuck; what is due and was not taken yet."""

    by_status: Mapping[str, int]
    stuck: int
    due: int
    oldest_due_seconds: float

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.by_status.values())


def live_sagas() -> LiveSagas:
    """Count the sagas that are not over. By the partial index of unfinished sagas."""
    due = Q(due_at__lte=Now())
    age = ExpressionWrapper(Now() - Min("due_at", filter=due), output_field=DurationField())
    rows = (
        SagaInstance.objects.filter(UNFINISHED)
        .order_by()
        .values("status")
        .annotate(count=Count("pk"), stuck=Count("pk", filter=stuck()), due=Count("pk", filter=due), oldest=age)
    )
    found = list(rows)
    return LiveSagas(
        by_status={row["status"]: row["count"] for row in found},
        stuck=sum(row["stuck"] for row in found),
        due=sum(row["due"] for row in found),
        oldest_due_seconds=max((row["oldest"].total_seconds() for row in found if row["oldest"]), default=0.0),
    )


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
class Attention:
    """A stuck saga: where it stands and why, since when, and the order it is about, if it is one."""

    saga_id: UUID
    status: str
    step: str
    why: str
    started_at: datetime
    updated_at: datetime
    order_id: UUID | None
    order_number: str


_PARKED_FIRST: Final = Case(When(status=Status.NEEDS_ATTENTION, then=0), default=1)


def needs_attention(*, limit: int, now: datetime) -> list[Attention]:
    """Return the stuck sagas: parked ones first, the longest-standing first. Two queries."""
    sagas = list(SagaInstance.objects.filter(stuck()).order_by(_PARKED_FIRST, "started_at")[:limit])
    orders = orders_about(saga.subject_id for saga in sagas)
    return [
        Attention(
            saga_id=saga.id,
            status=saga.status,
            step=saga.current_step,
            why=saga.attention or of_saga(saga, last_message="", now=now).headline,
            started_at=saga.started_at,
            updated_at=saga.updated_at,
            order_id=orders[saga.subject_id].id if saga.subject_id in orders else None,
            order_number=orders[saga.subject_id].number if saga.subject_id in orders else "",
        )
        for saga in sagas
    ]


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

    @property
    def total(self) -> int:
        """All of them."""
        return self.confirmed + self.failed + self.cancelled + self.open


_HOURS: Final = """
SELECT date_trunc('hour', created_at, 'UTC') AS hour, count(*),
       count(*) FILTER (WHERE status = 'FAILED'), count(*) FILTER (WHERE status = 'CANCELLED'),
       count(*) FILTER (WHERE status = ANY(%s))
FROM orders_order WHERE created_at >= %s GROUP BY 1
"""


def orders_per_hour(*, now: datetime, hours: int = 24) -> list[Hour]:
    """Count the orders of the last `hours` hours, the one that runs included; the oldest hour first, none left out."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    first = this_hour - timedelta(hours=hours - 1)
    found = {}
    for start, total, failed, cancelled, still_open in _rows(_HOURS, [list(BEFORE_CONFIRMATION), first]):
        confirmed = total - failed - cancelled - still_open
        found[start] = Hour(start, confirmed, failed, cancelled, still_open)
    starts = [first + timedelta(hours=n) for n in range(hours)]
    return [found.get(start, Hour(start)) for start in starts]


# By their sagas: there are as many of these as orders under way, and an index of them.
_OPEN: Final = """
SELECT o.status, count(*) FROM sagas_sagainstance AS s JOIN orders_order AS o ON o.saga_id = s.id
WHERE s.status NOT IN ('COMPLETED', 'FAILED', 'COMPENSATED') AND o.status = ANY(%s) GROUP BY o.status
"""


def open_orders() -> Mapping[str, int]:
    """How many orders are not confirmed and not ended yet, by status."""
    return dict(_rows(_OPEN, [list(BEFORE_CONFIRMATION)]))


@dataclass(frozen=True, slots=True)
class Shelves:
    """Units held for orders under way, and how many SKUs for sale have none left."""

    units_held: int
    skus: int
    sold_out: int


def shelves() -> Shelves:
    """Sum up the stock of what is for sale."""
    row = Stock.objects.aggregate(
        units=Coalesce(Sum("reserved"), 0),
        skus=Count("pk", filter=Q(product__is_active=True)),
        sold_out=Count("pk", filter=Q(product__is_active=True, available=0)),
    )
    return Shelves(row["units"], row["skus"], row["sold_out"])


def _rows(statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found
