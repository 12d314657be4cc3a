"""What a buyer sends back, and the money for it."""

from marketplace.sagas.definition import Call, Cancel, Saga, Step, Wait
from orders.sagas import money, returning
from orders.sagas.patience import GIVING_BACK


class ReturnOrder(Saga):
    """Take back a part of a delivered order, or all of it: approved by staff, received, restocked, refunded.

    Its subject is the return; the order stays DELIVERED. Nothing is undone where it ends early, for until the parcel is
    back nothing has happened. From then on there is only a way forward, and what the gateway refuses, or what has no
    answer for a day, is left to a person.
    """

    name, version = "return_order", 1
    workspace = returning.ReturnDesk
    steps = (
        Wait(
            "approval",
            receive=returning.take_decision,
            until=returning.answer_by,
            otherwise=Cancel("return_expired", "Nobody decided about it in time."),
        ),
        Wait(
            "receipt",
            receive=returning.take_receipt,
            until=returning.arrive_by,
            otherwise=Cancel("return_expired", "It did not come back in time."),
            queue="inventory",
        ),
        Step("restock_return", do=returning.restock, queue="inventory", pivot=True),
        Call("refund_return", do=returning.give_back, retry=GIVING_BACK, key_window=money.key_window, queue="payments"),
        Step("close_return", do=returning.close),
    )
    closing = staticmethod(returning.close_early)
