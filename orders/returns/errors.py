"""What a return can be refused for.

NotFound
└── UnknownReturn       there is no such return
Refusal
├── NothingChosen       it is of no units at all
└── WrongReceipt        more has come, by what is said, than was to come
Conflict
├── NotDelivered        nothing can come back that has not arrived
├── ReturnTermOver      the time to send something back is over
├── ReturnUnderWay      another return of this order is open
├── NotReturnable       not so many units of this were bought, or they are back already
├── ReturnDecided       somebody has approved, rejected or withdrawn it already
├── ReturnNotApproved   nothing is expected back by it
├── ReturnReceived      somebody has said already what came back
└── ReturnOver          it has come to its end
"""

from marketplace.kernel.errors import Conflict, NotFound, Refusal


class UnknownReturn(NotFound):
    """There is no such return."""

    code = "unknown_return"


class NothingChosen(Refusal):
    """Please say what you send back, and how many of it."""

    code = "nothing_chosen"


class WrongReceipt(Refusal):
    """More units than were to come back."""

    code = "wrong_receipt"


class NotDelivered(Conflict):
    """This order has not been delivered, so nothing of it can be returned yet."""

    code = "not_delivered"


class ReturnTermOver(Conflict):
    """The time to return something of this order is over."""

    code = "return_term_over"


class ReturnUnderWay(Conflict):
    """A return of this order is under way already. When it is over, you can return more."""

    code = "return_under_way"


class NotReturnable(Conflict):
    """Not so many of this can be returned."""

    code = "not_returnable"


class ReturnDecided(Conflict):
    """This return is decided already."""

    code = "return_decided"


class ReturnNotApproved(Conflict):
    """This return is not approved, so nothing is expected back."""

    code = "return_not_approved"


class ReturnReceived(Conflict):
    """What came back is written down already."""

    code = "return_received"


class ReturnOver(Conflict):
    """This return has come to its end."""

    code = "return_over"
