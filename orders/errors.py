"""What an order can be refused for.

Refusal
├── CurrencyMismatch    the catalogue's price is in another currency
├── OrderTooLarge       more money than an amount can hold
├── NothingToPay        all of it is for free, and nobody can be charged nothing
├── SignInRequired      guests can't order here
└── ReasonMissing       who decides about an order says why
NotFound
├── UnknownOrder        there is no such order, or it is not yours
├── NotInvoiced         it has no invoice, or none yet
├── UnknownCreditNote   it has no such credit note
└── UnknownReview       there is no such review
Conflict
├── PriceChanged        the price is not the one that the buyer saw
├── NotPayable          the order does not wait for a payment
├── NotRetryable        the order has not come to nothing
├── AlreadyShipped      too late to cancel
├── NotConfirmed        nobody is to ship it yet
├── NotPlacedYet        there is nothing to refund before it is confirmed: cancel it
├── BeingTakenBack      all of its money goes back already
├── ReviewOver          it is decided already, or the order came to an end
├── NotCancellable      it has come to an end that can't be cancelled
├── CreditTooLarge      more than is left of the invoice
└── CreditKeyReused     the key is that of another credit note
"""

from marketplace.kernel.errors import Conflict, NotFound, Refusal


class UnknownOrder(NotFound):
    """There is no such order here, or it belongs to somebody else."""

    code = "unknown_order"


class NotInvoiced(NotFound):
    """This order has no invoice: it gets one when it is confirmed."""

    code = "not_invoiced"


class UnknownCreditNote(NotFound):
    """This order has no such credit note."""

    code = "unknown_credit_note"


class UnknownReview(NotFound):
    """There is no such review."""

    code = "unknown_review"


class ReasonMissing(Refusal):
    """Please say why: it goes on record."""

    code = "reason_missing"


class ReviewOver(Conflict):
    """Somebody has decided about this order already, or it came to an end before anybody could."""

    code = "review_over"


class CurrencyMismatch(Refusal):
    """The price of this product is in another currency."""

    code = "currency_mismatch"


class OrderTooLarge(Refusal):
    """The total of this order is more than we can charge at once."""

    code = "order_too_large"


class NothingToPay(Refusal):
    """This order costs nothing: only what is paid for can be ordered here."""

    code = "nothing_to_pay"


class SignInRequired(Refusal):
    """Please sign in to order."""

    code = "sign_in_required"


class PriceChanged(Conflict):
    """The price has changed since you looked. Please check it and order again."""

    code = "price_changed"


class NotPayable(Conflict):
    """This order is not waiting for a payment."""

    code = "not_payable"


class NotRetryable(Conflict):
    """This order has not come to nothing, so there is nothing to try again."""

    code = "not_retryable"


class AlreadyShipped(Conflict):
    """The parcel is already on its way, so the order can't be cancelled any more."""

    code = "already_shipped"


class NotConfirmed(Conflict):
    """This order is not confirmed, so there is nothing to ship yet."""

    code = "not_confirmed"


class NotPlacedYet(Conflict):
    """This order is still being placed: cancel it, and what was taken goes back."""

    code = "not_placed_yet"


class BeingTakenBack(Conflict):
    """This order is being taken back already, and all of its money with it."""

    code = "being_taken_back"


class NotCancellable(Conflict):
    """This order can't be cancelled any more."""

    code = "not_cancellable"


class CreditTooLarge(Conflict):
    """A credit note can be over what is left of its invoice, and not over more, or over nothing."""

    code = "credit_too_large"


class CreditKeyReused(Conflict):
    """A credit note was given by this key already, and over something else."""

    code = "credit_key_reused"
