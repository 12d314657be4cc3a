"""Taking a confirmed order back as it was before orders were shipped: kept until the last of these is over."""

from marketplace.sagas.definition import Call, Saga, Step
from orders.desk import Desk
from orders.sagas import closing, money, stock
from orders.sagas.patience import GIVING_BACK


class ReverseOrder1(Saga):
    """Version 1 of `ReverseOrder`, which knew of no shipment."""

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
