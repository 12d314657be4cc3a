"""The statements that lock, open and move payments, a whole group at a time. What they write, others have decided."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from marketplace.kernel import bulk
from marketplace.kernel.arrays import Bigints, Booleans, Integers, Smallints, Texts, Uuids
from payments.models import Payment
from payments.selectors import VIEW_FIELDS, PaymentView
from payments.states import PaymentStatus, Standing

_LOCK: Final = f"""
SELECT {", ".join(VIEW_FIELDS)} FROM payments_payment WHERE {{column}} = ANY(%b) ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608 (constants of ours, no input)


def lock(ids: Iterable[UUID]) -> list[PaymentView]:
    """Lock these payments, oldest first, and return them as they are now. Attempts can still be written for them.

    Raises `TransactionManagementError` outside of a transaction.
    """
    return _locked("id", ids)


def lock_all_of(reference_ids: Iterable[UUID]) -> list[PaymentView]:
    """Do what `lock` does for all payments of these orders."""
    return _locked("reference_id", reference_ids)


def _locked(column: str, ids: Iterable[UUID]) -> list[PaymentView]:
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("Payments can only be locked inside a transaction.")
    with bulk.binding_cursor(binary=True) as cursor:
        cursor.execute(_LOCK.format(column=column), [Uuids(list(set(ids)))])
        return [PaymentView._make(row) for row in cursor.fetchall()]


# A payment comes into the world with the key by which its authorization is asked for, and with that call's attempt. But
# not where there is more to think about: the order has a payment already, or the key has been used. (Not by NOT EXISTS,
# which may be planned as a join that reads a whole index, while the table is small, and then be kept.)
_OPEN_AND_ASK: Final = """
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::smallint[], %b::text[], %b::bigint[], %b::text[], %b::text[],
        %b::int[]) AS g (id, reference_id, sequence, method, amount_minor, currency, key, number)
), opened AS (
    INSERT INTO payments_payment (id, reference_id, sequence, gateway, method, amount_minor, currency, status,
        authorization_key, gateway_reference, failure_code, failure_message, captured_minor, refunded_minor, created_at,
        updated_at)
    SELECT id, reference_id, sequence, %s, method, amount_minor, currency, 'PENDING', key, '', '', '', 0, 0, %s, %s
    FROM given
    WHERE (SELECT true FROM payments_payment AS p WHERE p.reference_id = given.reference_id LIMIT 1) IS NULL
        AND (SELECT true FROM payments_attempt AS a WHERE a.idempotency_key = given.key LIMIT 1) IS NULL
    ON CONFLICT (reference_id, sequence) DO NOTHING
    RETURNING id, authorization_key
)
INSERT INTO payments_attempt
    (payment_id, operation, idempotency_key, number, outcome, code, message, gateway_reference, started_at)
SELECT opened.id, 'AUTHORIZE', given.key, given.number, '', '', '', '', %s FROM opened JOIN given USING (id)
RETURNING payment_id, id
"""


class Opening(NamedTuple):
    """A payment that is to be opened and asked for at once; `number` is that of the attempt."""

    id: UUID
    reference_id: UUID
    sequence: int
    method: str
    amount_minor: int
    currency: str
    key: str
    number: int


def open_and_ask(openings: Sequence[Opening], *, gateway: str, now: datetime) -> dict[UUID, int]:
    """Open payments with their authorization key, and write its attempts; return the attempts by payment id.

    Left out of the answer, and nothing is written for them: orders that have a payment, and keys that have been used.
    """
    if not openings:
        return {}
    kinds = (Uuids, Uuids, Smallints, Texts, Bigints, Texts, Texts, Integers)
    columns = [kind(column) for kind, column in zip(kinds, zip(*openings, strict=True), strict=True)]
    with bulk.binding_cursor(binary=True) as cursor:
        cursor.execute(_OPEN_AND_ASK, [*columns, gateway, now, now, now])
        return dict(cursor.fetchall())


# An attempt keeps its first final answer. Only an answer that is news moves its payment.
NEWS: Final = (
    "(t.outcome = '' OR (t.outcome = 'UNKNOWN' AND d.outcome <> 'UNKNOWN')"
    " OR (t.outcome = 'PENDING' AND d.outcome IN ('DONE', 'REFUSED')))"
)

_FINISH_AND_MOVE: Final = f"""
WITH news AS (
    UPDATE payments_attempt AS t SET outcome = d.outcome, code = d.code, message = d.message,
        gateway_reference = d.reference, finished_at = %s
    FROM unnest(%b::bigint[], %b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bool[], %b::text[],
        %b::bigint[], %b::text[], %b::text[], %b::text[])
        AS d (id, payment_id, outcome, code, message, reference, moves, status, captured_minor, known_as, failure_code,
            failure_message)
    WHERE t.id = d.id AND {NEWS}
    RETURNING d.*
), moved AS (
    UPDATE payments_payment AS p SET status = news.status, captured_minor = news.captured_minor,
        gateway_reference = news.known_as, failure_code = news.failure_code, failure_message = news.failure_message,
        updated_at = %s
    FROM news WHERE news.moves AND p.id = news.payment_id
)
SELECT payment_id FROM news
"""  # noqa: S608 (constants of ours, no input)


class Finish(NamedTuple):
    """The answer to one call, and where its payment stands after it, should that be news."""

    attempt_id: int
    payment_id: UUID
    outcome: str
    code: str
    message: str
    reference: str
    moves: bool
    after: Standing


def finish_and_move(finishes: Sequence[Finish], *, now: datetime) -> set[UUID]:
    """Write answers onto their attempts and move the payments; return those (of the payments) to which it was news.

    For payments that are locked, with one answer each, and not to a refund.
    """
    if not finishes:
        return set()
    kinds: tuple[Any, ...] = (Bigints, Uuids, *[Texts] * 4, Booleans, Texts, Bigints, *[Texts] * 3)
    given = [
        (
            *f[:7],
            f.after.status,
            f.after.captured_minor,
            f.after.gateway_reference,
            f.after.failure_code,
            f.after.failure_message,
        )
        for f in finishes
    ]
    columns = [kind(column) for kind, column in zip(kinds, zip(*given, strict=True), strict=True)]
    with bulk.binding_cursor(binary=True) as cursor:
        cursor.execute(_FINISH_AND_MOVE, [now, *columns, now])
        return {row[0] for row in cursor.fetchall()}


def standing_of(payment: PaymentView) -> Standing:
    """Return what an answer can change about `payment`."""
    return Standing(
        status=PaymentStatus(payment.status),
        amount_minor=payment.amount_minor,
        captured_minor=payment.captured_minor,
        refunded_minor=payment.refunded_minor,
        gateway_reference=payment.gateway_reference,
        failure_code=payment.failure_code,
        failure_message=payment.failure_message,
        reversed_minor=payment.reversed_minor,
        dispute=payment.dispute,
    )


_MOVED: Final = ("status", "captured_minor", "refunded_minor", "gateway_reference", "failure_code", "failure_message")
SEEN: Final = (*_MOVED, "reversed_minor", "dispute")  # what no answer to a call moves, but a look at the gateway


def move(standings: Sequence[tuple[UUID, Standing]], *, now: datetime, fields: tuple[str, ...] = _MOVED) -> None:
    """Write `fields` of where these (locked) payments stand now."""
    moves = [(payment_id, *(getattr(standing, name) for name in fields), now) for payment_id, standing in standings]
    bulk.update(Payment, "id", (*fields, "updated_at"), moves)


def judge(judgements: Mapping[UUID, tuple[str, str]]) -> None:
    """Write what the gateway says of the risk of these (locked) payments, and where their cards were issued."""
    bulk.update(Payment, "id", ("risk", "card_country"), [(key, *told) for key, told in judgements.items()])


def as_it_stands(payment: PaymentView, standing: Standing, fields: tuple[str, ...] = _MOVED) -> PaymentView:
    """Return `payment` with `fields` as they are now."""
    return payment._replace(**{name: getattr(standing, name) for name in fields})
