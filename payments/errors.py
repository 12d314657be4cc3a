"""The errors of this app.

    Refusal
    └── RefundTooLarge          more than is left of what was captured
    Conflict
    ├── NothingToRefund         nothing was captured, or nothing is left of it
    ├── PaymentDisputed         the bank decides about the money: a refund on top would give it back twice
    ├── RefundDiffers           this request was about another amount or reason before
    ├── PaymentDiffers          the payment exists already, with another amount, currency or method
    ├── KeyTaken                the idempotency key belongs to another payment
    ├── CaseClosed              somebody has settled it already, or it is gone
    ├── CaseNotSettled          the gateway did not do what was asked: the case stays open
    ├── NeedsAPerson            no button can put this right
    ├── SightingOutdated        the payment was changed while the gateway was asked: look again
    └── RefundUnderWay          an answer about a refund of ours is still to come: look again later
    NotFound
    └── NoSuchCase
    CallInsideTransaction       a programming error: the network was about to be used while rows are locked

`payments.gateways.base.GatewayUnavailable` belongs to the gateways.
"""

from marketplace.kernel.errors import Conflict, NotFound, Refusal


class PaymentDiffers(Conflict):
    """This payment has been opened already, with another amount, currency or method."""

    code = "payment_differs"


class KeyTaken(Conflict):
    """This idempotency key belongs to another payment, or this payment has been authorized under another key."""

    code = "idempotency_key_taken"


class RefundTooLarge(Refusal):
    """This is more than can be given back."""

    code = "refund_too_large"


class NothingToRefund(Conflict):
    """There is nothing to give back: nothing was captured, or nothing is left of it."""

    code = "nothing_to_refund"


class PaymentDisputed(Conflict):
    """The buyer has asked the bank for this money. Wait for its decision: otherwise it may be given back twice."""

    code = "payment_disputed"


class RefundDiffers(Conflict):
    """This refund was asked for before, with another amount or reason."""

    code = "refund_differs"


class SightingOutdated(Conflict):
    """The payment was changed while the gateway was asked about it."""

    code = "sighting_outdated"
    retryable = True


class RefundUnderWay(Conflict):
    """Whether this refund is one of ours can't be told before ours is answered."""

    code = "refund_under_way"
    retryable = True


class NoSuchCase(NotFound):
    """There is no such case."""

    code = "case_not_found"


class CaseClosed(Conflict):
    """This case has been closed already."""

    code = "case_closed"


class CaseNotSettled(Conflict):
    """The gateway did not do what was asked, so the case stays open. Please try again."""

    code = "case_not_settled"
    retryable = True


class NeedsAPerson(Conflict):
    """No button can put this right: look at the gateway's dashboard, then close the case by hand."""

    code = "needs_a_person"


class CallInsideTransaction(RuntimeError):
    """A gateway must not be called inside a transaction: locks would be held for as long as it takes to answer."""
