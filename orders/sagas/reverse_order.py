"""Taking a confirmed order back, before it is shipped."""

from marketplace.sagas.definition import Call, GoOn, Saga, Step, Wait
from orders.desk import Desk
from orders.sagas import closing, money, stock, stopping
from orders.sagas.patience import GIVING_BACK


class ReverseOrder(Saga):
    """Stop the shipment, give the buyer the money back unless the bank has, restock, and close the order.

    For what comes after `place_order` is over, for a finished saga is never reopened. Whoever starts it has stopped the
    saga that ships the order, in the same transaction: that one voids its label, cancels the shipment, and says so. The
    money does not wait for long for a carrier that is down. With the refund there is no way back to an order that
    stands, only forward, and what does not work is left to a person. It starts with what it is for in its context, an
    `orders.reversals.Wish`: how the order ends (`kind`, `code`), who wants it (`actor`), and why (`message`).
    """

    name, version = "reverse_order", 2
    workspace = Desk
    steps = (
        Wait(
            "shipment_stopped",
            unless=stopping.has_no_shipment,
            until=stopping.patience_ends,
            otherwise=GoOn("The shipment is still being stopped; the money does not wait for that."),
            queue="fulfillment",
        ),
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
