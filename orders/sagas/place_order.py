"""Buy Now, from the basket to the confirmed order."""

from marketplace.sagas.definition import Call, Cancel, Fail, GoOn, Saga, Step, Wait
from orders import late_payments
from orders.desk import Desk
from orders.sagas import attempts, bank, closing, money, risk, stock
from orders.sagas.patience import GATEWAY, GIVING_BACK


class PlaceOrder(Saga):
    """Turn a basket into a confirmed order, or leave the buyer uncharged and the stock untouched.

    An order that comes with a payment method never stops at the first wait, and one whose bank answers at once not at
    the second. Where a bank decides later, its word is waited for; if none comes in time, it is asked. A bank that
    declines ends the order; or, where PAYMENT_ATTEMPTS allows another attempt, it leads back to where the buyer chooses
    how to pay, for as long as the units were to be held anyway (`attempts` says why that charges nobody twice). What
    looks suspicious waits for a person, while its money is held and not taken. A buyer or staff may stop an order at
    any time before it is confirmed, and so may the bank, by taking the money back; whatever was done by then is undone,
    in reverse order. A word of the bank that comes when all is over is answered by `late_payments`.
    """

    name, version = "place_order", 3
    workspace = Desk
    steps = (
        Step("validate_inventory", do=stock.validate, queue="inventory"),
        Step("reserve_inventory", do=stock.reserve, undo=stock.release, queue="inventory"),
        Wait(
            "payment_request",
            unless=money.method_is_known,
            receive=money.choose_method,
            until=stock.reserved_until,
            otherwise=Cancel("reservation_expired"),
            returned=attempts.offer_another,
        ),
        Call(
            "authorize_payment",
            do=money.authorize,
            undo=money.void,
            retry=GATEWAY,
            undo_retry=GIVING_BACK,
            key_window=money.key_window,
            returns_to="payment_request",
            queue="payments",
        ),
        Wait(
            "payment_outcome",
            queue="payments",
            unless=bank.is_paid,
            receive=bank.take_outcome,
            until=bank.outcome_due,
            otherwise=GoOn("No word from the bank in time."),
            returns_to="payment_request",
        ),
        Call(
            "look_up_payment",
            unless=bank.is_paid,
            do=bank.look_up,
            retry=GATEWAY,
            returns_to="payment_request",
            queue="payments",
        ),
        Step("check_fraud", do=risk.check),
        Wait(
            "fraud_review",
            unless=risk.needs_nobody,
            receive=risk.take_decision,
            until=risk.review_due,
            otherwise=Fail("fraud_rejected", "Nobody approved it in time."),
        ),
        Call(
            "capture_payment",
            do=money.capture,
            undo=money.refund,
            retry=GATEWAY,
            undo_retry=GIVING_BACK,
            key_window=money.key_window,
            queue="payments",
        ),
        Step("confirm_order", do=stock.sell_and_confirm),
    )
    stops = {"cancel": Cancel("cancelled_by_buyer"), "payment_reversed": Fail("payment_reversed")}
    late = {"payment_outcome": late_payments.answer}
    closing = staticmethod(closing.close_order)
