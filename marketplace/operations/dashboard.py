"""The admin's first page: how the shop is doing, and what needs a person."""

from typing import Any, Final

from django.http import HttpRequest

from fulfillment import label_refunds, scanning
from marketplace.kernel import counting
from marketplace.kernel.clock import database_now
from marketplace.operations import chart, returns, selectors, unfinished
from marketplace.operations.health import MAIL_LATE_SECONDS
from marketplace.outbox import selectors as outbox
from orders.fraud import reviews
from orders.messages import selectors as messages

MOST_CASES: Final = 10
# The design's alarm levels.
COMPENSATION_RATE_LIMIT: Final = 0.10
STEP_FAILURE_LIMIT: Final = 0.05
LATE_SECONDS: Final = 60.0


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the measures to the index page's context. Two dozen queries, each of a bounded number of rows."""
    now = database_now()
    hours = selectors.orders_per_hour(now=now)
    recent = selectors.recent_sagas(window=selectors.DAY)
    coming_back = returns.open_returns(now=now)
    return {
        **context,
        "title": "Dashboard",
        "now": now,
        "hours": hours,
        "orders_today": sum(hour.total for hour in hours),
        "orders_this_hour": hours[-1].total,
        "about": any(hour.about for hour in hours),
        "chart": chart.draw(hours),
        "recent": recent,
        "statuses": [(status, recent.by_status.get(status, 0)) for status in _STATUSES],
        "too_many_undone": (recent.compensation_rate or 0) > COMPENSATION_RATE_LIMIT,
        "live": unfinished.live_sagas(),
        "steps": selectors.step_measures(window=selectors.DAY),
        "step_failure_limit": STEP_FAILURE_LIMIT,
        "cases": unfinished.needs_attention(limit=MOST_CASES, now=now),
        "reviews": reviews.pending(limit=MOST_CASES),
        "reviews_waiting": reviews.waiting().count,
        "returns": coming_back,
        "returns_urgent": coming_back.decision_is_urgent(now=now),
        "returns_unpaid": coming_back.money_is_late(now=now),
        "return_rate": returns.return_rate(),
        "standing": selectors.standing_still(),
        "shelves": selectors.shelves(),
        "backlog": outbox.backlog(),
        "post": messages.post(now=now),
        "labels_not_refunded": label_refunds.refused(since=now - label_refunds.RECENT)[: counting.MOST_READ].count(),
        "stuck_scans": scanning.stuck().order_by("id")[: counting.MOST_READ].count(),
        "mail_late_seconds": MAIL_LATE_SECONDS,
        "late_seconds": LATE_SECONDS,
        "most_sagas": selectors.MOST_SAGAS,
    }


_STATUSES: Final = (
    "STARTED",
    "IN_PROGRESS",
    "COMPENSATING",
    "NEEDS_ATTENTION",
    "COMPLETED",
    "COMPENSATED",
    "FAILED",
)
