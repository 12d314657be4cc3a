"""From the confirmed order to the doorstep."""

from marketplace.sagas.definition import Call, Cancel, GoOn, Saga, Step, Wait
from orders import parcel_news
from orders.desk import FULFILLMENT, Desk
from orders.sagas import labels, scans, shipping
from orders.sagas.patience import CARRIER, GIVING_BACK, LOST_PARCEL, OURS, WAREHOUSE


class FulfillOrder(Saga):
    """Have a confirmed order packed, labelled and carried to the buyer's door.

    Started in the transaction that confirms the order; it may take weeks, nearly all of them waiting. Until the label
    is there, a reversal may stop it, and whatever was done is undone: the label voided, the shipment cancelled. With
    the label the order is SHIPPED, and there is only a way forward. Nothing here fails an order by itself: what the
    carrier refuses, what nobody packs and what is not heard of is left to a person, who has it tried again, or has it
    undone; then, and that is `closing`, the order is taken back as one that can't be shipped.
    """

    name, version = FULFILLMENT, 1
    workspace = Desk
    steps = (
        # In the queue in which orders begin, in the order of time: those who came before it are served first.
        Step("estimate_delivery", do=shipping.estimate, queue="inventory"),
        Step("create_shipment", do=shipping.create, undo=shipping.cancel, retry=OURS, queue="fulfillment"),
        Wait("packed", until=shipping.pack_by, otherwise=GoOn("Not packed in time."), queue="fulfillment"),
        Step("check_packed", do=shipping.check_packed, retry=WAREHOUSE, queue="fulfillment"),
        Call(
            "buy_label",
            do=labels.buy,
            undo=labels.void,
            retry=CARRIER,
            undo_retry=GIVING_BACK,
            key_window=labels.key_window,
            queue="fulfillment",
        ),
        Step("ship_order", do=shipping.ship, retry=OURS, queue="fulfillment", pivot=True),
        Wait(
            "pick_up",
            signal="scanned",
            receive=scans.take,
            until=scans.pick_up_due,
            otherwise=GoOn("No scan of the carrier in time."),
            queue="fulfillment",
        ),
        Call(
            "look_for_pick_up",
            unless=scans.has_moved,
            do=scans.look_for_pick_up,
            retry=LOST_PARCEL,
            queue="fulfillment",
        ),
        Step("hand_over_order", do=shipping.hand_over, retry=OURS, queue="fulfillment"),
        Wait(
            "delivery",
            signal="scanned",
            unless=scans.is_delivered,
            receive=scans.take,
            until=scans.delivery_due,
            otherwise=GoOn("Not delivered in time."),
            queue="fulfillment",
        ),
        Call(
            "look_for_delivery",
            unless=scans.is_delivered,
            do=scans.look_for_delivery,
            retry=LOST_PARCEL,
            queue="fulfillment",
        ),
        Step("deliver_order", do=shipping.deliver, retry=OURS, queue="fulfillment"),
    )
    stops = {"stop": Cancel("stopped")}
    late = {"scanned": parcel_news.came_late}
    closing = staticmethod(shipping.close)
