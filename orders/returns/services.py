"""Asking for a return, deciding about it, and saying what came back. Each tells the saga; only the saga moves it.

One winner, whoever comes at once. Of an approval, a rejection and a withdrawal the first one is stored under the saga's
row lock, and the others are told so; of a decision, or a receipt, and its deadline, what came first by the database's
clock. Pressing twice is pressing once. Rows are locked in one order: the saga, then the return; a request, which has no
saga yet, locks the order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from django.conf import settings
from django.db import transaction

from marketplace.kernel.ids import new_id
from marketplace.outbox.services import append
from marketplace.sagas import services as sagas
from orders import events
from orders.errors import ReasonMissing, UnknownOrder
from orders.models import Order, Status
from orders.returns import selectors, telling
from orders.returns.errors import (
    NotDelivered,
    NothingChosen,
    NotReturnable,
    ReturnDecided,
    ReturnNotApproved,
    ReturnOver,
    ReturnReceived,
    ReturnTermOver,
    ReturnUnderWay,
    UnknownReturn,
    WrongReceipt,
)
from orders.returns.models import OPEN, Return, ReturnLine, Verdict
from orders.returns.selectors import ReturnView
from orders.sagas.return_order import ReturnOrder
from orders.timeline import note

MAY_DECIDE: Final = "orders.change_return"  # the permission of staff who approve, reject and receive
LONGEST_REASON: Final = 1000  # characters


@dataclass(frozen=True, slots=True)
class Back:
    """What came back of one line: units that can be sold again, and units that can't."""

    restocked: int = 0
    written_off: int = 0


@transaction.atomic
def request(order_id: UUID, *, lines: Mapping[str, int], reason: str, actor: str, now: datetime) -> ReturnView:
    """Ask for a return of `lines` (units by SKU) of a delivered order, and start its saga.

    `actor` is the buyer's username, empty for a guest. Raises `UnknownOrder`, `ReasonMissing`, `NothingChosen`,
    `NotDelivered`, `ReturnTermOver`, `ReturnUnderWay`, and `NotReturnable` with the SKU and how many are `left`. Takes
    its own transaction, or the caller's; locks the order.
    """
    reason = " ".join(reason.split())[:LONGEST_REASON]
    order = Order.objects.select_for_update().filter(pk=order_id).first()
    if order is None:
        raise UnknownOrder
    _check(order, lines, reason, now)
    wanted = [(line, lines[line.sku]) for line in selectors.returnable(order_id) if line.sku in lines]
    answer_by = now + timedelta(days=settings.RETURN_ANSWER_DAYS)
    row = Return.objects.create(
        order=order,
        sequence=Return.objects.filter(order_id=order_id).count() + 1,
        saga_id=new_id(),
        reason=reason,
        requested_by=actor or "guest",
        requested_at=now,
        answer_by=answer_by,
    )
    ReturnLine.objects.bulk_create(
        ReturnLine(
            request=row, position=at, sku=line.sku, product_name=line.product_name, quantity=units,
            price_minor=line.price_minor,
        )
        for at, (line, units) in enumerate(wanted)
    )  # fmt: skip
    view = selectors.views([row])[0]
    what = ", ".join(f"{units} x {line.product_name}" for line, units in wanted)
    note(order_id, order.status, f"Return {view.number} is asked for, {what}: {reason}", who=view.requested_by, now=now)
    sagas.start(ReturnOrder, [sagas.Start(id=row.saga_id, subject_id=row.id)], now=now)
    started = events.about(order, "SAGA_STARTED", {"return_id": row.id}, saga_id=row.saga_id)
    append([started, telling.event(order, view)], now=now)
    return view


def _check(order: Order, lines: Mapping[str, int], reason: str, now: datetime) -> None:
    """Raise unless these units of a locked order can be returned now."""
    if order.status != Status.DELIVERED:
        raise NotDelivered(status=order.status)
    until = selectors.term_ends_at(order.id)
    if until is None or now > until:
        raise ReturnTermOver(until=until.isoformat() if until else None)
    known = Return.objects.filter(order_id=order.id, status__in=OPEN).values_list("sequence", flat=True).first()
    if known is not None:
        raise ReturnUnderWay(number=selectors.number_of(order.number, known))
    if not reason:
        raise ReasonMissing
    if not lines:
        raise NothingChosen
    left = {line.sku: line.left for line in selectors.returnable(order.id)}
    for sku, units in lines.items():
        if units < 1:
            raise NothingChosen(sku=sku)
        if units > left.get(sku, 0):
            raise NotReturnable(_left_of(left.get(sku, 0)), sku=sku, asked=units, left=left.get(sku, 0))


def _left_of(units: int) -> str:
    return f"Only {units} of this can be returned." if units else "None of this can be returned."


def withdraw(return_id: UUID, *, actor: str, now: datetime) -> ReturnView:
    """The buyer thinks better of it, as long as nobody has decided. Raises what `decide` does."""
    return _decide(return_id, Verdict.WITHDRAWN, actor=actor or "guest", reason="", now=now)


def decide(
    return_id: UUID, verdict: Literal["APPROVED", "REJECTED"], *, actor: str, reason: str, now: datetime
) -> ReturnView:
    """Approve a return, or reject it; the buyer reads the `reason` of a rejection.

    Raises `ReasonMissing`, `UnknownReturn`, `ReturnDecided` where somebody else was first, and `ReturnOver` where its
    time ran out. Takes its own transaction; locks the saga, then the return.
    """
    reason = " ".join(reason.split())[:LONGEST_REASON]
    if not reason:
        raise ReasonMissing
    return _decide(return_id, Verdict(verdict), actor=actor, reason=reason, now=now)


@transaction.atomic
def _decide(return_id: UUID, verdict: Verdict, *, actor: str, reason: str, now: datetime) -> ReturnView:
    receipt = sagas.signal(_saga_of(return_id), "approval", signal_id="decision")
    row = _lock(return_id)
    if row.verdict:
        if (row.verdict, row.decided_by) == (verdict, actor):
            return selectors.get(return_id)  # pressed twice
        raise ReturnDecided(verdict=row.verdict, by=row.decided_by)
    if not receipt.accepted:
        raise ReturnOver(status=row.status)
    row.verdict, row.decided_by, row.decided_at, row.decision_reason = verdict, actor, now, reason
    row.save(update_fields=["verdict", "decided_by", "decided_at", "decision_reason"])
    return selectors.get(return_id)


@transaction.atomic
def receive(return_id: UUID, *, back: Mapping[str, Back], reason: str, actor: str, now: datetime) -> ReturnView:
    """Say what came back, by SKU, and in which condition; `reason` is a note about it, for staff and the timeline.

    Units that came back are paid for in either condition; those that can be sold again go onto the shelf. If none is
    worth anything (the parcel was empty, or had something else in it) the return is rejected. Raises `ReasonMissing`,
    `UnknownReturn`, `WrongReceipt`, `ReturnNotApproved`, `ReturnReceived` and `ReturnOver`. Takes its own transaction;
    locks the saga, then the return.
    """
    reason = " ".join(reason.split())[:LONGEST_REASON]
    if not reason:
        raise ReasonMissing
    saga_id = _saga_of(return_id)
    receipt = sagas.signal(saga_id, "receipt", signal_id="receipt")
    row = _lock(return_id)
    if row.received_at is not None:
        raise ReturnReceived(by=row.received_by)
    if row.verdict != Verdict.APPROVED:
        raise ReturnNotApproved(status=row.status)
    if not receipt.accepted:
        raise ReturnOver(status=row.status)
    lines = {line.sku: line for line in row.lines.all()}
    for sku, came in back.items():
        line = lines.get(sku)
        if line is None or min(came.restocked, came.written_off) < 0:
            raise WrongReceipt(sku=sku)
        if came.restocked + came.written_off > line.quantity:
            raise WrongReceipt(f"At most {line.quantity} of {sku} were to come back.", sku=sku, most=line.quantity)
        line.restocked, line.written_off = came.restocked, came.written_off
        line.save(update_fields=["restocked", "written_off"])
    row.received_by, row.received_at, row.receipt_note = actor, now, reason
    row.save(update_fields=["received_by", "received_at", "receipt_note"])
    return selectors.get(return_id)


def _saga_of(return_id: UUID) -> UUID:
    saga_id = Return.objects.filter(pk=return_id).values_list("saga_id", flat=True).first()
    if saga_id is None:
        raise UnknownReturn
    return saga_id


def _lock(return_id: UUID) -> Return:
    return Return.objects.select_for_update().get(pk=return_id)
