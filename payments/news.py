"""Passing on what was observed: to those who listen, each piece in a transaction of its own, oldest first.

Late money that none of them takes in hand, and any under a payment that was given up, is given back here: held money is
voided, captured money refunded. The calls have keys of their own, made of the piece of news, so it may be tried as
often as it takes, by anybody.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from payments import observations, services
from payments.gateways.base import Outcome, Reply
from payments.models import Attempt, Observation, Payment
from payments.observations import REFUNDED, VOIDED, Observed
from payments.selectors import views
from payments.states import HOLDING, NewsStatus, Operation, PaymentStatus

log = structlog.get_logger(__name__)

FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(minutes=15)
PATIENCE: Final = timedelta(hours=24)  # after that a person has to look at it


def pass_on(*, now: datetime, payment_id: UUID | None = None, limit: int = 100) -> int:
    """Go on with the news that are due (of one payment, or of all), at most `limit` of them; return how many.

    To be called outside of any transaction: giving money back takes calls to the gateway. What can't be done now is
    tried again after growing pauses; what fails for a day is parked for a person.
    """
    before = Observation.objects.filter(payment=OuterRef("payment"), id__lt=OuterRef("id"), status=NewsStatus.NEW)
    waiting = Q(status=NewsStatus.NEW) & Exists(before.filter(due_at__gt=now))  # for one that failed a moment ago
    due = Observation.objects.filter(due_at__lte=now).exclude(waiting)
    if payment_id is not None:
        due = due.filter(payment_id=payment_id)
    ids = list(due.order_by("id").values_list("id", flat=True)[:limit])
    return sum(_tell(one, now=now) + _undo(one, now=now) for one in ids)


def parked() -> QuerySet[Observation]:
    """The news that a person has to look at: they could not be told, or the money not given back, for a day."""
    return Observation.objects.filter(status=NewsStatus.PARKED)


def try_again(observation_id: int, *, actor: str, now: datetime) -> bool:
    """Have a parked piece of news tried once more; answer False where it is not parked any more.

    Money that was on its way back goes on going back, by the same key. If that fails again, it is parked again. Takes
    its own transaction.
    """
    with transaction.atomic():
        row = _take(observation_id, NewsStatus.PARKED, wait=True)
        if row is None:
            return False
        ways_back = Attempt.objects.filter(payment_id=row.payment_id, idempotency_key__contains=_key_of_way_back(row))
        row.status, row.due_at = (NewsStatus.UNDOING if ways_back.exists() else NewsStatus.NEW), now
        row.save(update_fields=["status", "due_at"])
    log.warning("payment_news_tried_again", observation=observation_id, actor=actor)
    return True


def _key_of_way_back(row: Observation) -> str:
    return f":late:{row.id}:"


def _tell(observation_id: int, *, now: datetime) -> int:
    """Tell one piece of news, unless somebody else does, or an earlier one of this payment is still to be told."""

    def work() -> int:
        row = _take(observation_id, NewsStatus.NEW)
        earlier = Observation.objects.filter(status=NewsStatus.NEW, id__lt=observation_id)
        if row is None or earlier.filter(payment_id=row.payment_id).exists():
            return 0
        observed = _observed(row)
        taken = observations.tell(observed)
        unwanted = not taken or observed.payment.given_up_at is not None  # its order has gone on to another payment
        if row.detail.get("late") and unwanted and observed.payment.status in HOLDING:
            _settle(row, NewsStatus.UNDOING, due_at=now)
        else:
            _settle(row, NewsStatus.TOLD)
        return 1

    return _try(observation_id, work, now=now)


def _undo(observation_id: int, *, now: datetime) -> int:
    """Give back late money that nobody wanted."""

    def work() -> int:
        with transaction.atomic():
            row = _take(observation_id, NewsStatus.UNDOING)
            if row is None:
                return 0
            payment = Payment.objects.get(pk=row.payment_id)
            operation, key = _way_back(payment, f"{payment.authorization_key}{_key_of_way_back(row)}")
            if payment.status in HOLDING:
                call = services.begin_for(operation, payment.id, key=key, number=row.tries + 1, now=now)
            else:
                call = None
            if call is None:  # it is gone, by whomever
                _settle(row, NewsStatus.UNDONE)
                return 1
            _count(row, now=now, error="")  # whoever comes in the meantime finds it not due
        reply = services.send(call)
        with transaction.atomic():
            row = _take(observation_id, NewsStatus.UNDOING, wait=True)  # before the payment, as whoever begins does
            services.record([(call, reply)], now=now)
            if row is not None:
                _given_back(row, operation, reply, now=now)
        return 1

    return _try(observation_id, work, now=now, atomic=False)


def _way_back(payment: Payment, key: str) -> tuple[Operation, str]:
    """Return by which operation, and key, money is given back; what turned out to be captured is not voided again."""
    void = f"{key}void"
    captured = Attempt.objects.filter(idempotency_key=void, outcome=Outcome.REFUSED).exists()
    if payment.status == PaymentStatus.AUTHORIZED and not captured:
        return Operation.VOID, void
    return Operation.REFUND, f"{key}refund"


def _given_back(row: Observation, operation: Operation, reply: Reply, *, now: datetime) -> None:
    if reply.outcome is not Outcome.DONE:
        row.last_error = f"{operation}: {reply.message or reply.code}"
        row.save(update_fields=["last_error"])
        _park_if_old(row, now=now)
        return
    payment = Payment.objects.get(pk=row.payment_id)
    _settle(row, NewsStatus.UNDONE)
    Observation.objects.create(
        payment_id=payment.id,
        event_id=f"undo:{row.id}",
        kind=VOIDED if operation is Operation.VOID else REFUNDED,
        detail={
            **row.detail,
            "before": row.detail["after"],
            "after": payment.status,
            "late": False,
            "by_bank": False,
            "amount_minor": reply.amount_minor or 0,
            "undoes": row.event_id,
        },
        occurred_at=now,
        due_at=now,
        created_at=now,
    )


def _try(observation_id: int, work: Callable[[], int], *, now: datetime, atomic: bool = True) -> int:
    """Do `work`; what it raises is put on record, and it is done again later."""
    try:
        if not atomic:
            return work()
        with transaction.atomic():
            return work()
    except Exception as error:
        log.exception("payment_news_failed", observation=observation_id)
        with transaction.atomic():
            row = Observation.objects.select_for_update().get(pk=observation_id)
            if row.due_at is not None:
                _count(row, now=now, error=f"{type(error).__name__}: {error}")
                _park_if_old(row, now=now)
        return 0


def _take(observation_id: int, status: NewsStatus, *, wait: bool = False) -> Observation | None:
    rows = Observation.objects.select_for_update(skip_locked=not wait).filter(pk=observation_id, status=status)
    return rows.first()


def _settle(row: Observation, status: NewsStatus, *, due_at: datetime | None = None) -> None:
    row.status, row.due_at, row.last_error, row.tries = status, due_at, "", 0
    row.save(update_fields=["status", "due_at", "last_error", "tries"])


def _count(row: Observation, *, now: datetime, error: str) -> None:
    """Count a try, and say when the next one is, should nothing be heard of this one."""
    row.tries, row.last_error = row.tries + 1, error or row.last_error
    row.due_at = now + min(FIRST_PAUSE * 2 ** min(row.tries - 1, 20), LONGEST_PAUSE)
    row.save(update_fields=["due_at", "last_error", "tries"])


def _park_if_old(row: Observation, *, now: datetime) -> None:
    """Leave to a person what has failed for so long: to be called after a try that did, not before one."""
    if now - row.created_at > PATIENCE:
        row.status, row.due_at = NewsStatus.PARKED, None
        row.save(update_fields=["status", "due_at"])
        log.error("payment_news_parked", observation=row.id, payment=str(row.payment_id), error=row.last_error)


def _observed(row: Observation) -> Observed:
    (payment,) = views(Payment.objects.filter(pk=row.payment_id))
    return Observed(
        payment.reference_id, payment.id, row.kind, payment, row.event_id, row.occurred_at, dict(row.detail)
    )
