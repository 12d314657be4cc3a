"""Paying in the buyer's browser: what a page must know of the gateway, and word that the buyer has been there.

Card data never comes here. A provider's script takes it in and hands the page a token, which is all that we are sent;
what looks like a card's number is refused before anybody keeps it.
"""

import re
from collections.abc import Mapping
from typing import Final
from uuid import UUID

import structlog
from celery import current_app
from django.db import transaction

from marketplace.kernel.clock import database_now
from payments import gateways, news, services
from payments.errors import RefundUnderWay, SightingOutdated
from payments.gateways.base import InBrowser, Widget
from payments.observations import sight
from payments.selectors import PaymentView, payments_of
from payments.states import PaymentStatus

log = structlog.get_logger(__name__)

TASK: Final = "payments.tasks.look_at"
LOOKS: Final = 3  # at a payment that changes while it is looked at

# 12 to 19 digits (ISO/IEC 7812-1), perhaps in groups, that are no part of a longer word.
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CARD_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9])[0-9](?:[ _.-]?[0-9]){11,18}(?![A-Za-z0-9])")


def looks_like_a_card(method: str) -> bool:
    """Whether there is something in `method` that could be a card's number, mistyped or not."""
    return _CARD_NUMBER.search(_UUID.sub("", method)) is not None


def widget(*, amount_minor: int, currency: str) -> Widget | None:
    """What a page must know to take in a payment of so much by the gateway of the settings.

    None: that one has no script of its own, and is paid by naming a token, as the sandbox is.
    """
    gateway = gateways.gateway()
    return gateway.widget(amount_minor=amount_minor, currency=currency) if isinstance(gateway, InBrowser) else None


def confirmation(reference_id: UUID) -> Mapping[str, str]:
    """What the provider's script must know so that the buyer of this order can confirm its payment; empty: nothing.

    For the buyer's own browser only, and to be kept nowhere. May use the network, so it must not be called in a
    transaction. Raises `GatewayUnavailable`.
    """
    payment = _awaited(reference_id)
    if payment is None:
        return {}
    gateway = gateways.gateway(payment.gateway)
    return gateway.confirmation(reference=payment.gateway_reference) if isinstance(gateway, InBrowser) else {}


def buyer_was_there(reference_id: UUID) -> None:
    """Have a worker look soon what became of a payment that its buyer has just confirmed, or has tried to.

    A courtesy to the buyer, who waits: the provider's webhook says the same, a little later. Never raises for a broker
    that is away.
    """
    payment = _awaited(reference_id)
    if payment is None:
        return
    try:
        current_app.send_task(TASK, [str(payment.id)], queue="payments", expires=60, retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001 - each broker has its own; the webhook, or the deadline, looks as well
        log.warning("look_not_asked_for", error=type(error).__name__, message=str(error))


def look_at(payment_id: UUID) -> None:
    """Look what the gateway believes about a payment, and take it in. Raises `GatewayUnavailable`.

    To be called outside of any transaction.
    """
    for _ in range(LOOKS):
        sighting = sight(payment_id)
        try:
            with transaction.atomic():
                now = database_now()
                occurred_at = sighting.charge.created_at if sighting.charge is not None else now
                services.observe(sighting, event_id=f"look:{payment_id}", occurred_at=occurred_at, now=now)
        except SightingOutdated:
            continue
        except RefundUnderWay:
            return  # its answer will say more
        break
    news.pass_on(now=database_now(), payment_id=payment_id)


def _awaited(reference_id: UUID) -> PaymentView | None:
    """The order's payment, if it waits for its buyer."""
    payment = payments_of([reference_id]).get(reference_id)
    waits = payment is not None and payment.status == PaymentStatus.PENDING and bool(payment.action_url)
    return payment if waits else None
