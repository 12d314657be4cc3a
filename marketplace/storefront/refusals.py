"""What the pages say when something is refused, in the visitor's language."""

from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from marketplace.kernel.errors import MarketplaceError
from orders import wording

# An error's message is English, for programs. These are the ones that a shopper may come to read.
MESSAGES: Final = (
    _("A service this depends on is not answering. Please try again in a moment."),
    _("The current state does not allow this."),
    _("There is no such thing here."),
    _("There is no such product in the catalogue."),
    _("There is no such order here, or it belongs to somebody else."),
    _("The price of this product is in another currency."),
    _("The total of this order is more than we can charge at once."),
    _("This order costs nothing: only what is paid for can be ordered here."),
    _("Please sign in to order."),
    _("The price has changed since you looked. Please check it and order again."),
    _("This order is not waiting for a payment."),
    _("That payment has failed meanwhile. Please choose again how to pay."),
    _("The time to pay for this order has run out."),
    _("This order has not come to nothing, so there is nothing to try again."),
    _("The parcel is already on its way, so the order can't be cancelled any more."),
    _("This order can't be cancelled any more."),
    _("This order has no invoice: it gets one when it is confirmed."),
    _("This order has no such credit note."),
    _("There is no such return."),
    _("Please say why: it goes on record."),
    _("Please say what you send back, and how many of it."),
    _("This order has not been delivered, so nothing of it can be returned yet."),
    _("The time to return something of this order is over."),
    _("A return of this order is under way already. When it is over, you can return more."),
    _("Not so many of this can be returned."),
    _("This return is decided already."),
    _("This return has come to its end."),
)


def said(error: MarketplaceError) -> str:
    """Return what `error` says, in the active language; of what is known in English only, as much as is known."""
    return wording.known(error.message) or wording.known(type(error)().message) or gettext("This can't be done.")
