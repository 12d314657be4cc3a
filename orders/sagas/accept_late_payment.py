"""Money that comes for an order that has ended without it."""

from marketplace.sagas.definition import Call, Cancel, Fail, Saga, Step
from orders.desk import Desk
from orders.sagas import late, money, risk, stock
from orders.sagas.patience import GATEWAY, GIVING_BACK


class AcceptLatePayment(Saga):
    """Let an order that had run out of time go on with the money that came after all, or give the money back.

    The order stays as it ended until everything is certain: the units are held anew, the checks are passed, the money
    is taken. Where that can't be, or the order may not go on (somebody had cancelled it, say), the undo of the first
    step is the money's way back to the buyer.
    """

    name, version = "accept_late_payment", 1
    workspace = Desk
    steps = (
        Call(
            "take_in_payment",
            do=late.take_in,
            undo=late.give_back,
            undo_retry=GIVING_BACK,
            key_window=money.key_window,
            given=True,
            queue="payments",
        ),
        Step("check_order", do=late.check),
        Step("reserve_inventory", do=stock.reserve_again, undo=stock.release, queue="inventory"),
        Step("check_fraud", do=risk.check_at_once),
        Call(
            "capture_payment",
            do=late.capture,
            undo=money.refund,
            retry=GATEWAY,
            undo_retry=GIVING_BACK,
            key_window=money.key_window,
            queue="payments",
        ),
        Step("confirm_order", do=late.confirm),
    )
    stops = {"cancel": Cancel("cancelled_by_buyer"), "payment_reversed": Fail("payment_reversed")}
    closing = staticmethod(late.close)
