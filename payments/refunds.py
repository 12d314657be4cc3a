"""Refunds as objects of their own: asked for by staff, by a saga, or found at the gateway.

    with transaction.atomic():
        refund = request(payment_id, …)               # PENDING, and nobody has been called yet
    with transaction.atomic():
        (call,) = begin([refund.id], keys=[key], numbers=[1], now=now)
    reply = services.send(call)                         # no transaction
    with transaction.atomic():
        services.record([(call, reply)], now=now)
        for done in untold([payment.reference_id], now=now): …

A saga that gives back all that is left asks by `services.begin`, which writes the object with its call. Why nothing is
given back twice: an object has one key at the gateway, and another one only once the gateway has said a final no to
that; what a gateway shows of a refund is recognised by that key, or by the gateway's own id of it, as the object that
is here already (`take_in`), whichever comes first, its answer or its webhook.

All of this needs the caller's transaction, and locks the payment first, then its refunds.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from marketplace.kernel import bulk
from marketplace.kernel.arrays import Uuids
from marketplace.kernel.ids import new_id
from marketplace.kernel.money import format_minor
from payments import journal, rows
from payments.errors import NothingToRefund, PaymentDisputed, RefundDiffers, RefundTooLarge, RefundUnderWay
from payments.gateways.base import Charge, Dispute, GivenBack
from payments.journal import Asked, GatewayCall
from payments.models import Refund
from payments.selectors import PaymentView, RefundView, refund_views
from payments.states import Operation, RefundSource, RefundStatus

AT_THE_DASHBOARD: Final = "Made at the payment provider."


class Requested(NamedTuple):
    """A refund that was asked for; `new` unless it had been already, by the same request."""

    refund: RefundView
    new: bool


def request(
    payment_id: UUID,
    *,
    amount_minor: int | None,
    refund_id: UUID,
    key: str,
    request_key: str,
    reason: str,
    actor: str,
    now: datetime,
) -> Requested:
    """Write down that a person wants `amount_minor` (minor units; None: all that is left) of a payment given back.

    `key` is the one for the gateway; `request_key` that of the request, which is written down once, however often it
    comes. Raises `NothingToRefund`, `RefundTooLarge`, `PaymentDisputed` where the bank decides about the money, and
    `RefundDiffers` if this request was about another amount or reason before.
    """
    (payment,) = rows.lock([payment_id])
    known = refund_views(Refund.objects.filter(payment_id=payment_id, request_key=request_key))
    if known:
        if (amount_minor or known[0].amount_minor, reason) != (known[0].asked_minor, known[0].reason):
            raise RefundDiffers(refund_id=str(known[0].id))
        return Requested(known[0], new=False)
    left = left_of(payment)
    if payment.dispute == Dispute.OPEN:
        raise PaymentDisputed
    if not payment.captured_minor or left <= 0:
        raise NothingToRefund
    amount = left if amount_minor is None else amount_minor
    if not 0 < amount <= left:
        told = f"{format_minor(left, payment.currency)} {payment.currency}"
        raise RefundTooLarge(f"Between nothing and {told} can be given back.", left=left)
    Refund.objects.create(
        id=refund_id,
        payment_id=payment_id,
        amount_minor=amount,
        asked_minor=amount,
        source=RefundSource.STAFF,
        idempotency_key=key,
        request_key=request_key,
        reason=reason,
        actor=actor,
        created_at=now,
        updated_at=now,
    )
    return Requested(refund_views(Refund.objects.filter(pk=refund_id))[0], new=True)


def lock_left(payment_ids: Collection[UUID]) -> dict[UUID, int]:
    """Lock these payments; return what can still be given back of each. It holds for the rest of the transaction."""
    return {payment.id: left_of(payment) for payment in rows.lock(payment_ids)}


def left_of(payment: PaymentView) -> int:
    """What can still be given back of a payment, in minor units: refunds that are under way count as given."""
    under_way = Refund.objects.filter(payment_id=payment.id, status=RefundStatus.PENDING).aggregate(
        sum=Sum("amount_minor")
    )
    taken = payment.captured_minor - payment.refunded_minor - payment.reversed_minor
    return taken - (under_way["sum"] or 0)


def begin(
    refund_ids: Sequence[UUID], *, keys: Sequence[str], numbers: Sequence[int], now: datetime
) -> list[GatewayCall | None]:
    """Write down the call that gives each refund's amount back, in the same order; None for one that is done already.

    A key is the object's own while that is under way; for one that the gateway has refused it has to be a new one, and
    the object is under way again. A number that was answered is not used again (see `services.begin`). It must be
    committed before `services.send`. Raises `IntegrityError` at the commit if one does not fit any more.
    """
    of = dict(Refund.objects.filter(pk__in=refund_ids).values_list("id", "payment_id"))
    payments = {payment.id: payment for payment in rows.lock(of.values())}
    locked = Refund.objects.select_for_update().filter(pk__in=refund_ids).order_by("id")
    refunds = {refund.id: refund for refund in locked}
    asked: dict[UUID, Asked] = {}
    for refund_id, key, number in zip(refund_ids, keys, numbers, strict=True):
        refund = refunds[refund_id]
        if refund.status == RefundStatus.DONE:
            continue
        asked[refund_id] = Asked(payments[refund.payment_id], key, number)
        if refund.idempotency_key != key:
            refund.status, refund.idempotency_key, refund.settled_at = RefundStatus.PENDING, key, None
            refund.updated_at = now
            refund.save(update_fields=["status", "idempotency_key", "settled_at", "updated_at"])
    attempts = journal.write_attempts(Operation.REFUND, list(asked.values()), now=now)
    calls = {
        refund_id: journal.call_for(Operation.REFUND, one, *attempts[one.key])._replace(
            amount_minor=refunds[refund_id].asked_minor
        )
        for refund_id, one in asked.items()
    }
    return [calls.get(refund_id) for refund_id in refund_ids]


_TAKE_UNTOLD: Final = """
UPDATE payments_refund AS r SET told_at = %s FROM (
    SELECT u.id FROM payments_refund AS u JOIN payments_payment AS p ON p.id = u.payment_id
    WHERE p.reference_id = ANY(%b) AND p.given_up_at IS NULL
        AND u.status = 'DONE' AND u.told_at IS NULL AND u.amount_minor > 0
    ORDER BY u.id FOR UPDATE OF u) AS untold
WHERE r.id = untold.id AND r.told_at IS NULL RETURNING r.id
"""


def untold(reference_ids: Collection[UUID], *, now: datetime) -> list[RefundView]:
    """Take the refunds of these orders that are done and that nobody was told of; from now on they count as told.

    Whoever gets them tells, in the same transaction: so each refund is told exactly once, by whomever it is seen. Not
    of a payment that was given up: what goes back of that is no refund of the order, and its news are told (`news`).
    """
    if not reference_ids:
        return []
    with bulk.binding_cursor() as cursor:
        cursor.execute(_TAKE_UNTOLD, [now, Uuids(sorted(reference_ids))])
        ids = [row[0] for row in cursor.fetchall()]
    return refund_views(Refund.objects.filter(pk__in=ids)) if ids else []


# --- what is seen at the gateway --------------------------------------------------------------------------------------


def take_in(payment: PaymentView, charge: Charge, *, total_minor: int, now: datetime) -> int:
    """Write down the refunds that `charge` shows, of which `total_minor` has been given back in all.

    Ours are recognised, and are done; what somebody made at the gateway's own dashboard becomes an object of its own.
    Returns how much of it that was, in minor units. Raises `RefundUnderWay` where the gateway does not tell them apart
    while one of ours has no answer: it may be that one. Needs the payment's lock.
    """
    known = list(Refund.objects.select_for_update().filter(payment_id=payment.id).order_by("id"))
    ours, theirs = _told_apart(known, charge.refunds)
    done = {refund.id: refund.amount_minor for refund in known if refund.status == RefundStatus.DONE}
    done |= {refund.id: made.amount_minor for refund, made in ours}
    if sum(done.values()) + sum(made.amount_minor for made in theirs) != total_minor:
        return _take_in_total(payment, known, total_minor=total_minor, now=now)
    for refund, made in ours:
        refund.status, refund.amount_minor, refund.gateway_reference = "DONE", made.amount_minor, made.reference
        refund.settled_at = refund.updated_at = now
        refund.failure_code = refund.failure_message = ""
        refund.save()
    for made in theirs:
        _import(payment, made, now=now)
    _expect_less(payment, now=now)
    return sum(made.amount_minor for made in theirs)


def _told_apart(
    known: Sequence[Refund], seen: Iterable[GivenBack]
) -> tuple[list[tuple[Refund, GivenBack]], list[GivenBack]]:
    """Of the refunds that are seen at the gateway: ours that are news with their objects, and those of others."""
    by_reference = {refund.gateway_reference: refund for refund in known if refund.gateway_reference}
    by_key = {refund.idempotency_key: refund for refund in known}
    ours, theirs = [], []
    for made in seen:
        refund = by_reference.get(made.reference) or by_key.get(made.key)
        if refund is None:
            theirs.append(made)
        elif refund.status != RefundStatus.DONE or not refund.amount_minor:
            ours.append((refund, made))
    return ours, theirs


def _import(payment: PaymentView, made: GivenBack, *, now: datetime) -> None:
    Refund.objects.create(
        payment_id=payment.id,
        amount_minor=made.amount_minor,
        asked_minor=made.amount_minor,
        status=RefundStatus.DONE,
        source=RefundSource.GATEWAY,
        idempotency_key=f"seen:{payment.id}:{made.reference}",
        gateway_reference=made.reference,
        reason=AT_THE_DASHBOARD,
        created_at=made.made_at,
        updated_at=now,
        settled_at=now,
    )


def _take_in_total(payment: PaymentView, known: Sequence[Refund], *, total_minor: int, now: datetime) -> int:
    """The gateway names no refunds, or not all: what is given back on top of what we know is one more."""
    amount = total_minor - payment.refunded_minor
    if amount <= 0:
        return 0
    if any(refund.status == RefundStatus.PENDING for refund in known):
        raise RefundUnderWay(payment_id=str(payment.id))
    Refund.objects.create(
        id=new_id(),
        payment_id=payment.id,
        amount_minor=amount,
        asked_minor=amount,
        status=RefundStatus.DONE,
        source=RefundSource.GATEWAY,
        idempotency_key=f"seen:{payment.id}:{total_minor}",
        reason=AT_THE_DASHBOARD,
        created_at=now,
        updated_at=now,
        settled_at=now,
    )
    return amount


def _expect_less(payment: PaymentView, *, now: datetime) -> None:
    """What gives back all that is left gives back less, now that others were faster."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE payments_refund AS t SET updated_at = %s, amount_minor = GREATEST(0, LEAST(t.amount_minor, (
                SELECT COALESCE(NULLIF(p.captured_minor, 0), p.amount_minor) - p.reversed_minor - COALESCE((
                    SELECT sum(o.amount_minor) FROM payments_refund AS o
                    WHERE o.payment_id = p.id AND o.id <> t.id AND o.status IN ('DONE', 'PENDING')), 0)
                FROM payments_payment AS p WHERE p.id = t.payment_id)))
            WHERE t.payment_id = %s AND t.status = 'PENDING' AND t.asked_minor IS NULL
            """,
            [now, payment.id],
        )
