"""Money that no saga can put right by itself: a person's case."""

from marketplace.sagas.definition import Saga, Step
from orders.sagas import cases


class PaymentCase(Saga):
    """Ask a person what to do about the money of an order, and write down on the order that they have seen to it.

    For what happens to the money of an order that has left the house: its status stays, so there is nothing to undo. It
    parks at once, and is over when somebody resolves it. Its subject is the case, not the order, of which there may be
    several; its context says `why` it was opened.
    """

    name, version = "payment_case", 2
    workspace = cases.CaseDesk
    steps = (
        Step("decide", do=cases.ask),
        Step("note_decision", do=cases.note_decision),
    )
