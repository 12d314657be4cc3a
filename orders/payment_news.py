"""What news of a payment means for its order. Here it is decided which saga has to know, and nothing is carried out.

    the bank has decided, as it had said it would
        being placed    the saga that places it is told
        gone on         to another payment: noted, and money under this one goes back
    the bank took the money back, or the buyer complained there
        being placed    the saga that places it is stopped, and undoes what it did
        confirmed       a reversal is started
        shipped         the status stays; a case is opened for a person
        over            only the record is put right

Called in a transaction in which no payment is locked. Rows are locked in the order of the house: saga, order, payments.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from marketplace.kernel.clock import database_now
from marketplace.kernel.money import format_minor
from marketplace.sagas import services as sagas
from orders import refunding, reversals, wording
from orders.cases import open_case
from orders.fraud import reviews
from orders.models import BEFORE_CONFIRMATION, Order, Status
from orders.reversals import Wish
from orders.timeline import note
from payments.observations import AUTHORIZED, CAPTURED, DECLINED, DISPUTED, REFUNDED, REVERSED, VOIDED, Observed

BANK: Final = "bank"  # who, on the timeline


def heard(observed: Observed) -> bool:
    """Take in one piece of news; return whether it concerns an order of ours, so that somebody sees to the money."""
    react = _REACTIONS.get(observed.kind)
    order = Order.objects.filter(pk=observed.reference_id).first()
    if react is None or order is None:
        return False
    if observed.payment.given_up_at is not None:
        return _of_an_earlier_attempt(order, observed, database_now())
    return react(order, observed, database_now())


def _of_an_earlier_attempt(order: Order, observed: Observed, now: datetime) -> bool:
    """The order has gone on to another payment: whatever becomes of this one, it is not the order's affair any more."""
    if observed.kind == DECLINED or (observed.kind == VOIDED and "undoes" not in observed.detail):
        return False  # that is why it was given up
    happened = {AUTHORIZED: "authorized", CAPTURED: "captured", VOIDED: "let go", REFUNDED: "sent back"}
    what = happened.get(observed.kind, observed.kind)
    fate = " after all; it goes back" if observed.kind in (AUTHORIZED, CAPTURED) else ""
    why = f"Of the declined attempt {observed.payment.sequence} to pay, {_amount(observed)} was {what}{fate}."
    note(order.id, order.status, why, who=BANK, now=now)
    return False


def _outcome(order: Order, observed: Observed, now: datetime) -> bool:
    """The saga that places the order may be waiting for this; if it is over, its rule for late signals answers."""
    detail = observed.detail
    payload = {"kind": observed.kind, "code": detail.get("code", ""), "message": detail.get("message", "")}
    sagas.signal(order.saga_id, "payment_outcome", signal_id=observed.event_id, payload=payload)
    if observed.kind == VOIDED and order.status == Status.PAID:
        # A person may be about to decide about it. Whether the money is gone, the saga asks the books.
        sagas.signal(order.saga_id, reviews.SIGNAL, signal_id=observed.event_id, payload={"verdict": "LAPSED"})
    return True


def _reversed(order: Order, observed: Observed, now: datetime) -> bool:
    lost = observed.detail.get("dispute") == "LOST"
    code = "payment_disputed" if lost else "payment_reversed"
    words = "has decided for the buyer and taken" if lost else "took"
    return _taken_back(order, observed, code, f"The bank {words} {_amount(observed)} back.", now)


def _disputed(order: Order, observed: Observed, now: datetime) -> bool:
    if observed.detail.get("dispute") == "OPEN":
        why = f"The buyer has asked the bank to take {_amount(observed)} back."
        return _taken_back(order, observed, "payment_disputed", why, now)
    why = f"The bank has decided for the shop: {_amount(observed)} stays here."
    order = Order.objects.select_for_update().get(pk=order.id)  # a saga that ends it now looks at the books before
    if order.status in (Status.FAILED, Status.CANCELLED):
        return _case(order, f"{why} But the order is {order.status}: the money is the buyer's.", now)
    note(order.id, order.status, why, who=BANK, now=now)
    return True


def _refunded(order: Order, observed: Observed, now: datetime) -> bool:
    """Money was seen to have gone back: one of our refunds, or one that somebody made at the provider's dashboard.

    That is theirs to decide, and it is on record with its order. Only where all is gone that an order costs, and that
    order stands, a person has to say whether it shall.
    """
    by_others = refunding.tell_seen(order.id, who=BANK, now=now)
    order = Order.objects.get(pk=order.id)
    stands = order.status not in (*BEFORE_CONFIRMATION, Status.FAILED, Status.CANCELLED)
    if by_others and stands and not order.reversal_id and order.refund_status == "REFUNDED":
        return _case(order, "All of its money was given back, at least in part not by us; the order stands.", now)
    return True


def _taken_back(order: Order, observed: Observed, code: str, why: str, now: datetime) -> bool:
    """Stop the order wherever it is. Who comes first, this or the confirmation, is decided on the saga's row."""
    if order.status in (*BEFORE_CONFIRMATION, Status.FAILED, Status.CANCELLED):
        payload = {"code": code, "message": why, "actor": BANK}
        if _stopped(order, observed.event_id, payload):
            return True
        order = Order.objects.get(pk=order.id)  # it has come to an end meanwhile, or late money has just revived it
    if order.status in BEFORE_CONFIRMATION:
        return True  # it is being undone already, which takes what the books say of the money into account
    if order.status == Status.CONFIRMED:
        if reversals.reverse(order.id, Wish("failed", code, BANK, why), why=why, now=now):
            return True
        order = Order.objects.get(pk=order.id)  # it is being taken back already; or it was, or has left, just now
    if order.status == Status.CONFIRMED:
        note(order.id, order.status, why, who=BANK, now=now)
        return True
    if order.status in (Status.FAILED, Status.CANCELLED):
        return _over(order, why, now)
    return _case(order, f"{why} The order is {order.status}, so it was not stopped.", now)


def _stopped(order: Order, event_id: str, payload: dict[str, str]) -> bool:
    """Stop the saga that places the order, or the one that may revive it; answer whether that is still to be had."""
    saga_id = order.saga_id if order.status in BEFORE_CONFIRMATION else order.revival_id
    if saga_id is None:
        return False
    return sagas.signal(saga_id, "payment_reversed", signal_id=event_id, payload=payload).accepted


def _over(order: Order, why: str, now: datetime, *, settled: str = "REVERSED") -> bool:
    """The order has ended before. Where the bank had still to decide, it now has; otherwise somebody is paid twice."""
    locked = Order.objects.select_for_update().get(pk=order.id)
    if locked.refund_status == "REFUNDED":
        return _case(order, f"{why} But the order is {order.status}, and the money was given back already.", now)
    if locked.refund_status == "DISPUTED":
        message = wording.failure(locked.failure_code, locked.failure_detail, refund=settled, language=locked.language)
        Order.objects.filter(pk=order.id).update(refund_status=settled, failure_message=message, updated_at=now)
    note(order.id, locked.status, why, who=BANK, now=now)
    return True


def _case(order: Order, why: str, now: datetime) -> bool:
    open_case(order.id, why, who=BANK, now=now)
    return True


def _amount(observed: Observed) -> str:
    payment = observed.payment
    minor = observed.detail.get("amount_minor") or payment.captured_minor or payment.amount_minor
    return f"{format_minor(minor, payment.currency)} {payment.currency}"


_REACTIONS: Final[Mapping[str, Callable[[Order, Observed, datetime], bool]]] = {
    AUTHORIZED: _outcome,
    CAPTURED: _outcome,
    DECLINED: _outcome,
    VOIDED: _outcome,
    REVERSED: _reversed,
    DISPUTED: _disputed,
    REFUNDED: _refunded,
}
