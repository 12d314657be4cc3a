"""The one mail that no event calls for: a reservation that waits for its payment is about to end."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from inventory import selectors as inventory
from orders.messages.intake import Wanted, write_down
from orders.messages.models import Kind, Message
from orders.models import Order
from orders.models import Status as OrderStatus

AT_ONCE: Final = 1000  # orders a transaction


def ahead() -> timedelta:
    """How long before its end a buyer is reminded: as the setting says, but never in the first two thirds of a hold."""
    return timedelta(seconds=min(settings.RESERVATION_REMINDER_SECONDS, settings.RESERVATION_TTL_SECONDS / 3))


def remind(*, now: datetime) -> int:
    """Write down a reminder for each order whose hold ends soon and that waits for its buyer; return for how many.

    Once for an order, however often it is called: the row is unique. The holds are read off their index, chunk by
    chunk. Left alone are orders that are being paid for, as those of Buy Now are from the start, and those that may be
    paid anew after a decline: that mail has said until when. Takes its own transactions.
    """
    if not settings.RESERVATION_REMINDER_SECONDS:
        return 0
    count, after = 0, (now, UUID(int=0))
    while chunk := inventory.holds_ending(after=after, until=now + ahead(), limit=AT_ONCE):
        count += _remind([owner for _, owner in chunk], now=now)
        after = chunk[-1]
    return count


def _remind(order_ids: list[UUID], *, now: datetime) -> int:
    causes = {f"hold of {order_id}": order_id for order_id in order_ids}
    known = set(Message.objects.filter(cause__in=causes).values_list("cause", flat=True))
    told = set(
        Message.objects.filter(order_id__in=order_ids, kind=Kind.PAYMENT_FAILED).values_list("order_id", flat=True)
    )
    fresh = [order_id for cause, order_id in causes.items() if cause not in known and order_id not in told]
    waiting = Order.objects.filter(pk__in=fresh, status=OrderStatus.RESERVED, payment_method="")
    wanted = [Wanted(f"hold of {id_}", id_, Kind.EXPIRING) for id_ in waiting.values_list("id", flat=True)]
    with transaction.atomic():
        write_down(wanted, now=now)
    return len(wanted)
