"""What was told about an order, and how far behind the post is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Case, Count, Min, Q, When

from marketplace.kernel import counting
from orders.messages.models import Message, Status

RECENT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Post:
    """How the post is: mails that wait; for how many seconds the oldest is due; given up within a day."""

    waiting: int
    oldest_seconds: float
    failed: int


def post(*, now: datetime) -> Post:
    """Measure the post by the mails that are due first, and the latest that failed, up to `counting.MOST_READ` each.

    Two queries, by the partial indexes of what waits and what failed.
    """
    next_ones = Message.objects.filter(due_at__isnull=False).order_by("due_at", "id")[: counting.MOST_READ]
    since = Case(When(tries=0, then="due_at"), default="created_at")  # some are to wait for a while
    waiting = next_ones.aggregate(count=Count("pk"), oldest=Min(since))
    latest = Message.objects.filter(status=Status.FAILED).order_by("-id")[: counting.MOST_READ]
    failed = latest.aggregate(count=Count("pk", filter=Q(given_up_at__gte=now - RECENT)))["count"]
    oldest = (now - waiting["oldest"]).total_seconds() if waiting["oldest"] else 0.0
    return Post(waiting=waiting["count"], oldest_seconds=max(oldest, 0.0), failed=failed)


def messages_of(order_id: UUID) -> list[Message]:
    """Return every mail about an order, the first one first."""
    return list(Message.objects.filter(order_id=order_id).order_by("created_at", "id"))
