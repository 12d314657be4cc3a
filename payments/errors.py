"""The errors of this app.

    Conflict
    ├── PaymentDiffers          the payment exists already, with another amount, currency or method
    ├── KeyTaken                the idempotency key belongs to another payment
    ├── SightingOutdated        the payment was changed while the gateway was asked: look again
    └── RefundUnderWay          an answer about a refund of ours is still to come: look again later
    CallInsideTransaction       a programming error: the network was about to be used while rows are locked

`payments.gateways.base.GatewayUnavailable` belongs to the gateways.
"""

from marketplace.kernel.errors import Conflict


class PaymentDiffers(Conflict):
    """This payment has been opened already, with another amount, currency or method."""

    code = "payment_differs"


class KeyTaken(Conflict):
    """This idempotency key belongs to another payment, or this payment has been authorized under another key."""

    code = "idempotency_key_taken"


class SightingOutdated(Conflict):
    """The payment was changed while the gateway was asked about it."""

    code = "sighting_outdated"
    retryable = True


class RefundUnderWay(Conflict):
    """Whether this refund is one of ours can't be told before ours is answered."""

    code = "refund_under_way"
    retryable = True


class CallInsideTransaction(RuntimeError):
    """A gateway must not be called inside a transaction: locks would be held for as long as it takes to answer."""
