"""Taking a confirmed order back, before it is shipped."""

from marketplace.sagas.definition import Call, Saga, Step
from orders.desk import Desk
from orders.sagas import closing, money, stock
from orders.sagas.patience import GIVING_BACK


class ReverseOrder(Saga):
    """Give the buyer the money back unless the bank has, put the units back on the shelf, and close the order.

    For what comes after `place_order` is over, for a finished saga is never reopened. It is the pivot from its first
    step on: there is no way back to an order that stands, only forward, and what does not work is left to a person. It
    starts with what it is for in its context, an `orders.reversals.Wish`: how the order ends (`kind`, `code`), who
    wants it (`actor`), and why (`message`).
    """

    name, version = "reverse_order", 1
    workspace = Desk
    steps = (
        Call(
            "refund_payment",
            do=money.give_back,
            retry=GIVING_BACK,
            key_window=money.key_window,
            queue="payments",
            pivot=True,
        ),
        Step("restock_inventory", do=stock.take_back, queue="inventory"),
        Step("close_order", do=closing.close_reversed),
    )
