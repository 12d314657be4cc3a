"""The words of each mail about an order, in the language that is active; `marketplace/locale` has them in the others.

Neutral and plain: what happened, where the money is, what the buyer can do. Each function is one mail.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from django.utils.translation import gettext as _

from fulfillment.selectors import carrier_name
from marketplace.kernel.money import InvalidAmount, Money
from orders import wording
from orders.messages import links, locales
from orders.messages.models import Kind
from orders.models import Status
from orders.returns.selectors import ReturnView
from orders.selectors import OrderView


@dataclass(frozen=True, slots=True)
class Words:
    """What a mail says. `preview` is the line that mail programs show beside the subject; `action` is a link's label.

    `receipt`: whether the lines of the order and its total belong to it; `address`: whether where it goes does;
    `parcel`: whether the lines of the return do, and `ours`: whether where those go does.
    """

    subject: str
    preview: str
    headline: str
    paragraphs: tuple[str, ...]
    action: str
    target: str
    receipt: bool = False
    address: bool = False
    parcel: bool = False
    ours: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """What a mail is about: the order and its return as they are now, and what the event told beside them."""

    order: OrderView
    detail: Mapping[str, Any]
    language: str
    returned: ReturnView | None = None  # the return that it is about, or whose refund it is about

    @property
    def total(self) -> str:
        """What the order costs, for people."""
        return locales.money(self.order.total_minor, self.order.currency, self.language)

    @property
    def until(self) -> str:
        """When the hold ends, as a time of day."""
        return locales.clock(self.order.reserved_until, self.language) if self.order.reserved_until else ""

    @property
    def page(self) -> str:
        """The order's page."""
        return links.order_page(self.order.id)

    @property
    def failure(self) -> str:
        """Why the order ended, and where the money is."""
        order = self.order
        return wording.failure(order.failure_code, order.failure_detail, refund=order.refund_status)

    @property
    def came_back(self) -> str:
        """What arrived of a return."""
        lines = self.returned.lines if self.returned else ()
        items = ", ".join(f"{line.received} × {line.product_name}" for line in lines if line.received)  # noqa: RUF001
        return _("This came back: %(items)s.") % {"items": items}

    def told(self, name: str) -> str:
        """What the event told under `name`; empty where it didn't."""
        return str(self.detail.get(name) or "")

    def day(self, when: datetime | str | None) -> str:
        """Write a day (also ISO 8601, with or without a time) for people; empty for anything else."""
        try:
            known = datetime.fromisoformat(when) if isinstance(when, str) else when
        except ValueError:
            return ""
        return locales.day(date(known.year, known.month, known.day), self.language) if known else ""


def _received(about: About) -> Words:
    number = about.order.number
    paragraphs = [_("Thank you! We have received your order, and we are working on it.")]
    if about.order.status == Status.RESERVED and not about.order.payment_method and about.until:
        paragraphs.append(
            _("Your things are set aside for you until %(time)s. Pay until then, and they are yours.")
            % {"time": about.until}
        )
    else:
        paragraphs.append(
            _("You will hear from us as soon as it is confirmed. You are charged only then, and only once.")
        )
    return Words(
        subject=_("Your order %(number)s") % {"number": number},
        preview=_("We have received your order."),
        headline=_("We have your order"),
        paragraphs=tuple(paragraphs),
        action=_("See your order"),
        target=about.page,
        receipt=True,
        address=True,
    )


def _payment_failed(about: About) -> Words:
    number = about.order.number
    if about.order.status == Status.RESERVED:
        paragraphs = (
            _("Your bank or card declined the payment. No money was taken."),
            _("Your things are still set aside for you until %(time)s. You can try again by another method.")
            % {"time": about.until},
        )
    else:
        paragraphs = (
            about.failure,
            _("Your things went back on the shelf. If you still want them, try again, perhaps with another card."),
        )
    return Words(
        subject=_("The payment for your order %(number)s failed") % {"number": number},
        preview=_("You can try again."),
        headline=_("The payment did not work"),
        paragraphs=paragraphs,
        action=_("Try again"),
        target=links.try_again(about.order.id),
        receipt=True,
    )


def _out_of_stock(about: About) -> Words:
    return Words(
        subject=_("Out of stock: your order %(number)s") % {"number": about.order.number},
        preview=_("There was not enough left of what you wanted."),
        headline=_("Out of stock"),
        paragraphs=(
            *wording.shortages(about.order.failure_detail.get("shortages", ())),
            _("No money was taken."),
            _("We are sorry. You can order fewer, where some are left, or find something else you like."),
        ),
        action=_("See your order"),
        target=about.page,
    )


def _expiring(about: About) -> Words:
    return Words(
        subject=_("Your reservation %(number)s ends soon") % {"number": about.order.number},
        preview=_("Set aside for you until %(time)s.") % {"time": about.until},
        headline=_("Do you still want it?"),
        paragraphs=(
            _("We keep your things for you until %(time)s. After that they go back on the shelf.")
            % {"time": about.until},
            _("If you do not want them any more, you need not do anything."),
        ),
        action=_("Pay now"),
        target=about.page,
        receipt=True,
    )


def _confirmed(about: About) -> Words:
    return Words(
        subject=_("Your order %(number)s is confirmed") % {"number": about.order.number},
        preview=_("Thank you! It is yours."),
        headline=_("It is yours"),
        paragraphs=(
            _("Thank you! Your payment of %(amount)s went through, and your order is confirmed.")
            % {"amount": about.total},
            _("Our warehouse packs it now. We write again when it is on the way."),
            *((_("Your invoice is attached."),) if about.order.papers.invoice else ()),
        ),
        action=_("See your order"),
        target=about.page,
        receipt=True,
        address=True,
    )


def _on_the_way(about: About) -> Words:
    carrier, number = carrier_name(about.told("carrier")), about.told("trackingNumber")
    paragraphs = [_("Your parcel has left our house, and is on the way to you.")]
    if number:
        paragraphs.append(_("Tracking number: %(number)s") % {"number": f"{number} ({carrier})" if carrier else number})
    arrives = about.day(about.told("estimatedDelivery"))
    if arrives:
        paragraphs.append(_("We expect it to arrive on %(day)s.") % {"day": arrives})
    tracking = about.told("trackingUrl")
    return Words(
        subject=_("Your order %(number)s is on the way") % {"number": about.order.number},
        preview=_("Your parcel is on the way to you."),
        headline=_("On the way"),
        paragraphs=tuple(paragraphs),
        action=_("Follow your parcel") if tracking else _("See your order"),
        target=tracking or about.page,
        receipt=True,
        address=True,
    )


def _delivered(about: About) -> Words:
    return Words(
        subject=_("Your order %(number)s has arrived") % {"number": about.order.number},
        preview=_("Your parcel was delivered."),
        headline=_("Delivered"),
        paragraphs=(
            _("Your parcel was delivered. Enjoy!"),
            _("If something is not right with it, just answer this mail."),
        ),
        action=_("See your order"),
        target=about.page,
        receipt=True,
    )


def _cancelled(about: About) -> Words:
    return Words(
        subject=_("Your order %(number)s is cancelled") % {"number": about.order.number},
        preview=_("It was stopped, and everything went back on the shelf."),
        headline=_("Cancelled"),
        paragraphs=(about.failure, _("If you still want these things, just order again.")),
        action=_("See your order"),
        target=about.page,
        receipt=True,
    )


def _refunded(about: About) -> Words:
    amount, whole = _amount(about)
    if whole:
        how_much = _("We have sent %(amount)s back to you. That is all that you paid for this order.") % {
            "amount": amount
        }
    else:
        how_much = _("We have sent %(amount)s of what you paid back to you.") % {"amount": amount}
    return Words(
        subject=_("Your refund for order %(number)s") % {"number": about.order.number},
        preview=_("%(amount)s is on its way back to you.") % {"amount": amount},
        headline=_("Money back"),
        paragraphs=(
            *_arrived(about),
            how_much,
            _("It goes back the way it came. Your bank may need a few days to show it."),
        ),
        action=_("See your order"),
        target=about.page,
    )


def _arrived(about: About) -> tuple[str, ...]:
    """What is said of a parcel that came back, where the money is for that."""
    if about.returned is None:
        return ()
    return (_("Your return %(number)s is here. Thank you!") % {"number": about.returned.number}, about.came_back)


def _failed(about: About) -> Words:
    return Words(
        subject=_("Your order %(number)s could not be completed") % {"number": about.order.number},
        preview=_("We had to stop your order."),
        headline=_("This did not work out"),
        paragraphs=(about.failure, _("If you have questions, just answer this mail.")),
        action=_("See your order"),
        target=about.page,
        receipt=True,
    )


def _amount(about: About) -> tuple[str, bool]:
    """What was sent back, for people, and whether that is all of the money."""
    order = about.order
    try:
        minor = Money.parse(about.told("amount"), order.currency).minor
    except InvalidAmount:
        minor = order.total_minor
    return locales.money(minor, order.currency, about.language), minor >= order.total_minor


TEXTS: Final[Mapping[Kind, Callable[[About], Words]]] = {
    Kind.RECEIVED: _received,
    Kind.PAYMENT_FAILED: _payment_failed,
    Kind.OUT_OF_STOCK: _out_of_stock,
    Kind.EXPIRING: _expiring,
    Kind.CONFIRMED: _confirmed,
    Kind.ON_THE_WAY: _on_the_way,
    Kind.DELIVERED: _delivered,
    Kind.CANCELLED: _cancelled,
    Kind.REFUNDED: _refunded,
    Kind.FAILED: _failed,
}
