"""Giving money back because a person wants it: all of it or a part."""

from marketplace.sagas.definition import Call, Saga, Step
from orders.sagas import money, refunding
from orders.sagas.patience import GIVING_BACK


class RefundPayment(Saga):
    """Send one refund that was asked for to the gateway, until it is known what became of it.

    Its subject is the refund, not the order: an order may have several, and its status does not change by them. It is
    the pivot from its first step on, for nobody can take a refund back. What the gateway refuses, or what has no answer
    for a day, is left to a person.
    """

    name, version = "refund_payment", 1
    workspace = refunding.RefundDesk
    steps = (
        Call(
            "send_refund",
            do=refunding.send,
            retry=GIVING_BACK,
            key_window=money.key_window,
            queue="payments",
            pivot=True,
        ),
        Step("close_refund", do=refunding.close),
    )
