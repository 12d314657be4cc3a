"""Everything that changes a payment: open it, write down a call before it is made, make it, record what came back.

    with transaction.atomic():
        calls = begin(Operation.AUTHORIZE, order_ids, keys=keys, numbers=numbers, now=now)
    replies = [send(call) for call in calls if call is not None]        # no transaction, no locks, many at once
    with transaction.atomic():
        record(zip(calls, replies), now=now)

Why nobody is charged twice:

  * A payment has one authorization key, written down and committed before its first call, and no call with another one
    can be begun. For one key a gateway charges once, whoever sends it and however often.
  * What is being undone is not done later: a void leaves its mark, here and at the gateway, where an authorization that
    arrives after it is refused.
  * An order has one living payment. A second one can only be opened when the first was given up, and it is given up
    only when the bank has finally declined it or let go of it: both are decided under its lock, and the database
    refuses the second row otherwise (`one_payment_alive`). `give_up` is for good.
  * Of a payment that is given up nothing is ever taken: no authorization and no capture of it can be begun. Should its
    bank say yes after all (its key is watched, and webhooks come when they like), that is late money which goes back by
    itself, whoever else wants it (`payments.news`). So of two payments that both succeed, in either order, only the
    second is ever captured.

All but `send` work on whole groups in a constant number of statements (`payments.rows`, `payments.journal`) and need
the caller's transaction. They lock payments in the order of their ids, and lock nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import connection

from marketplace.kernel import bulk
from marketplace.kernel.ids import new_id, new_ids
from payments import gateways, journal, refunds, rows
from payments.errors import CallInsideTransaction, KeyTaken, PaymentDiffers, SightingOutdated
from payments.gateways.base import Outcome, Reply
from payments.giving_up import give_up
from payments.journal import Asked, GatewayCall, Why
from payments.models import Payment
from payments.observations import Observed, Sighting, write_down
from payments.probing import authorization_life, key_window, probe
from payments.selectors import PaymentView, views
from payments.states import (
    CODE_LENGTH,
    NOTHING_TO_DO,
    Operation,
    PaymentStatus,
    Standing,
    after,
    news,
    refunded,
    seen,
)

__all__ = [
    "GatewayCall",
    "NewPayment",
    "Operation",
    "PaymentView",
    "Why",
    "authorization_life",
    "begin",
    "begin_first",
    "begin_for",
    "give_up",
    "key_window",
    "observe",
    "open",
    "probe",
    "record",
    "send",
]


@dataclass(frozen=True, slots=True)
class NewPayment:
    """What is to be paid for the order `reference_id`, in minor units; `sequence` is 2 for a second try, and so on."""

    reference_id: UUID
    method: str
    amount_minor: int
    currency: str
    sequence: int = 1


def open(requests: Sequence[NewPayment], *, now: datetime) -> list[PaymentView]:
    """Make a PENDING payment for each request, through the gateway of the settings; answer in the same order.

    Idempotent by `reference_id` and `sequence`: a payment that exists is answered as it stands. Raises
    `PaymentDiffers` if it was opened with another method, amount or currency. Needs the caller's transaction.
    """
    fields = ("id", "reference_id", "sequence", "gateway", "method", "amount_minor", "currency", "status")
    empty = ("authorization_key", "gateway_reference", "failure_code", "failure_message")
    zero = ("captured_minor", "refunded_minor")
    gateway = settings.PAYMENT_GATEWAY
    common = (PaymentStatus.PENDING, "", "", "", "", 0, 0, now, now)
    bulk.insert(
        Payment,
        (*fields, *empty, *zero, "created_at", "updated_at"),
        [
            (new_id(), r.reference_id, r.sequence, gateway, r.method, r.amount_minor, r.currency, *common)
            for r in requests
        ],
        on_conflict="(reference_id, sequence) DO NOTHING",
    )
    wanted = Payment.objects.filter(reference_id__in={request.reference_id for request in requests})
    found = {(view.reference_id, view.sequence): view for view in views(wanted)}
    answers = [found[request.reference_id, request.sequence] for request in requests]
    for request, view in zip(requests, answers, strict=True):
        asked = (request.method, request.amount_minor, request.currency)
        if asked != (view.method, view.amount_minor, view.currency):
            raise PaymentDiffers(payment_id=str(view.id))
    return answers


def begin(
    operation: Operation | str,
    reference_ids: Sequence[UUID],
    *,
    keys: Sequence[str],
    numbers: Sequence[int],
    now: datetime,
    reasons: Sequence[Why | None] = (),
    known: Mapping[UUID, PaymentView] | None = None,
) -> list[GatewayCall | None]:
    """Write down one call for the living payment of each order, before it is made; answer in the same order.

    `keys` are the idempotency keys (at most 255 printable ASCII characters; for an authorization the one by which all
    later calls know it), `numbers` the attempts of each key, from 1. A number that has been answered already is not
    used again, the next free one is; one that nobody came back from is the same attempt. `reasons` says, of refunds,
    why and for whom. `known`: the latest payments of some of the orders, as `record` has answered them in this very
    transaction; they need not be locked again.

    None where there is nothing to do: there is no payment, or it was given up; the authorization was never asked for;
    the money is gone already, or never was (`payments.states.NOTHING_TO_DO`). A void of a payment that was never asked
    for makes it VOIDED there and then, and no authorization can be begun for it any more. What was declined is voided,
    given up or not, where its gateway leaves it open (`Gateway.declined_stays_open`).

    Raises `KeyTaken` for a key of another payment, and for a second authorization key of the same. Needs the caller's
    transaction, which must be committed before `send`.
    """
    operation, known = Operation(operation), known or {}
    others = [reference_id for reference_id in reference_ids if reference_id not in known]
    locked = rows.lock_all_of(others) if others else []
    latest = {**known, **{view.reference_id: view for view in sorted(locked, key=lambda view: view.sequence)}}
    asked = [
        Asked(payment, key, number, why)
        for reference_id, key, number, why in zip(
            reference_ids, keys, numbers, reasons or [None] * len(keys), strict=True
        )
        if (payment := latest.get(reference_id)) and (payment.given_up_at is None or _ends_declined(operation, payment))
    ]
    return _write_calls(operation, asked, keys, now=now)


def begin_first(
    requests: Sequence[NewPayment], *, keys: Sequence[str], numbers: Sequence[int], now: datetime
) -> list[GatewayCall | None]:
    """Do what `open`, and then `begin` of an authorization, do for orders that have no payment yet: in one statement.

    None, and nothing is written, where the order has a payment or the key was used: `open` and `begin` know what to do
    then. Raises `KeyTaken` for a key that is given twice. Needs the caller's transaction.
    """
    _check_distinct(keys)
    gateway = settings.PAYMENT_GATEWAY
    openings = [
        rows.Opening(payment_id, r.reference_id, r.sequence, r.method, r.amount_minor, r.currency, key, number)
        for payment_id, r, key, number in zip(new_ids(len(requests)), requests, keys, numbers, strict=True)
    ]
    attempts = rows.open_and_ask(openings, gateway=gateway, now=now)
    return [_first_call(o, gateway, attempts[o.id]) if o.id in attempts else None for o in openings]


def begin_for(
    operation: Operation | str, payment_id: UUID, *, key: str, number: int, now: datetime
) -> GatewayCall | None:
    """Do what `begin` does for one payment, which need not be the latest of its order.

    Of one that was given up, money can only be let go of or given back: None for all else.
    """
    back = (Operation.VOID, Operation.REFUND)
    payments = [p for p in rows.lock([payment_id]) if p.given_up_at is None or Operation(operation) in back]
    asked = [Asked(payment, key, number) for payment in payments]
    return _write_calls(Operation(operation), asked, [key], now=now)[0]


def _write_calls(
    operation: Operation, asked: Sequence[Asked], keys: Sequence[str], *, now: datetime
) -> list[GatewayCall | None]:
    _check_distinct(keys)
    due = [a for a in asked if _may(operation, a.payment)]
    attempts = journal.write_attempts(operation, due, now=now)
    match operation:
        case Operation.AUTHORIZE:
            _claim_authorization(due, now=now)
        case Operation.VOID:
            _void_unasked([a.payment for a in asked], now=now)
        case Operation.REFUND:
            journal.expect_refunds(due, now=now)
    calls = {a.key: journal.call_for(operation, a, *attempts[a.key]) for a in due}
    return [calls.get(key) for key in keys]


def send(call: GatewayCall) -> Reply:
    """Make the call: the only function here that uses the network, and it may take as long as its time-out.

    Raises `CallInsideTransaction` when a transaction is open in this thread. Whatever the network does is an UNKNOWN
    reply, never an exception.
    """
    if connection.in_atomic_block:
        raise CallInsideTransaction(f"{call.operation} {call.key}")
    gateway = gateways.gateway(call.gateway)
    match call.operation:
        case Operation.AUTHORIZE:
            return gateway.authorize(
                key=call.key,
                amount_minor=_amount(call),
                currency=call.currency,
                method=call.method,
                metadata={"reference_id": str(call.reference_id), "payment_id": str(call.payment_id)},
                return_url=settings.PAYMENT_RETURN_URL.replace("{order}", str(call.reference_id)),
            )
        case Operation.CAPTURE:
            return gateway.capture(
                key=call.key,
                authorization_key=call.authorization_key,
                reference=call.gateway_reference,
                amount_minor=_amount(call),
            )
        case Operation.VOID:
            return gateway.void(
                key=call.key, authorization_key=call.authorization_key, reference=call.gateway_reference
            )
        case Operation.REFUND:
            return gateway.refund(
                key=call.key,
                authorization_key=call.authorization_key,
                amount_minor=call.amount_minor,
                reference=call.gateway_reference,
            )


def record(answers: Iterable[tuple[GatewayCall, Reply]], *, now: datetime) -> list[PaymentView]:
    """Finish the attempts, move the payments, and answer how each now stands, in the order given.

    An attempt keeps its first final answer; an UNKNOWN may still become DONE or REFUSED. Only an answer that is new
    moves its payment, and only along `payments.states.MOVES`: recording one twice changes nothing, and one that comes
    too late (the authorization of a payment that was voided) stays on its attempt. Needs the caller's transaction.
    """
    answers = list(answers)
    payments = {view.id: view for view in rows.lock(call.payment_id for call, _ in answers)}
    if len(payments) == len(answers) and all(_is_plain(*answer) for answer in answers):
        return _judged(answers, _record_plain(answers, payments, now=now))
    return _judged(answers, _record_any(answers, payments, now=now))


def _judged(answers: Sequence[tuple[GatewayCall, Reply]], views: list[PaymentView]) -> list[PaymentView]:
    """Keep what the gateway says of the risk, where it says anything."""
    told = {
        call.payment_id: (reply.risk.value, reply.card_country[:2])
        for call, reply in answers
        if call.operation is Operation.AUTHORIZE and (reply.risk or reply.card_country)
    }
    if not told:
        return views
    rows.judge(told)
    return [
        view._replace(risk=told[view.id][0], card_country=told[view.id][1]) if view.id in told else view
        for view in views
    ]


def _is_plain(call: GatewayCall, reply: Reply) -> bool:
    """Whether nothing but the attempt and the payment itself can change."""
    return call.operation is not Operation.REFUND and reply.outcome is not Outcome.PENDING


def _record_plain(
    answers: Sequence[tuple[GatewayCall, Reply]], payments: Mapping[UUID, PaymentView], *, now: datetime
) -> list[PaymentView]:
    """Record one plain answer for each payment: in one statement."""
    finishes = []
    for call, reply in answers:
        before = rows.standing_of(payments[call.payment_id])
        standing = after(before, call.operation, reply, asked_minor=call.amount_minor)
        answer = (reply.outcome, reply.code[:CODE_LENGTH], reply.message, reply.reference)
        finishes.append(rows.Finish(call.attempt_id, call.payment_id, *answer, standing is not before, standing))
    news_of = rows.finish_and_move(finishes, now=now)
    new = [(call, reply) for call, reply in answers if call.payment_id in news_of]
    _watch(new, {finish.payment_id: finish.after for finish in finishes}, now=now)
    return [
        rows.as_it_stands(payments[finish.payment_id], finish.after)
        if finish.moves and finish.payment_id in news_of
        else payments[finish.payment_id]
        for finish in finishes
    ]


def _record_any(
    answers: Sequence[tuple[GatewayCall, Reply]], payments: dict[UUID, PaymentView], *, now: datetime
) -> list[PaymentView]:
    new = journal.finish_attempts(answers, now=now)
    for payment_id, (reference, action_url) in journal.keep_pending(new).items():
        payment = payments[payment_id]
        payments[payment_id] = payment._replace(
            gateway_reference=payment.gateway_reference or reference, action_url=action_url
        )
    standings = {payment_id: rows.standing_of(view) for payment_id, view in payments.items()}
    for call, reply in new:
        standing = standings[call.payment_id]
        standings[call.payment_id] = after(standing, call.operation, reply, asked_minor=call.amount_minor)
    _watch(new, standings, now=now)
    for payment_id, total in journal.finish_refunds(new, now=now).items():
        standings[payment_id] = refunded(standings[payment_id], total_minor=total)
    moved = [(i, standing) for i, standing in standings.items() if standing != rows.standing_of(payments[i])]
    rows.move(moved, now=now)
    return [rows.as_it_stands(payments[call.payment_id], standings[call.payment_id]) for call, _ in answers]


def _watch(new: Sequence[tuple[GatewayCall, Reply]], standings: Mapping[UUID, Standing], *, now: datetime) -> None:
    """Keep an eye on payments that are over, and whose authorization may yet land, or has (`payments.watch`)."""
    doubtful: dict[str, set[UUID]] = {}
    landed: dict[str, set[UUID]] = {}
    for call, reply in new:
        if standings[call.payment_id].status not in (PaymentStatus.VOIDED, PaymentStatus.FAILED):
            continue
        match call.operation, reply.outcome:
            case Operation.VOID, Outcome.DONE if reply.code == "nothing_to_void":
                doubtful.setdefault(call.gateway, set()).add(call.payment_id)
            case Operation.AUTHORIZE, Outcome.REFUSED if call.number > 1:
                doubtful.setdefault(call.gateway, set()).add(call.payment_id)
            case (Operation.AUTHORIZE, Outcome.DONE) | (Operation.VOID, Outcome.REFUSED):
                landed.setdefault(call.gateway, set()).add(call.payment_id)
    for gateway, payment_ids in doubtful.items():
        journal.watch(payment_ids, for_sure=False, until=now + key_window(gateway), now=now)
    for gateway, payment_ids in landed.items():
        journal.watch(payment_ids, for_sure=True, until=now + key_window(gateway), now=now)


def observe(sighting: Sighting, *, event_id: str, occurred_at: datetime, now: datetime) -> Observed | None:
    """Take in what the gateway was seen to believe: move the payment, and write the news for `observations.tell`.

    None when our books said so already: taking the same event in twice changes nothing. Locks the payment; needs the
    caller's transaction. Raises `SightingOutdated` if the payment was changed since it was read (an answer came in, so
    what was seen may be older than that: look again), and `RefundUnderWay`.
    """
    (payment,) = rows.lock([sighting.payment.id])
    updated_at = Payment.objects.values_list("updated_at", flat=True).get(pk=payment.id)
    if (payment, updated_at) != (sighting.payment, sighting.updated_at):
        raise SightingOutdated(payment_id=str(payment.id))
    if sighting.charge is None:
        return None
    before = rows.standing_of(payment)
    standing = seen(before, sighting.charge)
    kind = news(before, standing)
    by_others = 0
    if standing != before:
        rows.move([(payment.id, standing)], now=now, fields=rows.SEEN)
    if standing.refunded_minor > before.refunded_minor:
        total = standing.refunded_minor
        by_others = refunds.take_in(payment, sighting.charge, total_minor=total, now=now)
    told = (sighting.charge.risk or payment.risk, sighting.charge.card_country[:2] or payment.card_country)
    if told != (payment.risk, payment.card_country):
        rows.judge({payment.id: told})
        payment = payment._replace(risk=told[0], card_country=told[1])
    if not kind:
        return None
    moved = rows.as_it_stands(payment, standing, rows.SEEN)
    return write_down(
        kind,
        moved,
        before,
        event_id=event_id,
        occurred_at=occurred_at,
        now=now,
        given_back_by_others=by_others > 0,
    )


def _check_distinct(keys: Sequence[str]) -> None:
    if len(set(keys)) != len(keys):
        raise KeyTaken


def _may(operation: Operation, payment: PaymentView) -> bool:
    asked_for = operation is Operation.AUTHORIZE or bool(payment.authorization_key)
    due = payment.status not in NOTHING_TO_DO[operation] or _ends_declined(operation, payment)
    return asked_for and due


def _ends_declined(operation: Operation, payment: PaymentView) -> bool:
    """Whether it is a void of what the bank has declined, and its gateway would let the buyer complete all the same."""
    if operation is not Operation.VOID or payment.status != PaymentStatus.FAILED or payment.captured_minor:
        return False  # what was captured and FAILED was taken back by the bank
    return gateways.gateway(payment.gateway).declined_stays_open


def _claim_authorization(due: Sequence[Asked], *, now: datetime) -> None:
    """Give each payment its one authorization key, for ever."""
    for a in due:
        if a.payment.authorization_key not in {"", a.key}:
            raise KeyTaken(key=a.key, payment_id=str(a.payment.id))
    fresh = [(a.payment.id, a.key, now) for a in due if not a.payment.authorization_key]
    bulk.update(Payment, "id", ("authorization_key", "updated_at"), fresh)


def _void_unasked(payments: Iterable[PaymentView], *, now: datetime) -> None:
    """Close the payments that no gateway has heard of, so that none ever will."""
    unasked = [
        (payment.id, PaymentStatus.VOIDED, now)
        for payment in payments
        if not payment.authorization_key and payment.status == PaymentStatus.PENDING
    ]
    bulk.update(Payment, "id", ("status", "updated_at"), unasked)


def _first_call(opening: rows.Opening, gateway: str, attempt_id: int) -> GatewayCall:
    return GatewayCall(
        payment_id=opening.id,
        reference_id=opening.reference_id,
        operation=Operation.AUTHORIZE,
        key=opening.key,
        authorization_key=opening.key,
        number=opening.number,
        attempt_id=attempt_id,
        gateway=gateway,
        method=opening.method,
        amount_minor=opening.amount_minor,
        currency=opening.currency,
        gateway_reference="",
    )


def _amount(call: GatewayCall) -> int:
    if call.amount_minor is None:
        raise ValueError(f"{call.operation} {call.key} has no amount")
    return call.amount_minor
