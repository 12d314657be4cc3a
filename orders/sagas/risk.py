"""Is this order what it seems? The saga's part of it: what `orders.fraud` finds is acted upon here.

The money is authorized by then and not taken. So a refusal costs the buyer nothing, and an order that a person should
look at can wait for as long as the bank holds the money for us (FRAUD_REVIEW_SECONDS).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from inventory import services as inventory
from marketplace.kernel.ids import new_ids
from marketplace.sagas.outcomes import Done, Outcome, Parked, Refused, Retry
from marketplace.sagas.ticket import Ticket
from orders.desk import OpenOrder
from orders.fraud import reviews
from orders.fraud.judging import PASSED, Judgement, judge
from orders.fraud.models import ReviewStatus
from orders.fraud.protocol import Facts, Verdict
from orders.fraud.reviews import Closing, Opening
from orders.sagas import bank
from orders.sagas.bank import HOLD_MARGIN
from payments.selectors import payments_of

CLEAR: Final = Done(message="Nothing suspicious.")


def check(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Pass or refuse each order, or have it wait for a person. The reasons are for staff; the buyer reads none."""
    judged = _judged(tickets, now)
    if not judged:
        return [CLEAR] * len(tickets)
    held = [ticket for ticket in tickets if _of(ticket, judged).verdict is Verdict.REVIEW]
    waits = _hold(held, judged, now=now) if held else {}
    return [waits.get(ticket.subject_id) or _said(_of(ticket, judged)) for ticket in tickets]


def check_at_once(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Pass or refuse each order where there is no time for a person: what one should look at is refused."""
    judged = _judged(tickets, now)
    return [_said(_of(ticket, judged)) for ticket in tickets]


def _judged(tickets: Sequence[Ticket], now: datetime) -> Mapping[UUID, Judgement]:
    return judge([_facts(ticket.subject, ticket.context) for ticket in tickets], now=now)


def _of(ticket: Ticket, judged: Mapping[UUID, Judgement]) -> Judgement:
    return judged.get(ticket.subject_id, PASSED)


def _facts(opened: OpenOrder, context: Mapping[str, Any]) -> Facts:
    order = opened.order
    return Facts(
        order_id=order.id,
        user_id=order.user_id,
        email=order.email,
        email_key=order.email_key,
        shipping_address=order.shipping_address,
        address_key=order.address_key,
        currency=order.currency,
        total_minor=order.total_minor,
        payment_method=order.payment_method,
        placed_at=order.created_at,
        risk=context.get("risk", ""),
        card_country=context.get("card_country", ""),
    )


def _said(judgement: Judgement) -> Outcome:
    if judgement.verdict is Verdict.PASS:
        return CLEAR
    return Refused("fraud_rejected", f"Rejected: {judgement.reasons}.")


# --- waiting for a person ---------------------------------------------------------------------------------------------


def _hold(tickets: Sequence[Ticket], judged: Mapping[UUID, Judgement], *, now: datetime) -> dict[UUID, Outcome]:
    """Open a review for each, and keep the units for as long as that and what follows may take."""
    deadline = now + timedelta(seconds=settings.FRAUD_REVIEW_SECONDS)
    until = deadline + timedelta(seconds=settings.SAGA_TIMEOUT_SECONDS) + HOLD_MARGIN
    kept = inventory.extend([ticket.subject_id for ticket in tickets], until=until)
    openings = []
    waits: dict[UUID, Outcome] = {}
    for ticket, review_id in zip(tickets, new_ids(len(tickets)), strict=True):
        if ticket.subject_id not in kept:
            waits[ticket.subject_id] = _NOT_HELD
            continue
        reasons = [finding.reason for finding in _of(ticket, judged).findings]
        openings.append(Opening(review_id, ticket.subject_id, reasons, deadline))
        order = ticket.subject.order
        order.review_status, order.reserved_until = ReviewStatus.PENDING, until
        ticket.subject.note(f"Waits for a person until {deadline:%Y-%m-%d %H:%M} UTC: {'; '.join(reasons)}.")
        told = f"Waits for a person: {'; '.join(reasons)}."
        waits[ticket.subject_id] = Done({"review_due": deadline.isoformat()}, told)
    reviews.open_many(openings, now=now)
    return waits


def needs_nobody(ticket: Ticket) -> bool:
    """Whether no person has to look at this order."""
    return bool(ticket.subject.order.review_status != ReviewStatus.PENDING)


def review_due(ticket: Ticket) -> datetime:
    """Until when a person may decide."""
    return datetime.fromisoformat(ticket.context["review_due"])


def take_decision(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """Act on what staff has decided; or on an authorization that the bank has let go, if our books say so too."""
    lapsed = [ticket for ticket in tickets if _verdict(ticket) not in ("APPROVED", "REJECTED")]
    payments = payments_of([ticket.subject_id for ticket in lapsed]) if lapsed else {}
    closings: list[Closing] = []
    outcomes: list[Outcome] = []
    for ticket in tickets:
        payment = payments.get(ticket.subject_id)
        if ticket not in lapsed:
            outcomes.append(_decided(ticket, closings))
        elif payment is not None and payment.status == "VOIDED":
            outcomes.append(bank.decided(ticket.subject, payment) or _NOT_LAPSED)
        else:
            outcomes.append(_NOT_LAPSED)
    reviews.close_many(closings, now=now)
    return outcomes


_NOT_HELD: Final = Parked("The units are no longer held for this order, although its saga is alive.")
_NOT_LAPSED: Final = Retry("The bank still holds the money.")


def _verdict(ticket: Ticket) -> str:
    return str((ticket.signal or {}).get("verdict", ""))


def _decided(ticket: Ticket, closings: list[Closing]) -> Outcome:
    said = ticket.signal or {}
    status, actor, reason = ReviewStatus(said["verdict"]), str(said["actor"]), str(said["reason"])
    closings.append(Closing(ticket.subject_id, status, actor, reason))
    ticket.subject.order.review_status = status
    if status is ReviewStatus.REJECTED:
        return Refused("fraud_rejected", f"Rejected by {actor}: {reason}", {"actor": actor})
    ticket.subject.note(f"Approved: {reason}", who=actor)
    return Done(message=f"Approved by {actor}: {reason}")


def close_reviews(tickets: Sequence[Ticket], *, now: datetime) -> None:
    """Close the reviews of orders that come to their end before anybody has decided; nobody can after that."""
    waiting = [ticket for ticket in tickets if ticket.subject.order.review_status == ReviewStatus.PENDING]
    closings = []
    for ticket in waiting:
        code = ticket.cause.code if ticket.cause is not None else "unknown"
        late = code == "fraud_rejected"
        status = ReviewStatus.REJECTED if late else ReviewStatus.CLOSED
        why = "Nobody approved it in time." if late else f"The order came to another end first: {code}."
        closings.append(Closing(ticket.subject_id, status, "saga", why))
        ticket.subject.order.review_status = status if late else ""
    reviews.close_many(closings, now=now)
