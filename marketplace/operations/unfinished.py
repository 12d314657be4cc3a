"""The sagas that are not over: how many, which of them need a person, and what of it waits for a worker.

There may be a million of them, parcels that wait to be packed, say. So nothing here reads them all: each question is
answered off an index, and counts end at `counting.MOST_READ`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now
from django.db.models.lookups import LessThan

from marketplace.kernel import counting
from marketplace.operations.diagnosis import of_saga
from marketplace.operations.subjects import orders_about
from marketplace.sagas import selectors as sagas
from marketplace.sagas.models import LATE_AT, TERMINAL, SagaInstance, Status
from orders.models import BEFORE_CONFIRMATION, MoneyCase
from orders.sagas.payment_case import PaymentCase
from orders.sagas.place_order import PlaceOrder

MOVING: Final = (Status.STARTED, Status.IN_PROGRESS, Status.COMPENSATING)
UNFINISHED: Final = ~Q(status__in=sorted(TERMINAL))
PARKED: Final = Q(status=Status.NEEDS_ATTENTION, acknowledged_at__isnull=True)


def stuck() -> Q:
    """Sagas that a person should look at: parked ones that nobody has acknowledged, and those that are late.

    Late is past their time, and waiting for nobody. Who stands by for a breaker or a pause is not late: what it waits
    for is told on its own.

    Their time is SAGA_TIMEOUT_SECONDS (5 minutes), not counting what was spent waiting for a buyer.
    """
    begun = Q(deadline_at__isnull=False) | Q(LessThan(LATE_AT, Now() - _allowed()))
    return PARKED | (UNFINISHED & Q(status__in=MOVING) & Q(LessThan(LATE_AT, Now())) & begun)


def _allowed() -> timedelta:
    return timedelta(seconds=settings.SAGA_TIMEOUT_SECONDS)


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


_BY_STATUS: Final = """
SELECT s.status, n.count FROM unnest(%s::text[]) AS s (status) CROSS JOIN LATERAL (
    SELECT count(*) AS count FROM (
        SELECT FROM sagas_sagainstance
        WHERE status = s.status AND NOT (status IN ('COMPLETED', 'FAILED', 'COMPENSATED')) LIMIT %s) AS read) AS n
WHERE n.count > 0
"""
_PARKED: Final = """
SELECT count(*) FROM (
    SELECT FROM sagas_sagainstance WHERE status = 'NEEDS_ATTENTION' AND acknowledged_at IS NULL LIMIT %s) AS read
"""
# Of each status those are read whose time was over first. Among them are some that nobody has worked on yet and that
# have begun a moment ago; they are thrown away, and count for the bound.
_LATE: Final = """
SELECT one.id, count(*) OVER () FROM unnest(%(moving)s::text[]) AS s (status) CROSS JOIN LATERAL (
    SELECT id, deadline_at, due.late_at FROM sagas_sagainstance CROSS JOIN LATERAL (
        SELECT CASE WHEN standby = '' THEN GREATEST(COALESCE(deadline_at, started_at), wait_until) END
        AS late_at) AS due
    WHERE status = s.status AND NOT (status IN ('COMPLETED', 'FAILED', 'COMPENSATED'))
      AND due.late_at < statement_timestamp()
    ORDER BY due.late_at LIMIT %(most)s) AS one
WHERE one.deadline_at IS NOT NULL OR one.late_at < statement_timestamp() - %(allowed)s
ORDER BY one.late_at LIMIT %(limit)s
"""


def live_sagas() -> LiveSagas:
    """Count the sagas that are not over, each of its numbers up to `counting.MOST_READ`. Five queries."""
    by_status = dict(_rows(_BY_STATUS, [[*MOVING, Status.NEEDS_ATTENTION], counting.MOST_READ]))
    [(parked,)] = _rows(_PARKED, [counting.MOST_READ])
    due = sagas.due()
    return LiveSagas(by_status, parked + _late(limit=1)[1], due.count, due.oldest_seconds)


def _late(*, limit: int) -> tuple[list[UUID], int]:
    """Return those that are late for longest, and how many are late."""
    values = {"moving": list(MOVING), "most": counting.MOST_READ, "allowed": _allowed(), "limit": limit}
    rows = _rows(_LATE, values)
    return [row[0] for row in rows], rows[0][1] if rows else 0


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


def needs_attention(*, limit: int, now: datetime) -> list[Attention]:
    """Return the stuck sagas: parked ones first, the longest-standing first. Four queries at most."""
    found = list(SagaInstance.objects.filter(PARKED).order_by("started_at")[:limit])
    if len(found) < limit:
        ids, _ = _late(limit=limit - len(found))
        late = SagaInstance.objects.in_bulk(ids)
        found += [late[id] for id in ids if id in late]
    orders = orders_about(saga.subject_id for saga in found)
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
        for saga in found
    ]


# By the sagas that place them, of each queue those that are due next: those that ship orders wait longer, and mostly in
# a queue of their own.
_OPEN: Final = """
WITH looked_at AS (
    SELECT one.id, one.name FROM unnest(%(queues)s::text[]) AS q (queue) CROSS JOIN LATERAL (
        SELECT id, name FROM sagas_sagainstance WHERE queue = q.queue AND due_at IS NOT NULL
        ORDER BY due_at LIMIT %(most)s) AS one
    UNION ALL
    (SELECT id, name FROM sagas_sagainstance WHERE status = 'NEEDS_ATTENTION' AND due_at IS NULL LIMIT %(most)s))
SELECT o.status, count(*) FROM looked_at CROSS JOIN LATERAL (
    SELECT status FROM orders_order WHERE saga_id = looked_at.id LIMIT 1) AS o
WHERE looked_at.name = %(name)s AND o.status = ANY(%(statuses)s) GROUP BY o.status
"""


def open_orders() -> Mapping[str, int]:
    """How many orders are not confirmed and not ended yet, by status; of each queue up to `counting.MOST_READ`."""
    values = {
        "queues": sagas.known_queues(), "most": counting.MOST_READ, "name": PlaceOrder.name,
        "statuses": list(BEFORE_CONFIRMATION),
    }  # fmt: skip
    return dict(_rows(_OPEN, values))


def _rows(statement: str, values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def cases_of(order_id: UUID) -> list[SagaInstance]:
    """The cases about an order that wait for a person's decision, the oldest first. Two queries."""
    subjects = [order_id, *MoneyCase.objects.filter(order=order_id).values_list("pk", flat=True)]
    waiting = SagaInstance.objects.filter(subject_id__in=subjects, status=Status.NEEDS_ATTENTION)
    return list(waiting.filter(name=PaymentCase.name).order_by("started_at"))
