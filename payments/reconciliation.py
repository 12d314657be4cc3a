"""Reconciliation: comparing our books with a gateway's own list, and a case for each difference.

A case is one difference that somebody has to settle: `settle` does what is right for its kind, `close_by_hand` takes a
person's word for it. One that is no longer seen (a late webhook came, somebody at the gateway's dashboard put it right)
closes by itself, and says so.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Subquery

from marketplace.kernel.clock import database_now
from marketplace.kernel.money import format_minor
from payments import gateways, news, observations, services
from payments.errors import CaseClosed, CaseNotSettled, NeedsAPerson, NoSuchCase
from payments.gateways.base import Charge, ChargeStatus, Outcome
from payments.models import Attempt, Payment, ReconciliationCase
from payments.selectors import Difference, Discrepancy, ledger_discrepancies
from payments.states import AttemptOutcome, CaseKind, CaseStatus, Operation

LOOK_AGAIN_SECONDS: Final = 1.0  # orders go on while the two ledgers are read: a difference is one if it stays
UNKNOWN_AFTER: Final = timedelta(minutes=10)  # by then a call's outcome is known, or somebody has to find it out

_MONEY: Final = frozenset({ChargeStatus.AUTHORIZED, ChargeStatus.CAPTURED, ChargeStatus.PARTIALLY_REFUNDED})


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What one comparison came to: charges looked at, cases opened by it, closed because gone, and open after it."""

    gateway: str
    charges: int
    opened: int
    gone: int
    open: int


@dataclass(frozen=True, slots=True)
class _Found:
    kind: CaseKind
    key: str
    reference_id: UUID | None
    ours: str
    theirs: str
    attempt_id: int | None = None


def reconcile(
    *, gateway: str = "", since: datetime | None = None, pause: Callable[[float], None] = time.sleep
) -> Reconciliation:
    """Compare all payments through `gateway` (default: that of the settings) that were made at or after `since`.

    Opens a case for each difference that has none, and closes those that are gone. Calls the gateway, so it needs to be
    outside of any transaction. Raises `GatewayUnavailable`; then nothing has changed.
    """
    name = gateway or settings.PAYMENT_GATEWAY
    found, count = _differences(name, since, pause)
    found += _unknown(name, since=since, now=database_now())
    with transaction.atomic():
        now = database_now()
        opened = sum(_open(name, one, now=now) for one in found)
        gone = _close_gone(name, {one.key for one in found}, since=since, now=now)
        left = ReconciliationCase.objects.filter(gateway=name, status=CaseStatus.OPEN).count()
    return Reconciliation(name, count, opened, gone, left)


def settle(case_id: int, *, actor: str, reason: str) -> str:
    """Do what is right for this case, and close it; return in words what was done.

    A charge that none of our payments asked for is given back. What we have otherwise in our books is corrected to what
    the gateway believes, as if it had told us by a webhook: the order's own rules decide what follows. Money that we
    believe in and the gateway doesn't is beyond that.

    To be called outside of any transaction: it asks the gateway. Raises `NoSuchCase`, `CaseClosed`, `NeedsAPerson`,
    `CaseNotSettled` (nothing is closed then, and it may be tried again) and `GatewayUnavailable`.
    """
    case = _still_open(case_id)
    if case.kind == CaseKind.ORPHAN_CHARGE:
        done = _give_back(case)
    elif case.kind == CaseKind.MISSING_CHARGE:
        raise NeedsAPerson
    else:
        done = _take_in(case)
    _close(case_id, CaseStatus.SETTLED, done, actor=actor, reason=reason)
    return done


def close_by_hand(case_id: int, *, actor: str, reason: str) -> None:
    """Take a person's word that a case is dealt with. The next comparison opens a new one if it is not.

    Raises `NoSuchCase`, `CaseClosed`, and `ValueError` without an actor or a reason.
    """
    if not actor.strip() or not reason.strip():
        raise ValueError("who closes a case by hand says who they are, and why")
    _still_open(case_id)
    _close(case_id, CaseStatus.BY_HAND, "Closed by hand.", actor=actor, reason=reason)


# --- comparing --------------------------------------------------------------------------------------------------------


def _differences(name: str, since: datetime | None, pause: Callable[[float], None]) -> tuple[list[_Found], int]:
    first, count = look(gateway=name, since=since)
    if not first:
        return [], count
    pause(LOOK_AGAIN_SECONDS)
    again, count = look(gateway=name, since=since)
    before = {one.key: one for one in first}
    stayed = [one for one in again if before.get(one.key) == one and not one.unsettled]
    return [_Found(CaseKind(one.kind), one.key, one.reference_id, one.ours, one.theirs) for one in stayed], count


def look(*, gateway: str = "", since: datetime | None = None) -> tuple[list[Discrepancy], int]:
    """Compare once, and nothing else; return the differences, and how many charges were looked at.

    Theirs are read before ours: what is committed between the two shows up as our being ahead, never as an orphan. So a
    difference is to be believed when another look sees it too. What the list lacks is asked for by its key. Calls the
    gateway, so it needs to be outside of any transaction. Raises `GatewayUnavailable`.
    """
    name = gateway or settings.PAYMENT_GATEWAY
    charges = list(gateways.gateway(name).list(since=since or datetime.fromisoformat("1970-01-01T00:00:00+00:00")))
    found = ledger_discrepancies(charges, since=since, gateway=name)
    missing = [one.key for one in found if one.kind is Difference.MISSING_CHARGE]
    if missing:
        charges += _unlisted(name, missing)
        found = ledger_discrepancies(charges, since=since, gateway=name)
    return found, len(charges)


def _unlisted(name: str, keys: Sequence[str]) -> list[Charge]:
    """The charges of these keys that the gateway has all the same: PayPal's list is hours late, and a month long."""
    ids = list(Payment.objects.filter(gateway=name, authorization_key__in=keys).values_list("id", flat=True))
    charges = []
    for sighting in observations.sights(ids).values():
        if isinstance(sighting, Exception):
            raise sighting
        if sighting.charge is not None:
            charges.append(sighting.charge)
    return charges


def _unknown(name: str, *, since: datetime | None, now: datetime) -> list[_Found]:
    """Payments whose last call got no answer for too long, unless that very call was looked into already."""
    last = Attempt.objects.filter(payment=OuterRef("pk")).order_by("-id")
    looked_into = ReconciliationCase.objects.exclude(status=CaseStatus.OPEN).filter(attempt_id=OuterRef("attempt_id"))
    stuck = (
        Payment.objects.filter(Q() if since is None else Q(created_at__gte=since), gateway=name)
        .annotate(attempt_id=Subquery(last.values("id")[:1]), outcome=Subquery(last.values("outcome")[:1]))
        .filter(outcome__in=[AttemptOutcome.IN_FLIGHT, AttemptOutcome.UNKNOWN])
        .filter(Exists(Attempt.objects.filter(pk=OuterRef("attempt_id"), started_at__lt=now - UNKNOWN_AFTER)))
        .exclude(Exists(looked_into))
    )
    attempts = Attempt.objects.in_bulk([payment.attempt_id for payment in stuck])
    return [_unanswered(payment, attempts[payment.attempt_id]) for payment in stuck]


def _unanswered(payment: Payment, attempt: Attempt) -> _Found:
    return _Found(
        CaseKind.UNKNOWN_OUTCOME,
        payment.authorization_key,
        payment.reference_id,
        ours=f"{payment.status} {format_minor(payment.amount_minor, payment.currency)} {payment.currency}",
        theirs=f"no answer to {attempt.operation} since {attempt.started_at:%Y-%m-%d %H:%M} UTC",
        attempt_id=attempt.id,
    )


# --- cases ------------------------------------------------------------------------------------------------------------


def _open(gateway: str, one: _Found, *, now: datetime) -> bool:
    """Open a case, or look at the open one of this charge again; return whether it is new."""
    payment = Payment.objects.filter(authorization_key=one.key, gateway=gateway).first()
    seen = {"kind": one.kind, "ours": one.ours, "theirs": one.theirs, "last_seen_at": now}
    _, new = ReconciliationCase.objects.update_or_create(
        gateway=gateway,
        key=one.key,
        status=CaseStatus.OPEN,
        defaults=seen,
        create_defaults={
            **seen,
            "payment": payment,
            "reference_id": one.reference_id,
            "attempt_id": one.attempt_id,
            "first_seen_at": now,
        },
    )
    return new


def _close_gone(gateway: str, still_there: Collection[str], *, since: datetime | None, now: datetime) -> int:
    """Close what was not seen again, as far back as the comparison looked."""
    gone = ReconciliationCase.objects.filter(gateway=gateway, status=CaseStatus.OPEN).exclude(key__in=still_there)
    if since is not None:
        gone = gone.filter(Q(payment__created_at__gte=since) | Q(payment=None, first_seen_at__gte=since))
    return gone.update(status=CaseStatus.GONE, closed_at=now, outcome="Both sides agree again.")


def _still_open(case_id: int) -> ReconciliationCase:
    case = ReconciliationCase.objects.filter(pk=case_id).first()
    if case is None:
        raise NoSuchCase
    if case.status != CaseStatus.OPEN:
        raise CaseClosed(status=case.status)
    return case


def _close(case_id: int, status: CaseStatus, outcome: str, *, actor: str, reason: str) -> None:
    closed = ReconciliationCase.objects.filter(pk=case_id, status=CaseStatus.OPEN).update(
        status=status, closed_at=database_now(), outcome=outcome, actor=actor.strip()[:150], reason=reason.strip()
    )
    if not closed:
        raise CaseClosed  # somebody else was faster


# --- settling ---------------------------------------------------------------------------------------------------------


def _give_back(case: ReconciliationCase) -> str:
    """Void, or refund, a charge that belongs to nothing; by keys of the case, so pressing twice is pressing once."""
    gateway = gateways.gateway(case.gateway)
    charge = gateway.find(authorization_key=case.key)
    if charge is None or charge.status not in _MONEY:
        return "There is no money any more."
    if charge.status is ChargeStatus.AUTHORIZED:
        reply = gateway.void(key=f"case-{case.id}:void", authorization_key=case.key, reference=charge.reference)
        done = "The authorization was voided."
    else:
        reply = gateway.refund(
            key=f"case-{case.id}:refund", authorization_key=case.key, amount_minor=None, reference=charge.reference
        )
        done = f"{format_minor(reply.amount_minor or 0, charge.currency)} {charge.currency} refunded."
    if reply.outcome is not Outcome.DONE:
        raise CaseNotSettled(reply.message or reply.code)
    return done


def _take_in(case: ReconciliationCase) -> str:
    """Correct our books to what the gateway believes, and tell the order."""
    if case.payment_id is None:
        raise NeedsAPerson
    sighting = observations.sight(case.payment_id)
    now = database_now()
    if sighting.charge is None and case.kind == CaseKind.UNKNOWN_OUTCOME:
        return _forbid(case, now=now)
    with transaction.atomic():
        observed = services.observe(sighting, event_id=f"case:{case.id}", occurred_at=now, now=now)
    news.pass_on(now=now, payment_id=case.payment_id)
    if _still_differ(case, sighting.charge, now=now):
        raise NeedsAPerson
    if observed is None:
        return "The gateway was asked again: both sides agree."
    return f"Our books now say what the gateway does: {observed.payment.status}."


def _still_differ(case: ReconciliationCase, charge: Charge | None, *, now: datetime) -> bool:
    """Whether our books have on record what the gateway knows nothing of: that is not taken back by asking."""
    charges = [] if charge is None else [charge]
    ours = ledger_discrepancies(charges, since=now, gateway=case.gateway)
    return charge is None or any(one.key == case.key and not one.unsettled for one in ours)


def _forbid(case: ReconciliationCase, *, now: datetime) -> str:
    """Nothing came of the authorization so far: see to it that nothing ever does."""
    if case.payment_id is None:
        raise NeedsAPerson
    with transaction.atomic():
        call = services.begin_for(Operation.VOID, case.payment_id, key=f"case-{case.id}:void", number=1, now=now)
    if call is None:
        return "There was nothing to void."
    reply = services.send(call)
    with transaction.atomic():
        services.record([(call, reply)], now=database_now())
    if reply.outcome is not Outcome.DONE:
        raise CaseNotSettled(reply.message or reply.code)
    return "The gateway has no such charge; it was voided, so that none comes any more."
