"""Another attempt to pay: by another method, after the bank has declined, and while the units are still held.

Why nobody is charged twice by that, whatever is lost, repeated, late or done at the same moment:

  * Each attempt is a payment of its own, with keys of its own. There is at most one living payment of an order, and the
    next one can't be opened before the last one is *given up*, which happens in the transaction, and under the lock, in
    which our books say for certain that the bank has declined it. What may hold money is never given up: then the order
    goes on with it (`payments.giving_up`; the database refuses anything else).
  * Of a payment that is given up nothing is ever captured. If its bank says yes after all, by a webhook that comes late
    or twice or because somebody looks, the cashier gives that money back, and no saga can lay its hands on it.
  * Of two requests to pay at the same moment one counts: their signals have the number of the attempt for an id, so the
    second is a repetition of the first, whatever method it names. One that was meant for an earlier attempt is none.
  * There is one capture in a saga, with one key for as long as the saga lives, because no way back begins after it;
    and a key belongs to one payment. So even if all of the above were wrong, of two payments of an order we could
    capture only one.

A decline at the *capture* is no reason for another attempt. The bank had said yes and the checks are passed; a bank
that goes back on its word for an authorization a moment old is better not asked again behind the buyer's back. The
order ends, and the buyer may begin another one with everything filled in (`orders.retries`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from marketplace.sagas.outcomes import Done, Outcome
from marketplace.sagas.ticket import Ticket
from orders import wording
from payments import services as payments
from payments.selectors import PaymentView

AUTHORIZATION: Final = "authorize_payment"  # the step that is done once for each attempt
CAME_TO_NOTHING: Final = ("FAILED", "VOIDED")  # the bank has declined, or let go of it
_PAY_BY: Final = "pay_by"


def number(ticket: Ticket) -> int:
    """Which attempt to pay this is, or the next one will be: from 1."""
    return ticket.round_of(AUTHORIZATION)


def remember_hold(tickets: Sequence[Ticket]) -> Mapping[UUID, Mapping[str, Any]]:
    """What the sagas have to remember before the holds are extended for the bank: until when they were to last.

    Nothing, where no other attempt is allowed.
    """
    if settings.PAYMENT_ATTEMPTS == 1:
        return {}
    waiting = [t for t in tickets if t.subject.order.status == "RESERVED"]
    return {t.subject_id: {_PAY_BY: t.subject.order.reserved_until.isoformat()} for t in waiting}


def pay_by(ticket: Ticket) -> datetime | None:
    """Until when the units are held for another attempt; None where nobody has thought of one."""
    known = ticket.context.get(_PAY_BY)
    return datetime.fromisoformat(known) if known else None


def give_up(
    tickets: Sequence[Ticket], views: Mapping[UUID, PaymentView], *, now: datetime
) -> Mapping[UUID, PaymentView]:
    """Give up the payments that came to nothing, where the order may be paid anew; answer `views` as they now are.

    Locks those payments, and looks at them again. Needs the caller's transaction.
    """
    if settings.PAYMENT_ATTEMPTS == 1:
        return views
    due = [t.subject_id for t in tickets if _came_to_nothing(views.get(t.subject_id)) and _may_pay_again(t, now)]
    return {**views, **payments.give_up(due, now=now)} if due else views


def _came_to_nothing(view: PaymentView | None) -> bool:
    return view is not None and view.status in CAME_TO_NOTHING


def _may_pay_again(ticket: Ticket, now: datetime) -> bool:
    until = pay_by(ticket)
    return number(ticket) < settings.PAYMENT_ATTEMPTS and until is not None and now < until


def offer_another(tickets: Sequence[Ticket], *, now: datetime) -> Sequence[Outcome]:
    """The sagas are back where the buyer chooses: so are their orders, for what is left of their holds."""
    return [_offered(ticket, pay_by(ticket) or now) for ticket in tickets]


def _offered(ticket: Ticket, until: datetime) -> Outcome:
    opened, cause = ticket.subject, ticket.cause
    said = cause.message if cause is not None else ""
    told = f"until {until:%H:%M:%S} UTC"
    why = f"Payment failed: {said.rstrip('.')}. It may be paid by another method {told}."
    message = wording.pay_again(said, until=until, language=opened.order.language)
    detail = dict(cause.data or {}) if cause is not None else {}
    opened.change("offer_another_payment", why, until=until, message=message, detail=detail)
    opened.tell("ORDER_RESERVED", reserved_until=until, after="payment_declined", message=message)
    return Done(message=f"Waits for another method of payment {told}.")
