"""Orders that wait for a person. The saga opens and closes reviews; what staff decides is a signal to it.

One winner, whoever comes at once: of two decisions the first is stored and the other is told so (one signal id for
both); of a decision and a cancel, the cancel, as long as the order isn't confirmed; of a decision and the deadline,
what came first by the database's clock; of a decision and an authorization that lapses at the bank, what the saga is
told first, and an approval that comes first then meets the bank's no.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

from django.db.models import Count, Min, QuerySet

from marketplace.kernel import bulk, counting
from marketplace.sagas import services as sagas
from orders.errors import ReasonMissing, ReviewOver, UnknownReview
from orders.fraud.models import Review, ReviewStatus
from orders.models import Order
from payments.selectors import PaymentView, payments_of

SIGNAL: Final = "fraud_review"
Verdict = Literal["APPROVED", "REJECTED"]


class Opening(NamedTuple):
    """A review to be opened."""

    id: UUID
    order_id: UUID
    reasons: list[str]
    deadline_at: datetime


class Closing(NamedTuple):
    """How a review ended: by whom, and why."""

    order_id: UUID
    status: ReviewStatus
    actor: str
    why: str


def open_many(openings: Sequence[Opening], *, now: datetime) -> None:
    """Write the reviews of orders that now wait for a person. Needs the transaction that moves their sagas."""
    rows = [(one.id, one.order_id, ReviewStatus.PENDING, one.reasons, now, one.deadline_at, "", "") for one in openings]
    fields = ("id", "order", "status", "reasons", "opened_at", "deadline_at", "actor", "why")
    bulk.insert(Review, fields, rows)


def close_many(closings: Sequence[Closing], *, now: datetime) -> None:
    """Close the pending reviews of these orders. Needs the transaction that moves their sagas."""
    pending = "t.status = 'PENDING'"
    rows = [(one.order_id, one.status, now, one.actor, one.why) for one in closings]
    bulk.update(Review, "order", ("status", "closed_at", "actor", "why"), rows, only_if=pending)


def decide(review_id: UUID, verdict: Verdict, *, actor: str, reason: str, now: datetime) -> None:
    """Approve the order that waits for a person, or reject it. What follows is done by its saga, not here.

    `actor` and `reason` go onto the order's timeline and into the saga's history; the buyer reads neither. Takes the
    saga's row lock for an instant. Raises `ReasonMissing`, `UnknownReview`, and `ReviewOver` when somebody or something
    else was first.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise ReasonMissing
    review = Review.objects.filter(pk=review_id).first()
    if review is None:
        raise UnknownReview
    if review.status != ReviewStatus.PENDING:
        raise ReviewOver(status=review.status, actor=review.actor)
    saga_id = Order.objects.values_list("saga_id", flat=True).get(pk=review.order_id)
    payload = {"verdict": verdict, "actor": actor, "reason": reason}
    receipt = sagas.signal(saga_id, SIGNAL, signal_id=f"decision:{review.id}", payload=payload)
    if receipt.duplicate or not receipt.accepted:
        raise ReviewOver(status=receipt.status)


class ReviewView(NamedTuple):
    """One review, with what the list of them shows of its order."""

    id: UUID
    order_id: UUID
    number: str
    status: str
    reasons: Sequence[str]
    total_minor: int
    currency: str
    opened_at: datetime
    deadline_at: datetime
    closed_at: datetime | None
    actor: str
    why: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many orders wait for a person, and when the first of them is out of time."""

    count: int
    first_deadline_at: datetime | None


def waiting() -> Waiting:
    """Say how many orders wait for a person; up to `counting.MOST_READ` are counted."""
    pending = Review.objects.filter(status=ReviewStatus.PENDING).order_by("deadline_at")[: counting.MOST_READ]
    found = pending.aggregate(count=Count("id"), first=Min("deadline_at"))
    return Waiting(found["count"], found["first"])


def of_orders(order_ids: Collection[UUID]) -> list[ReviewView]:
    """Return the reviews of these orders, the oldest first."""
    return _views(Review.objects.filter(order_id__in=list(order_ids)).order_by("opened_at"))


def pending(*, limit: int) -> list[ReviewView]:
    """Return the orders that wait for a person, those with the least time left first."""
    return _views(Review.objects.filter(status=ReviewStatus.PENDING).order_by("deadline_at")[:limit])


def counts(*, since: datetime) -> Mapping[str, int]:
    """Count the reviews that were opened since then, by what became of them so far; at most the newest `MOST_READ`."""
    newest = Review.objects.filter(opened_at__gte=since).order_by("-opened_at")
    return Counter(newest.values_list("status", flat=True)[: counting.MOST_READ])


def payment_of(order_id: UUID) -> PaymentView | None:
    """Return the payment of an order that waits for a person: what its gateway tells is a part of the story."""
    return payments_of([order_id]).get(order_id)


def _views(rows: "QuerySet[Review]") -> list[ReviewView]:
    columns = (
        "id", "order_id", "order__number", "status", "reasons", "order__total_minor", "order__currency", "opened_at",
        "deadline_at", "closed_at", "actor", "why",
    )  # fmt: skip
    return [ReviewView._make(row) for row in rows.values_list(*columns)]
