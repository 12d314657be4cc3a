"""What an order can be refused for.

Refusal
├── CurrencyMismatch    the catalogue's price is in another currency
├── OrderTooLarge       more money than an amount can hold
└── SignInRequired      guests can't order here
NotFound
└── UnknownOrder        there is no such order, or it is not yours
Conflict
├── PriceChanged        the price is not the one that the buyer saw
├── NotPayable          the order does not wait for a payment
├── AlreadyShipped      too late to cancel
├── NotConfirmed        nobody is to ship it yet
└── NotCancellable      it has come to an end that can't be cancelled
"""

from marketplace.kernel.errors import Conflict, NotFound, Refusal


class UnknownOrder(NotFound):
    """There is no such order here, or it belongs to somebody else."""

    code = "unknown_order"


class CurrencyMismatch(Refusal):
    """The price of this product is in another currency."""

    code = "currency_mismatch"


class OrderTooLarge(Refusal):
    """The total of this order is more than we can charge at once."""

    code = "order_too_large"


class SignInRequired(Refusal):
    """Please sign in to order."""

    code = "sign_in_required"


class PriceChanged(Conflict):
    """The price has changed since you looked. Please check it and order again."""

    code = "price_changed"


class NotPayable(Conflict):
    """This order is not waiting for a payment."""

    code = "not_payable"


class AlreadyShipped(Conflict):
    """The parcel is already on its way, so the order can't be cancelled any more."""

    code = "already_shipped"


class NotConfirmed(Conflict):
    """This order is not confirmed, so there is nothing to ship yet."""

    code = "not_confirmed"


class NotCancellable(Conflict):
    """This order can't be cancelled any more."""

    code = "not_cancellable"
