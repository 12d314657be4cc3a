"""From what happened to whom it is to be told: a row for each event and recipient, and nothing is sent here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from marketplace.accounts.selectors import addresses_of
from marketplace.kernel.clock import database_now
from marketplace.outbox.envelope import CloudEvent
from orders.messages import bell
from orders.messages.kinds import kept, kind_of, patience
from orders.messages.models import Kind, Message, Status
from orders.models import Order


@dataclass(frozen=True, slots=True)
class Wanted:
    """A mail that something calls for; `cause` names what, always by the same words. It is not sent before `wait`."""

    cause: str
    order_id: UUID
    kind: Kind
    detail: Mapping[str, Any] = field(default_factory=dict)
    wait: timedelta = timedelta(0)


def take_in(events: Sequence[CloudEvent]) -> None:
    """Write down which mails `events` call for; those that are known already change nothing.

    Called by the outbox's relay, in its transaction, and so off every path that a buyer waits for.
    """
    wanted = [_wanted(event) for event in events]
    write_down([one for one in wanted if one is not None], now=database_now())


def _wanted(event: CloudEvent) -> Wanted | None:
    data = event["data"]
    kind = kind_of(event["type"], data)
    if kind is None:
        return None
    return Wanted(f"event {event['id']}", UUID(event["subject"]), kind, kept(data), wait=patience(kind))


def write_down(wanted: Sequence[Wanted], *, now: datetime) -> None:
    """Write a row for each of `wanted`, to the order's own address, or else to that of the buyer's account.

    What is about no order of ours is left out. A few statements for any number of them; needs the caller's transaction.
    Workers are rung for when it commits.
    """
    buyers = _buyers({one.order_id for one in wanted})
    rows = [
        _row(one, buyers[one.order_id], now=now + timedelta(microseconds=place))  # so that they are sent in this order
        for place, one in enumerate(wanted)
        if one.order_id in buyers
    ]
    if not rows:
        return
    Message.objects.bulk_create(rows, ignore_conflicts=True)
    if any(row.status == Status.WAITING for row in rows):
        transaction.on_commit(bell.ring)


@dataclass(frozen=True, slots=True)
class _Buyer:
    address: str
    language: str


def _buyers(order_ids: Iterable[UUID]) -> dict[UUID, _Buyer]:
    rows = list(Order.objects.filter(pk__in=list(order_ids)).values_list("id", "email", "user_id", "language"))
    of_accounts = addresses_of({user for _, email, user, _ in rows if user and not email})
    return {
        order_id: _Buyer(email or of_accounts.get(user, ""), language or settings.LANGUAGE_CODE)
        for order_id, email, user, language in rows
    }


def _row(wanted: Wanted, buyer: _Buyer, *, now: datetime) -> Message:
    known = bool(buyer.address)
    return Message(
        cause=wanted.cause,
        recipient=buyer.address,
        order_id=wanted.order_id,
        kind=wanted.kind,
        language=buyer.language,
        detail=dict(wanted.detail),
        status=Status.WAITING if known else Status.NO_RECIPIENT,
        outcome="" if known else "The buyer left no e-mail address.",
        due_at=now + wanted.wait if known else None,
        given_up_at=now + wanted.wait + timedelta(seconds=settings.MAIL_PATIENCE_SECONDS),
        created_at=now,
    )
