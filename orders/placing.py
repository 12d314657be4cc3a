"""Placing orders: one, or all that are asked for at the same moment, in the same few statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from inventory import selectors as catalogue
from inventory.errors import UnknownProduct
from inventory.selectors import Offer
from marketplace.kernel import bulk
from marketplace.kernel.errors import Refusal
from marketplace.kernel.ids import new_id
from marketplace.kernel.money import format_minor
from marketplace.kernel.pipeline import pipelined
from marketplace.outbox.services import append
from marketplace.sagas import services as sagas
from orders import events, numbers, selectors
from orders.errors import CurrencyMismatch, NothingToPay, OrderTooLarge, PriceChanged, SignInRequired
from orders.fraud import keys
from orders.models import Order, OrderLine, Status, TimelineEntry
from orders.sagas.place_order import PlaceOrder
from orders.selectors import OrderView

LARGEST_TOTAL = 10**12 - 1  # minor units: what the strictest of the gateways takes in one charge, generously
MOST_LINES = 50
MOST_UNITS = 999  # of one SKU


@dataclass(frozen=True, slots=True)
class OrderLineRequest:
    """So many units of a product, named by `sku` or `product_id`; `price_minor` is the price that the buyer saw."""

    quantity: int
    sku: str = ""
    product_id: UUID | None = None
    price_minor: int | None = None


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a buyer asks for. Empty `user_id`: a guest. Empty `payment_method`: reserve now, pay later.

    `language` is the one in which the buyer is told what becomes of it.
    """

    lines: tuple[OrderLineRequest, ...]
    user_id: str = ""
    email: str = ""
    currency: str = ""
    shipping_address: Mapping[str, Any] | None = None
    payment_method: str = ""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class _Item:
    """A line of the order: so many of what is offered."""

    offer: Offer
    quantity: int


@dataclass(frozen=True, slots=True)
class _Placed:
    """A new order, not written yet."""

    row: Order
    lines: list[OrderLine]


def place(order: NewOrder, *, now: datetime) -> OrderView:
    """Write a new order and start its saga; return it as CREATED. The saga does the rest.

    The catalogue's price counts; several lines of one SKU are summed. Needs a transaction: the order, its saga, its
    first events and whatever the caller writes beside it come to be together, or not at all. Raises `UnknownProduct`,
    `PriceChanged`, `CurrencyMismatch`, `OrderTooLarge`, `NothingToPay`, `SignInRequired`.
    """
    [placed] = place_many([order], now=now)
    if isinstance(placed, Refusal):
        raise placed
    return placed


def place_many(orders: Sequence[NewOrder], *, now: datetime) -> list[OrderView | Refusal]:
    """Do for each of `orders` what `place` does, in the caller's transaction; answer each, in their order.

    An order that is refused is answered by its refusal, and nothing is written for it. The statements are as many for
    one order as for a hundred.
    """
    shelf = _Shelf(orders)
    answers: list[_Placed | Refusal] = []
    for order in orders:
        try:
            answers.append(_prepare(order, shelf, now=now))
        except Refusal as refusal:
            answers.append(refusal)
    _write([placed for placed in answers if isinstance(placed, _Placed)], now=now)
    return [
        selectors.view(answer.row, answer.lines, payment=None) if isinstance(answer, _Placed) else answer
        for answer in answers
    ]


class _Shelf:
    """What is for sale of all that is asked for, as the catalogue has it now."""

    def __init__(self, orders: Sequence[NewOrder]) -> None:
        lines = [line for order in orders for line in order.lines]
        offers = catalogue.offers(
            skus={line.sku for line in lines if line.sku},
            ids={line.product_id for line in lines if line.product_id and not line.sku},
        )
        self._by_sku = {offer.sku: offer for offer in offers}
        self._by_id = {offer.id: offer for offer in offers}

    def find(self, line: OrderLineRequest) -> Offer | None:
        """Return what `line` names."""
        if line.sku:
            return self._by_sku.get(line.sku)
        return self._by_id.get(line.product_id) if line.product_id else None


def _prepare(order: NewOrder, shelf: _Shelf, *, now: datetime) -> _Placed:
    if not order.user_id and not settings.GUEST_CHECKOUT:
        raise SignInRequired
    items = _price(order, shelf)
    total = sum(item.offer.price_minor * item.quantity for item in items)
    if total > LARGEST_TOTAL:
        raise OrderTooLarge
    if not total:
        raise NothingToPay
    row = Order(
        id=new_id(),
        user_id=order.user_id,
        email=order.email,
        language=order.language,
        shipping_address=dict(order.shipping_address) if order.shipping_address else None,
        email_key=keys.email_key(order.email) if order.email else "",
        address_key=keys.address_key(order.shipping_address) if order.shipping_address else "",
        currency=items[0].offer.currency,
        total_minor=total,
        payment_method=order.payment_method,
        saga_id=new_id(),
        created_at=now,
        updated_at=now,
    )
    lines = [
        OrderLine(
            order_id=row.id,
            position=position,
            sku=item.offer.sku,
            product_name=item.offer.name,
            quantity=item.quantity,
            price_minor=item.offer.price_minor,
        )
        for position, item in enumerate(items, 1)
    ]
    return _Placed(row, lines)


def _price(order: NewOrder, shelf: _Shelf) -> list[_Item]:
    """Find every line's product and sum up the lines of one SKU, in the order in which they first came."""
    items: dict[str, _Item] = {}
    for at, line in enumerate(order.lines):
        offer = shelf.find(line)
        if offer is None:
            raise UnknownProduct(sku=line.sku or str(line.product_id), pointer=f"/items/{at}")
        if line.price_minor is not None and line.price_minor != offer.price_minor:
            price = format_minor(offer.price_minor, offer.currency)
            raise PriceChanged(sku=offer.sku, price=price, pointer=f"/items/{at}/price")
        earlier = items[offer.sku].quantity if offer.sku in items else 0
        items[offer.sku] = _Item(offer, earlier + line.quantity)
    currencies = {item.offer.currency for item in items.values()} | ({order.currency} - {""})
    if len(currencies) > 1:
        raise CurrencyMismatch(currencies=sorted(currencies))
    return list(items.values())


_ORDER = (
    "id", "number", "status", "failure_code", "failure_message", "failure_detail", "review_status", "refund_status",
    "user_id", "email", "language", "shipping_address", "email_key", "address_key", "currency", "total_minor",
    "payment_method", "transaction_id", "saga_id", "created_at", "updated_at",
)  # fmt: skip


_FIRST_EVENTS = ("ORDER_CREATED", "SAGA_STARTED")
_LINE = ("order_id", "position", "sku", "product_name", "quantity", "price_minor")


def _write(placed: Sequence[_Placed], *, now: datetime) -> None:
    if not placed:
        return
    rows = [one.row for one in placed]
    for row, number in zip(rows, _numbers(len(rows)), strict=True):
        row.number = number
    lines = [[getattr(line, name) for name in _LINE] for one in placed for line in one.lines]
    entries = [(row.id, "", Status.CREATED, row.user_id or "guest", "Order placed.", now) for row in rows]
    told = [events.about(row, kind, {}, saga_id=row.saga_id) for row in rows for kind in _FIRST_EVENTS]
    with pipelined():
        bulk.insert(Order, _ORDER, [[getattr(row, name) for name in _ORDER] for row in rows])
        bulk.insert(OrderLine, ("order", *_LINE[1:]), lines)
        bulk.insert(TimelineEntry, ("order", "from_status", "to_status", "who", "why", "at"), entries)
        sagas.start(PlaceOrder, [sagas.Start(id=row.saga_id, subject_id=row.id) for row in rows], now=now)
        append(told, now=now)


def _numbers(count: int) -> list[str]:
    """Take the next order numbers: short, for the telephone; gaps are normal."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('orders_number') FROM generate_series(1, %s)", [count])
        return [numbers.number(row[0]) for row in cursor.fetchall()]
