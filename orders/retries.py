"""Trying again: a new order in the place of one that came to nothing, with everything filled in.

An order has at most one successor: the database says so (`orders_one_retry_each`), and it gets it under the lock of its
own row. So whoever presses twice, in one window or in two, from the page or from a mail, is led to the same new order.
Only once that one has come to nothing too can it have a successor of its own: the orders of one wish are a line, of
which no two are alive. Whoever wants the same things a second time orders them in the shop.

Money that comes late for the old order can't bring it back to life beside the new one: from now on it is unwanted, and
such money goes back.
"""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db import transaction

from marketplace.sagas import selectors as sagas
from orders import selectors
from orders.errors import NotRetryable, UnknownOrder
from orders.models import Order, Status
from orders.placing import NewOrder, place
from orders.selectors import OrderView
from orders.timeline import note

ENDED = (Status.FAILED, Status.CANCELLED)


@transaction.atomic
def try_again(order_id: UUID, wish: NewOrder, *, now: datetime) -> OrderView:
    """Place `wish` in the place of an order that came to nothing; if that was done before, answer that order as it is.

    Buyer and language are those of the old order, whatever `wish` says; prices and stock are today's. Locks the old
    order's row, in a transaction of its own or the caller's. Raises `UnknownOrder`, `NotRetryable` where the old order
    has not come to nothing (or may yet live, because money has come for it), and what `place` refuses.
    """
    old = Order.objects.select_for_update().filter(pk=order_id).first()
    if old is None:
        raise UnknownOrder
    successor = selectors.retry_of(order_id)
    if successor is not None:
        return selectors.order(successor)
    if old.status not in ENDED or (old.revival_id is not None and _is_looked_into(old.id)):
        raise NotRetryable(status=old.status)
    placed = place(replace(wish, user_id=old.user_id, language=old.language), now=now)
    Order.objects.filter(pk=placed.id).update(retry_of=old.id)
    Order.objects.filter(pk=old.id).update(failure_detail={**old.failure_detail, "unwanted": True}, updated_at=now)
    who = old.user_id or "guest"
    note(old.id, old.status, f"Tried again: {placed.number}.", who=who, now=now)
    note(placed.id, placed.status, f"In the place of {old.number}.", who=who, now=now)
    return replace(placed, retry_of=old.id)


def _is_looked_into(order_id: UUID) -> bool:
    """Whether a saga is at work on money that came for it."""
    return order_id in sagas.live_subjects([order_id])
