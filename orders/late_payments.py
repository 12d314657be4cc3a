"""Whether money that came late begins a story of its own: the rule of `place_order` for a word of the bank.

Decided under the order's lock, so that of two pieces of news, or of news and a cancel, one comes first.
"""

from django.db import transaction

from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.kernel.money import format_minor
from marketplace.outbox.services import append
from marketplace.sagas import selectors as sagas_read
from marketplace.sagas import services as sagas
from marketplace.sagas.models import TERMINAL
from marketplace.sagas.ticket import LateSignal
from orders import events
from orders.cases import open_case
from orders.models import Order, Status
from orders.sagas.accept_late_payment import AcceptLatePayment
from orders.sagas.money import settled_by
from orders.timeline import note
from payments.selectors import payments_of

HELD_OR_KEPT = ("AUTHORIZED", "CAPTURED", "PARTIALLY_REFUNDED")


@transaction.atomic
def answer(late: LateSignal) -> None:
    """Start the saga that accepts late money or gives it back, where there is money, and its order has ended.

    Takes the order's lock, after that of the saga that places it. Once for an order: news of money that its saga has in
    hand already needs no other.
    """
    order = Order.objects.select_for_update().get(pk=late.subject_id)
    payment = payments_of([order.id]).get(order.id)
    if payment is None or payment.given_up_at or payment.status not in HELD_OR_KEPT:
        return  # what was given up goes back by itself
    if order.status not in (Status.FAILED, Status.CANCELLED):
        return
    if order.refund_status and order.refund_status == settled_by(payment):
        return  # it was here in time: whoever ended the order knew of it, and left it to the bank
    now = database_now()
    amount = f"{format_minor(payment.amount_minor, payment.currency)} {payment.currency}"
    if order.revival_id is not None:
        if sagas_read.statuses([order.id], name=AcceptLatePayment.name).get(order.id) in TERMINAL:
            why = f"{amount} came once more for an order that has ended, after such a payment had been dealt with."
            open_case(order.id, why, who="bank", now=now)
        return
    saga_id = new_id()
    Order.objects.filter(pk=order.id).update(revival_id=saga_id, updated_at=now)
    note(order.id, order.status, f"{amount} came after the order had ended.", who="bank", now=now)
    sagas.start(AcceptLatePayment, [sagas.Start(id=saga_id, subject_id=order.id)], now=now)
    append([events.about(order, "SAGA_STARTED", {}, saga_id=saga_id)], now=now)
