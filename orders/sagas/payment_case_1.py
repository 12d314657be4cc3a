"""A case as it was when an order had one at most: kept until the last of these is settled."""

from marketplace.sagas.definition import Saga, Step
from orders.desk import Desk
from orders.sagas import cases


class PaymentCase1(Saga):
    """Version 1 of `PaymentCase`, whose subject was the order."""

    name, version = "payment_case", 1
    workspace = Desk
    steps = (
        Step("decide", do=cases.ask),
        Step("note_decision", do=cases.note_decision),
    )
