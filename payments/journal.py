"""The record of every call to a gateway: written before it is made, finished when the answer is there.

Set-based, inside the transaction of `payments.services`, which holds the locks on the payments.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from marketplace.kernel import bulk
from marketplace.kernel.arrays import Integers, Texts, Uuids
from marketplace.kernel.ids import new_id
from payments.errors import KeyTaken
from payments.gateways.base import Outcome, Reply
from payments.models import Attempt, Refund
from payments.rows import NEWS
from payments.selectors import PaymentView
from payments.states import CODE_LENGTH, Operation, RefundStatus

_OPEN = frozenset({Outcome.UNKNOWN, Outcome.PENDING})  # a later answer may say more


class GatewayCall(NamedTuple):
    """One call that has been written down and may now be sent: all that `send` needs.

    `amount_minor` is None for a refund: all that is left of what was captured.
    """

    payment_id: UUID
    reference_id: UUID
    operation: Operation
    key: str
    authorization_key: str
    number: int
    attempt_id: int
    gateway: str
    method: str
    amount_minor: int | None
    currency: str
    gateway_reference: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What `begin` was asked about one order that has a payment."""

    payment: PaymentView
    key: str
    number: int
    why: "Why | None" = None


@dataclass(frozen=True, slots=True)
class Why:
    """Why money is given back, and who wants that: for the refund that is written down."""

    reason: str
    actor: str = ""


def call_for(operation: Operation, asked: Asked, attempt_id: int, number: int) -> GatewayCall:
    """Make the call whose attempt was written down as `number`."""
    payment = asked.payment
    return GatewayCall(
        payment_id=payment.id,
        reference_id=payment.reference_id,
        operation=operation,
        key=asked.key,
        authorization_key=asked.key if operation is Operation.AUTHORIZE else payment.authorization_key,
        number=number,
        attempt_id=attempt_id,
        gateway=payment.gateway,
        method=payment.method,
        amount_minor=None if operation is Operation.REFUND else payment.amount_minor,
        currency=payment.currency,
        gateway_reference=payment.gateway_reference,
    )


def write_attempts(operation: Operation, due: Sequence[Asked], *, now: datetime) -> dict[str, tuple[int, int]]:
    """Write one attempt for each that is due; return id and number by key."""
    if not due:
        return {}
    with bulk.binding_cursor(binary=True) as cursor:
        cursor.execute(
            """
            INSERT INTO payments_attempt AS t
                (payment_id, operation, idempotency_key, number, outcome, code, message, gateway_reference, started_at)
            SELECT d.payment_id, %s, d.key, GREATEST(d.number, 1 + COALESCE((
                    SELECT max(a.number) FROM payments_attempt a WHERE a.idempotency_key = d.key AND a.outcome <> ''
                ), 0)), '', '', '', '', %s
            FROM unnest(%b::uuid[], %b::text[], %b::int[]) AS d (payment_id, key, number)
            WHERE (
                SELECT true FROM payments_attempt a
                WHERE a.idempotency_key = d.key AND (a.payment_id <> d.payment_id OR a.operation <> %s) LIMIT 1
            ) IS NULL
            ON CONFLICT (idempotency_key, number) DO UPDATE SET started_at = t.started_at
            RETURNING idempotency_key, id, number
            """,
            [
                operation,
                now,
                Uuids([a.payment.id for a in due]),
                Texts([a.key for a in due]),
                Integers([a.number for a in due]),
                operation,
            ],
        )
        written = {key: (attempt_id, number) for key, attempt_id, number in cursor.fetchall()}
    for a in due:
        if a.key not in written:
            raise KeyTaken(key=a.key, payment_id=str(a.payment.id))
    return written


def expect_refunds(due: Sequence[Asked], *, now: datetime) -> None:
    """Write a PENDING refund for each key; of all of it, where the answer to the capture may have been lost."""
    others = _under_way(due)
    fields = ("id", "payment", "amount_minor", "status", "idempotency_key", "gateway_reference", "reason", "actor")
    bulk.insert(
        Refund,
        (*fields, "created_at", "updated_at"),
        [
            (
                *(new_id(), a.payment.id, max(0, _left(a.payment) - others.get(a.payment.id, 0))),
                *(RefundStatus.PENDING, a.key, "", *((a.why.reason, a.why.actor) if a.why else ("", "")), now, now),
            )
            for a in due
        ],
        on_conflict="(idempotency_key) DO UPDATE SET status = 'PENDING', updated_at = excluded.updated_at,"
        " amount_minor = excluded.amount_minor, settled_at = NULL WHERE payments_refund.status = 'FAILED'",
    )


def _left(payment: PaymentView) -> int:
    return (payment.captured_minor or payment.amount_minor) - payment.refunded_minor - payment.reversed_minor


def _under_way(due: Sequence[Asked]) -> dict[UUID, int]:
    """What other refunds of these payments are expected to give back, in minor units; most have none."""
    pending = Refund.objects.filter(payment__in=[a.payment.id for a in due], status=RefundStatus.PENDING)
    others = pending.exclude(idempotency_key__in=[a.key for a in due])
    return dict(others.values_list("payment_id").annotate(Sum("amount_minor")).order_by())


def finish_attempts(answers: Sequence[tuple[GatewayCall, Reply]], *, now: datetime) -> list[tuple[GatewayCall, Reply]]:
    """Write the outcomes down; return the answers that were news."""
    given: dict[int, tuple[GatewayCall, Reply]] = {}
    for call, reply in answers:
        if call.attempt_id not in given or given[call.attempt_id][1].outcome in _OPEN:
            given[call.attempt_id] = (call, reply)
    written = bulk.update(
        Attempt,
        "id",
        ("outcome", "code", "message", "gateway_reference", "finished_at"),
        [
            (attempt_id, reply.outcome, reply.code[:CODE_LENGTH], reply.message, reply.reference, now)
            for attempt_id, (_, reply) in given.items()
        ],
        only_if=NEWS,
    )
    return [given[attempt_id] for attempt_id in sorted(written)]


def finish_refunds(new: Sequence[tuple[GatewayCall, Reply]], *, now: datetime) -> dict[UUID, int]:
    """Write down what became of refunds; return, in minor units, all that was given back of each payment."""
    status = {
        Outcome.PENDING: RefundStatus.PENDING,
        Outcome.REFUSED: RefundStatus.FAILED,
        Outcome.DONE: RefundStatus.DONE,
    }
    answered = [(c, r) for c, r in new if c.operation is Operation.REFUND and r.outcome in status]
    rows = {  # one for each key, which keeps what was done
        call.key: (
            *(call.key, call.payment_id, status[reply.outcome], reply.amount_minor, reply.reference),
            *((reply.code[:CODE_LENGTH], reply.message) if reply.outcome is Outcome.REFUSED else ("", "")),
        )
        for call, reply in sorted(answered, key=lambda answer: answer[1].outcome is Outcome.DONE)
    }
    if not rows:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE payments_refund AS t SET
                status = d.status, gateway_reference = d.reference, updated_at = d.now,
                failure_code = d.failure_code, failure_message = d.failure_message,
                settled_at = CASE d.status WHEN 'PENDING' THEN NULL ELSE d.now END,
                amount_minor = CASE d.status WHEN 'DONE' THEN COALESCE(d.amount, t.amount_minor) ELSE t.amount_minor END
            FROM (SELECT *, %s::timestamptz AS now FROM unnest(%s::varchar[], %s::uuid[], %s::varchar[], %s::bigint[],
                %s::varchar[], %s::varchar[], %s::text[])
                AS given (key, payment_id, status, amount, reference, failure_code, failure_message)) AS d
            WHERE t.idempotency_key = d.key AND t.payment_id = d.payment_id
                AND (t.status <> 'DONE' OR (t.amount_minor = 0 AND d.status = 'DONE'))
            """,
            [now, *(list(column) for column in zip(*rows.values(), strict=True))],
        )
        cursor.execute(
            "SELECT payment_id, sum(amount_minor)::bigint FROM payments_refund"
            " WHERE payment_id = ANY(%s) AND status = 'DONE' GROUP BY payment_id",
            [[call.payment_id for call, _ in answered]],
        )
        return dict(cursor.fetchall())


def keep_pending(new: Sequence[tuple[GatewayCall, Reply]]) -> dict[UUID, tuple[str, str]]:
    """Write down what a gateway said that decides later; return reference and address for the buyer, by payment."""
    told = {
        call.payment_id: (reply.reference, reply.action_url)
        for call, reply in new
        if call.operation is Operation.AUTHORIZE and reply.outcome is Outcome.PENDING
    }
    if told:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE payments_payment AS t SET
                    gateway_reference = COALESCE(NULLIF(t.gateway_reference, ''), d.reference),
                    action_url = d.action_url
                FROM unnest(%s::uuid[], %s::varchar[], %s::text[]) AS d (id, reference, action_url) WHERE t.id = d.id
                """,
                [list(told), [reference for reference, _ in told.values()], [url for _, url in told.values()]],
            )
    return told


def watch(payment_ids: Collection[UUID], *, for_sure: bool, until: datetime, now: datetime) -> None:
    """Have the charges of these payments looked for until then; unless `for_sure`, only where an answer was lost."""
    if not payment_ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO payments_watchedkey AS t (payment_id, until, due_at, looks, created_at)
            SELECT over.id, %s, %s, 0, %s FROM unnest(%s::uuid[]) AS over (id)
            WHERE %s OR EXISTS (
                SELECT 1 FROM payments_attempt a
                WHERE a.payment_id = over.id AND a.operation = 'AUTHORIZE' AND a.outcome IN ('', 'UNKNOWN')
            )
            ON CONFLICT (payment_id) DO UPDATE SET due_at = LEAST(t.due_at, excluded.due_at), until = excluded.until
            """,
            [until, now, now, list(payment_ids), for_sure],
        )
