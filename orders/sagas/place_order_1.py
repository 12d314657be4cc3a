"""Buy Now as it was before a bank could answer later: kept until the last order placed by it is over."""

from marketplace.sagas.definition import Call, Cancel, Fail, Saga, Step, Wait
from orders import late_payments
from orders.desk import Desk
from orders.sagas import closing, money, risk, stock
from orders.sagas.patience import GATEWAY, GIVING_BACK


class PlaceOrder1(Saga):
    """Version 1 of `PlaceOrder`. An order whose bank decides later has no time for that here: it fails unpaid."""

    name, version = "place_order", 1
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
        Step("check_fraud", do=risk.check),
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
