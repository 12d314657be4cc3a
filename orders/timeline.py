"""The timeline of an order, for what is written onto it outside of a saga's own transaction."""

from datetime import datetime
from uuid import UUID

from orders.models import TimelineEntry


def note(order_id: UUID, status: str, why: str, *, who: str, now: datetime) -> None:
    """Put onto the timeline what happened to an order in `status` without changing that."""
    TimelineEntry.objects.create(order_id=order_id, from_status=status, to_status=status, who=who, why=why, at=now)
