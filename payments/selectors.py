"""Reads about payments. Nothing here changes anything; no transaction is needed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from marketplace.kernel.money import format_minor
from payments import gateways
from payments.gateways.base import Charge, ChargeStatus
from payments.models import Attempt, Payment, Refund
from payments.states import PaymentStatus, RefundStatus, is_open


class PaymentView(NamedTuple):
    """One payment. `reference_id` is the order's id; amounts are minor units of `currency`."""

    id: UUID
    reference_id: UUID
    status: str
    method: str
    amount_minor: int
    currency: str
    gateway: str
    gateway_reference: str
    captured_minor: int
    refunded_minor: int
    failure_code: str
    failure_message: str
    sequence: int
    authorization_key: str
    reversed_minor: int
    dispute: str
    action_url: str
    given_up_at: datetime | None
    risk: str
    card_country: str


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One call to a gateway. An empty `outcome` and no `finished_at`: nobody has come back from it yet."""

    operation: str
    key: str
    number: int
    outcome: str
    code: str
    message: str
    gateway_reference: str
    started_at: datetime
    finished_at: datetime | None


VIEW_FIELDS = PaymentView._fields


def views(payments: QuerySet[Payment]) -> list[PaymentView]:
    """Return `payments` as views, in the order of the query."""
    return [PaymentView._make(row) for row in payments.values_list(*VIEW_FIELDS)]


def payments_of(reference_ids: Iterable[UUID]) -> dict[UUID, PaymentView]:
    """Return the latest payment of each of these orders; those without one are left out. One query."""
    found = views(Payment.objects.filter(reference_id__in=list(reference_ids)).order_by("reference_id", "sequence"))
    return {view.reference_id: view for view in found}


def charge_of(payment: PaymentView) -> Charge | None:
    """Return what the gateway believes about a payment, which may be more than our books have heard of; None: nothing.

    Uses the network, so it must not be called in a transaction. Raises `GatewayUnavailable`.
    """
    if not payment.authorization_key:
        return None
    return gateways.gateway(payment.gateway).find(authorization_key=payment.authorization_key)


class RefundView(NamedTuple):
    """One refund. `reference_id` is the order's id; amounts are minor units of `currency`.

    `asked_minor` is None for one of all that was left. `actor` is who wanted it, where that was a person.
    """

    id: UUID
    payment_id: UUID
    reference_id: UUID
    gateway: str
    status: str
    source: str
    amount_minor: int
    asked_minor: int | None
    currency: str
    key: str
    request_key: str
    gateway_reference: str
    reason: str
    actor: str
    failure_code: str
    failure_message: str
    created_at: datetime
    settled_at: datetime | None


def refund_views(refunds: QuerySet[Refund]) -> list[RefundView]:
    """Return `refunds` as views, the first one first."""
    told = {
        "reference_id": F("payment__reference_id"),
        "gateway": F("payment__gateway"),
        "currency": F("payment__currency"),
        "key": F("idempotency_key"),
    }
    rows = refunds.order_by("created_at", "id").values_list(*(told.get(name, F(name)) for name in RefundView._fields))
    return [RefundView._make(row) for row in rows]


def refunds(refund_ids: Iterable[UUID]) -> dict[UUID, RefundView]:
    """Return these refunds by their ids. One query."""
    return {view.id: view for view in refund_views(Refund.objects.filter(pk__in=list(refund_ids)))}


def refunds_of(reference_ids: Iterable[UUID]) -> dict[UUID, list[RefundView]]:
    """Return the refunds of each of these orders, the first one first; orders without one are left out. One query.

    Those of every payment, also of one that was given up.
    """
    found: dict[UUID, list[RefundView]] = {}
    for view in refund_views(Refund.objects.filter(payment__reference_id__in=list(reference_ids))):
        found.setdefault(view.reference_id, []).append(view)
    return found


def captured_payment(reference_id: UUID) -> PaymentView | None:
    """Return the payment of this order whose money was taken, the latest one; None where none was."""
    taken = views(
        Payment.objects.filter(reference_id=reference_id, captured_minor__gt=0, given_up_at=None).order_by("-sequence")[
            :1
        ]
    )
    return taken[0] if taken else None


def settled_refunds(reference_ids: Sequence[UUID], keys: Sequence[str]) -> list[int]:
    """Return how many refunds were asked for, and answered for good, under each of these keys or a later one of it.

    A later one is the key with `:2`, `:3` and so on after it. One that found nothing to give back does not count. The
    keys are those of these orders, in the same order. One query.
    """
    answered = Q(status=RefundStatus.FAILED) | Q(status=RefundStatus.DONE, amount_minor__gt=0)
    used = list(
        Refund.objects.filter(answered, payment__reference_id__in=reference_ids).values_list(
            "payment__reference_id", "idempotency_key"
        )
    )
    return [
        sum(of == reference_id and (one == key or one.startswith(f"{key}:")) for of, one in used)
        for reference_id, key in zip(reference_ids, keys, strict=True)
    ]


def attempts_of(reference_id: UUID) -> list[AttemptView]:
    """Return every gateway call that was made for this order, in the order in which they were begun."""
    rows = Attempt.objects.filter(payment__reference_id=reference_id).order_by("id")
    return [
        AttemptView(*row)
        for row in rows.values_list(
            "operation",
            "idempotency_key",
            "number",
            "outcome",
            "code",
            "message",
            "gateway_reference",
            "started_at",
            "finished_at",
        )
    ]


class Difference(StrEnum):
    """How our books and the gateway's can disagree."""

    ORPHAN_CHARGE = "orphan_charge"  # the gateway has a charge that none of our payments asked for
    MISSING_CHARGE = "missing_charge"  # we believe in money that the gateway knows nothing of
    WRONG_AMOUNT = "wrong_amount"
    WRONG_STATUS = "wrong_status"  # held, taken, given back or let go: they differ, or in how much


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One difference. `unsettled`: the last call for this payment has not been answered, so it may yet resolve."""

    kind: Difference
    key: str
    reference_id: UUID | None
    ours: str
    theirs: str
    unsettled: bool


def ledger_discrepancies(
    charges: Iterable[Charge], *, since: datetime | None = None, gateway: str = ""
) -> list[Discrepancy]:
    """Compare our payments through `gateway` (default: that of the settings) with what it says, `gateway.list(...)`.

    `charges` are all of its charges, or those since `since`. Orders that are being paid while the two are read show up
    too: look again with a fresh list before believing a difference.
    """
    theirs = {charge.key: charge for charge in charges}
    ours = _books(gateway or settings.PAYMENT_GATEWAY, keys=list(theirs), since=since)
    found = [_compare(payment, theirs.pop(payment.key, None)) for payment in ours]
    orphans = [
        Discrepancy(Difference.ORPHAN_CHARGE, key, None, ours="", theirs=_theirs(charge), unsettled=False)
        for key, charge in theirs.items()
        if charge.status not in _OVER  # no money is there (any more): nothing is astray
    ]
    return [difference for difference in found if difference is not None] + orphans


_OVER: Final = frozenset({ChargeStatus.DECLINED, ChargeStatus.VOIDED, ChargeStatus.REFUNDED, ChargeStatus.REVERSED})


@dataclass(frozen=True, slots=True)
class _Booked:
    key: str
    reference_id: UUID
    status: str
    amount_minor: int
    currency: str
    captured_minor: int
    refunded_minor: int
    reversed_minor: int
    dispute: str
    unsettled: bool

    @property
    def holds_money(self) -> bool:
        return self.status == PaymentStatus.AUTHORIZED or self.captured_minor > 0


def _books(gateway: str, *, keys: Sequence[str], since: datetime | None) -> list[_Booked]:
    last = Attempt.objects.filter(payment=OuterRef("pk")).order_by("-id").values("outcome")[:1]
    wanted = Q() if since is None else Q(created_at__gte=since) | Q(authorization_key__in=keys)
    rows = (
        Payment.objects.filter(wanted, gateway=gateway)
        .exclude(authorization_key="")
        .order_by("id")
        .annotate(last_outcome=Subquery(last), key=F("authorization_key"))
        .values_list(
            "key",
            "reference_id",
            "status",
            "amount_minor",
            "currency",
            "captured_minor",
            "refunded_minor",
            "reversed_minor",
            "dispute",
            "last_outcome",
        )
    )
    return [_Booked(*row[:-1], unsettled=is_open(row[-1], row[2])) for row in rows]


def _compare(payment: _Booked, charge: Charge | None) -> Discrepancy | None:
    def differ(kind: Difference) -> Discrepancy:
        told = _theirs(charge) if charge is not None else ""
        return Discrepancy(kind, payment.key, payment.reference_id, _ours(payment), told, payment.unsettled)

    if charge is None or charge.status is ChargeStatus.DECLINED:
        return differ(Difference.MISSING_CHARGE) if payment.holds_money else None
    if (payment.amount_minor, payment.currency) != (charge.amount_minor, charge.currency):
        return differ(Difference.WRONG_AMOUNT)
    if charge.status is ChargeStatus.PENDING and payment.status != PaymentStatus.PENDING:
        return differ(Difference.WRONG_STATUS)  # it may yet become money, and we think that it is over
    theirs = (charge.captured_minor, charge.refunded_minor, charge.reversed_minor, charge.dispute)
    ours = (payment.captured_minor, payment.refunded_minor, payment.reversed_minor, payment.dispute)
    held = charge.status is ChargeStatus.AUTHORIZED
    if theirs != ours or held != (payment.status == PaymentStatus.AUTHORIZED):
        return differ(Difference.WRONG_STATUS)
    return None


def _ours(payment: _Booked) -> str:
    return _told(payment.status, payment)


def _theirs(charge: Charge) -> str:
    return _told(charge.status, charge)


def _told(status: str, book: _Booked | Charge) -> str:
    """One line about a payment, for the person who reads the difference."""

    def money(minor: int) -> str:
        return format_minor(minor, book.currency)

    told = f"{status} {money(book.amount_minor)} {book.currency}"
    moved = {"captured": book.captured_minor, "refunded": book.refunded_minor, "reversed": book.reversed_minor}
    parts = [told, *(f"{word} {money(minor)}" for word, minor in moved.items() if minor or word != "reversed")]
    return ", ".join([*parts, *([f"dispute {book.dispute}"] if book.dispute else [])])
