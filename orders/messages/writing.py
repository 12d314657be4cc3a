"""From an order and the words about it to a mail: plain text and HTML that say the same."""

from collections.abc import Sequence
from email.utils import parseaddr
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from marketplace.mail.letters import Letter
from orders.messages import enclosures, locales, return_texts, texts
from orders.messages.kinds import return_of
from orders.messages.models import Kind, Message
from orders.messages.texts import About, Words
from orders.returns.selectors import ReturnedLine
from orders.selectors import ItemView, OrderView

_TEXTS: Final = {**texts.TEXTS, **return_texts.TEXTS}


def message_id(identity: UUID) -> str:
    """Return the Message-ID of the mail whose row has this id."""
    return f"<{identity}@{settings.MAIL_DOMAIN}>"


def write(message: Message, order: OrderView) -> Letter:
    """Write the mail that `message` asks for, about `order` as it is now, in the language of the row.

    Reads what is enclosed (an invoice); raises what that raises.
    """
    with translation.override(message.language):
        about = About(order, message.detail, message.language, return_of(message.detail))
        said = _TEXTS[Kind(message.kind)](about)
        context = {
            "words": said,
            "order": order,
            **_listed(about, said),
            **_destination(about, said),
            "name": (order.shipping_address or {}).get("name", ""),
            "shop": parseaddr(settings.MAIL_FROM)[0] or "Marketplace",
            "shop_url": settings.PUBLIC_URL,
            "language": message.language,
            "days": settings.MAIL_LINK_DAYS,
        }
        return Letter(
            id=message.id,
            recipient=message.recipient,
            subject=said.subject,
            text=_text(context),
            html=render_to_string("orders/messages/mail.html", context),
            language=message.language,
            attachments=enclosures.of(message, order),
        )


def _text(context: dict[str, Any]) -> str:
    """Render the plain text: no line of a template's own making is left empty twice."""
    rendered = render_to_string("orders/messages/mail.txt", context)
    lines: list[str] = []
    for line in (one.rstrip() for one in rendered.strip().splitlines()):
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _listed(about: About, said: Words) -> dict[str, Any]:
    """The lines that belong to it: those of the order, or of what comes back of it."""
    if said.parcel and about.returned is not None:
        title = _("Return %(number)s") % {"number": about.returned.number}
        return {"listed": title, "lines": _lines(about.returned.lines, about)}
    if said.receipt:
        title = _("Order %(number)s") % {"number": about.order.number}
        return {"listed": title, "lines": _lines(about.order.items, about), "total": about.total}
    return {}


def _destination(about: About, said: Words) -> dict[str, Any]:
    """Where the things go: to the buyer, or back to us."""
    if said.ours:
        return {"goes": _("Send it to"), "address": locales.return_lines(about.language)}
    if said.address:
        lines = locales.address_lines(about.order.shipping_address or {}, about.language)
        return {"goes": _("Goes to"), "address": lines}
    return {}


def _lines(items: Sequence[ItemView] | Sequence[ReturnedLine], about: About) -> tuple[dict[str, str], ...]:
    return tuple(
        {
            "what": f"{item.quantity} × {item.product_name}",  # noqa: RUF001 - as it is printed
            "price": locales.money(item.price_minor * item.quantity, about.order.currency, about.language),
        }
        for item in items
    )
