"""GET /metrics: the measures for Prometheus, taken from PostgreSQL when it asks.

They describe the shop and not the process, so every web process answers the same, and one of them is enough to scrape.
An answer is kept for `KEPT_SECONDS`, so that however many scrape, the database is asked once. No count reads more than
`counting.MOST_READ` rows of a kind: one that says so much means more than that.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from marketplace.kernel import counting
from marketplace.kernel.clock import database_now
from marketplace.operations import returns, selectors, unfinished
from marketplace.operations.selectors import DAY, HOUR
from marketplace.outbox import selectors as outbox
from marketplace.sagas import circuits, pausing, standby
from marketplace.sagas.models import Circuit
from orders.fraud import reviews
from orders.messages import selectors as messages

KEPT_SECONDS: Final = 5.0
PLAIN: Final = "text/plain; charset=utf-8"
HERE: Final = frozenset({"127.0.0.1", "::1"})
FORWARDED: Final = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"})

_OPENNESS: Final[Mapping[str, float]] = {"CLOSED": 0.0, "HALF_OPEN": 0.5, "OPEN": 1.0}
_RECENT: Final = f"began within the last hour, at most the newest {selectors.MOST_SAGAS}"
_COUNTED: Final = f"counted up to {counting.MOST_READ}"
_MEASURED: Final = f"{_RECENT}, those that ship orders aside"


class Shop(Collector):
    """The measures, freshly taken."""

    def collect(self) -> Iterator[Metric]:
        """Yield every metric. A ratio or duration of nothing is left out."""
        yield from _live_sagas()
        yield from _recent_sagas()
        yield from _standing_still()
        yield from _steps()
        yield from _orders_and_stock()
        yield from _reviews()
        yield from _returns()
        yield from _outbox()
        yield from _mails()


def _live_sagas() -> Iterator[Metric]:
    live = unfinished.live_sagas()
    yield _by("sagas_unfinished", f"Sagas that are not over, each status {_COUNTED}.", "status", live.by_status)
    yield _one(
        "sagas_stuck",
        f"Sagas that need a person: NEEDS_ATTENTION, or past their time; each status {_COUNTED}.",
        live.stuck,
    )
    yield _one(
        "sagas_due", f"Sagas that are due now and were not taken by a worker yet, each queue {_COUNTED}.", live.due
    )
    yield _one("sagas_due_oldest_seconds", "For how long the longest-waiting of them is due.", live.oldest_due_seconds)


def _standing_still() -> Iterator[Metric]:
    waiting = standby.waiting()
    standing = {reason: found.count for reason, found in waiting.items()}
    yield _by(
        "sagas_standing_by",
        f"Sagas that stand by, by what for (a breaker or a pause), each {_COUNTED}.",
        "reason",
        standing,
    )
    state = _family("circuit_open", "Whether calls stand by: 0 closed, 0.5 one call is trying, 1 open.", "circuit")
    failures = _family("circuit_failures", "Calls without an answer, one after the other, while closed.", "circuit")
    for one in circuits.views(waiting):
        state.add_metric([one.name], _OPENNESS[one.state])
        failures.add_metric([one.name], one.failures if one.state == Circuit.State.CLOSED else 0)
    yield from (state, failures)
    yield _by("pauses", "What a person has paused.", "what", {one.what: 1 for one in pausing.views(waiting)})


def _recent_sagas() -> Iterator[Metric]:
    recent = selectors.recent_sagas(window=HOUR)
    yield _by("recent_sagas", f"Sagas that {_MEASURED}.", "status", recent.by_status)
    ended = f"of the ended ones among sagas that {_MEASURED}"
    yield _one("saga_completion_ratio", f"Share that reached its goal, {ended}.", recent.completion_rate)
    yield _one("saga_compensation_ratio", f"Share that was undone, {ended}.", recent.compensation_rate)
    yield _one("saga_duration_mean_seconds", f"From start to end, of sagas that {_MEASURED}.", recent.mean_seconds)
    yield _one(
        "saga_duration_median_seconds", f"Half took at most so long, of sagas that {_MEASURED}.", recent.median_seconds
    )
    yield _one(
        "saga_duration_p95_seconds", f"95 % took at most so long, of sagas that {_MEASURED}.", recent.p95_seconds
    )


def _steps() -> Iterator[Metric]:
    about = f"of sagas that {_RECENT}"
    attempts = _family("step_attempts", f"Attempts by result, {about}.", "step", "direction", "result")
    failures = _family("step_failure_ratio", f"Share of attempts that met with trouble, {about}.", "step", "direction")
    duration = _family("step_duration_mean_seconds", f"Mean time an attempt took, {about}.", "step", "direction")
    for one in selectors.step_measures(window=HOUR):
        where = [one.step, one.direction]
        stopped = one.attempts - one.done - one.refused - one.failed
        for result, count in (
            ("done", one.done),
            ("refused", one.refused),
            ("failed", one.failed),
            ("stopped", stopped),
        ):
            attempts.add_metric([*where, result], count)
        failures.add_metric(where, one.failure_rate)
        duration.add_metric(where, one.mean_ms / 1000)
    yield from (attempts, failures, duration)


def _orders_and_stock() -> Iterator[Metric]:
    yield _by(
        "orders_open",
        f"Orders that are not confirmed and not ended yet, among those due next, each queue {_COUNTED}.",
        "status",
        unfinished.open_orders(),
    )
    shelves = selectors.shelves()
    yield _one("stock_units_held", f"Units held for orders under way, holds {_COUNTED}.", shelves.units_held)
    yield _one(
        "stock_skus_sold_out",
        f"SKUs for sale with no unit available, among the first {selectors.MOST_SKUS}.",
        shelves.sold_out,
    )


def _reviews() -> Iterator[Metric]:
    now = database_now()
    waiting = reviews.waiting()
    left = (waiting.first_deadline_at - now).total_seconds() if waiting.first_deadline_at else None
    yield _one("reviews_waiting", f"Orders that wait for a person to look at them, {_COUNTED}.", waiting.count)
    yield _one("reviews_time_left_seconds", "Until the first of them is rejected because nobody decided.", left)
    opened = reviews.counts(since=now - DAY)
    yield _by(
        "recent_reviews", "Reviews that were opened within the last day, by what became of them.", "status", opened
    )


def _returns() -> Iterator[Metric]:
    now = database_now()
    found = returns.open_returns(now=now)
    by_wait = {"decision": found.to_decide, "parcel": found.coming, "money": found.here}
    yield _by("returns_open", "Returns that are not over, by what they wait for.", "waits_for", by_wait)
    left = (found.decide_by - now).total_seconds() if found.decide_by else None
    yield _one("returns_time_left_seconds", "Until the first of them ends because nobody decided.", left)
    late = "Returns that are approved and not here, with more than half of their time gone."
    yield _one("returns_coming_long", late, found.coming_long)
    unpaid = (now - found.here_since).total_seconds() if found.here_since else None
    yield _one("returns_unpaid_seconds", "For how long a parcel is here and its money is not back.", unpaid)
    share = f"Share of the parcels delivered within 30 days, at most the newest {returns.MOST_PARCELS}, that come back."
    yield _one("return_ratio", share, returns.return_rate().share)


def _outbox() -> Iterator[Metric]:
    backlog = outbox.backlog()
    yield _one("outbox_unpublished", f"Events told and not published yet, each of 16 shards {_COUNTED}.", backlog.count)
    yield _one("outbox_oldest_seconds", "For how long the oldest of them has waited.", backlog.oldest_seconds)


def _mails() -> Iterator[Metric]:
    post = messages.post(now=database_now())
    yield _one("mails_waiting", f"Mails to buyers that are not sent yet, {_COUNTED}.", post.waiting)
    yield _one("mails_oldest_seconds", "For how long the oldest of them has waited.", post.oldest_seconds)
    yield _one("mails_failed", "Mails that were refused or given up within a day.", post.failed)


def _family(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"marketplace_{name}", words, labels=labels)


def _one(name: str, words: str, value: float | None) -> GaugeMetricFamily:
    family = _family(name, words)
    if value is not None:
        family.add_metric([], value)
    return family


def _by(name: str, words: str, label: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = _family(name, words, label)
    for value, count in sorted(values.items()):
        family.add_metric([value], count)
    return family


class _Kept:
    """The last answer, for as long as it is fresh. One thread at a time makes a new one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answer = b""
        self._until = 0.0

    def answer(self) -> bytes:
        with self._lock:
            if time.monotonic() >= self._until:
                registry = CollectorRegistry(auto_describe=False)
                registry.register(Shop())
                self._answer = generate_latest(registry)
                self._until = time.monotonic() + KEPT_SECONDS
            return self._answer

    def forget(self) -> None:
        """For tests: the next answer is a fresh one."""
        self._until = 0.0


kept: Final = _Kept()


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer Prometheus, or whoever may read what it reads; 503 when the database doesn't."""
    if not _may_read(request):
        words = "The metrics are for whoever has the METRICS_TOKEN, as a bearer.\n"
        return HttpResponse(words, status=401, content_type=PLAIN, headers={"WWW-Authenticate": "Bearer"})
    try:
        return HttpResponse(kept.answer(), content_type=CONTENT_TYPE_LATEST)
    except DatabaseError:
        return HttpResponse("The database does not answer.\n", status=503, content_type=PLAIN)


def _may_read(request: HttpRequest) -> bool:
    """Whether `request` has the METRICS_TOKEN; where none is set, whether it comes from this very machine."""
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}")
    passed_on = FORWARDED & {name.lower() for name in request.headers}
    return not passed_on and not settings.TRUSTED_PROXIES and request.META.get("REMOTE_ADDR") in HERE
