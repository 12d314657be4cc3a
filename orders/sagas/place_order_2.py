"""Buy Now as it was when an order could be paid once only, and nobody looked at one: kept until its last is over."""

from marketplace.sagas.definition import Call, Cancel, Fail, GoOn, Saga, Step, Wait
from orders import late_payments
from orders.desk import Desk
from orders.sagas import bank, closing, money, risk, stock
from orders.sagas.patience import GATEWAY, GIVING_BACK


class PlaceOrder2(Saga):
    """Version 2 of `PlaceOrder`. A payment that is declined ends the order, whatever PAYMENT_ATTEMPTS says.

    And one that a person should look at has no time for that, so it is refused.
    """

    name, version = "place_order", 2
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
        ),
        Call(
            "authorize_payment",
            do=money.authorize,
            undo=money.void,
            retry=GATEWAY,
            undo_retry=GIVING_BACK,
            key_window=money.key_window,
            queue="payments",
        ),
        Wait(
            "payment_outcome",
            queue="payments",
            unless=bank.is_paid,
            receive=bank.take_outcome,
            until=bank.outcome_due,
            otherwise=GoOn("No word from the bank in time."),
        ),
        Call("look_up_payment", unless=bank.is_paid, do=bank.look_up, retry=GATEWAY, queue="payments"),
        Step("check_fraud", do=risk.check_at_once),
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
