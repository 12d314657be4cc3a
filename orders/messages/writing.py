"""From an order and the words about it to a mail: plain text and HTML that say the same."""

from email.utils import parseaddr
from typing import Any
from uuid import UUID

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation

from marketplace.mail.letters import Letter
from orders.messages import enclosures, locales
from orders.messages.models import Message
from orders.messages.texts import About, words
from orders.selectors import OrderView


def message_id(identity: UUID) -> str:
    """Return the Message-ID of the mail whose row has this id."""
    return f"<{identity}@{settings.MAIL_DOMAIN}>"


def write(message: Message, order: OrderView) -> Letter:
    """Write the mail that `message` asks for, about `order` as it is now, in the language of the row.

    Reads what is enclosed (an invoice); raises what that raises.
    """
    with translation.override(message.language):
        about = About(order, message.detail, message.language)
        said = words(message.kind, about)
        context = {
            "words": said,
            "order": order,
            "lines": _lines(about) if said.receipt else (),
            "total": about.total,
            "address": locales.address_lines(order.shipping_address or {}, message.language) if said.address else (),
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


def _lines(about: About) -> tuple[dict[str, str], ...]:
    currency, language = about.order.currency, about.language
    return tuple(
        {
            "what": f"{item.quantity} × {item.product_name}",  # noqa: RUF001 - as it is printed
            "price": locales.money(item.price_minor * item.quantity, currency, language),
        }
        for item in about.order.items
    )
