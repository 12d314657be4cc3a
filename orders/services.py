"""Placing, paying and cancelling orders. Each starts a saga or sends it a signal; only the saga moves the order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from inventory import selectors as catalogue
from inventory import services as inventory
from inventory.errors import UnknownProduct
from inventory.selectors import ProductView
from marketplace.kernel import bulk
from marketplace.kernel.ids import new_id
from marketplace.outbox.services import append
from marketplace.sagas import services as sagas
from orders import events, selectors
from orders.errors import (
    AlreadyShipped,
    CurrencyMismatch,
    NotCancellable,
    NotPayable,
    OrderTooLarge,
    PriceChanged,
    SignInRequired,
)
from orders.models import BEFORE_CONFIRMATION, Order, OrderLine, Status, TimelineEntry
from orders.sagas.place_order import PlaceOrder
from orders.sagas.reverse_order import ReverseOrder
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
    """What a buyer asks for. Empty `user_id`: a guest. Empty `payment_method`: reserve now, pay later."""

    lines: tuple[OrderLineRequest, ...]
    user_id: str = ""
    email: str = ""
    currency: str = ""
    shipping_address: Mapping[str, Any] | None = None
    payment_method: str = ""


@dataclass(frozen=True, slots=True)
class _Item:
    product: ProductView
    quantity: int


def place(order: NewOrder, *, now: datetime) -> OrderView:
    """Write a new order and start its saga; return it as CREATED. The saga does the rest.

    The catalogue's price counts; several lines of one SKU are summed. Needs a transaction: the order, its saga, its
    first events and whatever the caller writes beside it come to be together, or not at all. Raises `UnknownProduct`,
    `PriceChanged`, `CurrencyMismatch`, `OrderTooLarge`, `SignInRequired`.
    """
    if not order.user_id and not settings.GUEST_CHECKOUT:
        raise SignInRequired
    items = _price(order)
    currency = items[0].product.currency
    total = sum(item.product.price_minor * item.quantity for item in items)
    if total > LARGEST_TOTAL:
        raise OrderTooLarge
    row = Order(
        id=new_id(),
        number=_next_number(),
        user_id=order.user_id,
        email=order.email,
        shipping_address=dict(order.shipping_address) if order.shipping_address else None,
        currency=currency,
        total_minor=total,
        payment_method=order.payment_method,
        saga_id=new_id(),
        created_at=now,
        updated_at=now,
    )
    _write(row, items, now=now)
    sagas.start(PlaceOrder, [sagas.Start(id=row.saga_id, subject_id=row.id)], now=now)
    append([events.about(row, kind, {}, saga_id=row.saga_id) for kind in ("ORDER_CREATED", "SAGA_STARTED")], now=now)
    return selectors.view(row, [_line(row, at, item) for at, item in enumerate(items, 1)], payment=None)


_ORDER = (
    "id", "number", "status", "failure_code", "failure_message", "failure_detail", "review_status", "refund_status",
    "user_id", "email", "shipping_address", "currency", "total_minor", "payment_method", "transaction_id", "saga_id",
    "created_at", "updated_at",
)  # fmt: skip


def _write(row: Order, items: Sequence[_Item], *, now: datetime) -> None:
    bulk.insert(Order, _ORDER, [[getattr(row, name) for name in _ORDER]])
    lines = [
        (row.id, at, item.product.sku, item.product.name, item.quantity, item.product.price_minor)
        for at, item in enumerate(items, 1)
    ]
    bulk.insert(OrderLine, ("order", "position", "sku", "product_name", "quantity", "price_minor"), lines)
    who = row.user_id or "guest"
    entry = (row.id, "", Status.CREATED, who, "Order placed.", now)
    bulk.insert(TimelineEntry, ("order", "from_status", "to_status", "who", "why", "at"), [entry])


def _line(row: Order, position: int, item: _Item) -> OrderLine:
    product = item.product
    return OrderLine(
        order_id=row.id,
        position=position,
        sku=product.sku,
        product_name=product.name,
        quantity=item.quantity,
        price_minor=product.price_minor,
    )


def _price(order: NewOrder) -> list[_Item]:
    """Find every line's product and sum up the lines of one SKU, in the order in which they first came."""
    skus = [line.sku for line in order.lines if line.sku]
    ids = [line.product_id for line in order.lines if line.product_id and not line.sku]
    found = (catalogue.products(skus=skus) if skus else []) + (catalogue.products(ids=ids) if ids else [])
    by_sku = {product.sku: product for product in found}
    by_id = {product.id: product for product in found}
    items: dict[str, _Item] = {}
    for at, line in enumerate(order.lines):
        product = by_sku.get(line.sku) if line.sku else by_id.get(line.product_id)  # type: ignore[arg-type]
        if product is None:
            raise UnknownProduct(sku=line.sku or str(line.product_id), pointer=f"/items/{at}")
        if line.price_minor is not None and line.price_minor != product.price_minor:
            raise PriceChanged(sku=product.sku, price=selectors.amount(product), pointer=f"/items/{at}/price")
        earlier = items[product.sku].quantity if product.sku in items else 0
        items[product.sku] = _Item(product, earlier + line.quantity)
    currencies = {item.product.currency for item in items.values()} | ({order.currency} - {""})
    if len(currencies) > 1:
        raise CurrencyMismatch(currencies=sorted(currencies))
    return list(items.values())


def _next_number() -> str:
    """Take the next order number: short, for the telephone; gaps are normal."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('orders_number')")
        row = cursor.fetchone()
    return f"M-{row[0]}"


def pay(order_id: UUID, *, method: str, now: datetime) -> OrderView:
    """Pay an order that waits in RESERVED by `method`; the saga takes it from there.

    Pressing twice pays once: the first signal counts. Raises `UnknownOrder`, and `NotPayable` where the order does not
    wait for a payment, or does so no longer.
    """
    view = selectors.order(order_id)
    if view.payment_method == method and view.status not in (Status.FAILED, Status.CANCELLED):
        return view  # pressed twice, or it came with the method: the saga is at it, or has done it
    if view.status not in (Status.CREATED, Status.RESERVED) or view.payment_method:
        raise NotPayable(status=view.status)
    if view.reserved_until is not None and view.reserved_until <= now:
        raise NotPayable("The time to pay for this order has run out.", status=view.status)
    receipt = sagas.signal(view.saga_id, "payment_request", signal_id="payment_request", payload={"method": method})
    if not receipt.accepted:
        raise NotPayable(status=selectors.order(order_id).status)
    return selectors.order(order_id)


@dataclass(frozen=True, slots=True)
class CancelResult:
    """The order as it was when the cancel was taken in. `pending`: a saga is still undoing what was done."""

    order: OrderView
    pending: bool


def cancel(order_id: UUID, *, actor: str, now: datetime, by_staff: bool = False, reason: str = "") -> CancelResult:
    """Stop an order: one that is being placed is undone by its saga, one that is confirmed is taken back by another.

    Whether the cancel or the confirmation comes first is decided on the saga's row; either way the order is cancelled.
    Cancelling again is answered the same. Takes its own transaction. Raises `UnknownOrder`, `AlreadyShipped` and, for
    orders that have failed, `NotCancellable`.
    """
    view = selectors.order(order_id)
    code = "cancelled_by_staff" if by_staff else "cancelled_by_buyer"
    payload = {"code": code, "message": reason, "actor": actor or "guest"}
    if view.status in BEFORE_CONFIRMATION:
        receipt = sagas.signal(view.saga_id, "cancel", signal_id="cancel", payload=payload)
        if receipt.accepted:
            return CancelResult(view, pending=True)
        view = selectors.order(order_id)  # it has come to an end meanwhile
    if view.status == Status.CONFIRMED:
        _reverse(order_id, payload, why="Wants to cancel: the money goes back first, then the units.", now=now)
        view = selectors.order(order_id)
    if view.status in (Status.SHIPPED, Status.IN_TRANSIT, Status.DELIVERED):
        raise AlreadyShipped(status=view.status)
    if view.status not in (Status.CONFIRMED, Status.CANCELLED):
        raise NotCancellable(status=view.status)
    return CancelResult(view, pending=view.status == Status.CONFIRMED)


@transaction.atomic
def _reverse(order_id: UUID, asked: dict[str, Any], *, why: str, now: datetime) -> None:
    """Start the reversal of a confirmed order, unless it has one or is not confirmed any more.

    Whoever comes first writes the reversal's id onto the order; the others wait for that row, and then find it there.
    """
    saga_id = new_id()
    claimed = Order.objects.filter(pk=order_id, status=Status.CONFIRMED, reversal_id=None).update(
        reversal_id=saga_id, refund_status="PENDING", updated_at=now
    )
    if not claimed:
        return
    TimelineEntry.objects.create(
        order_id=order_id, from_status=Status.CONFIRMED, to_status=Status.CONFIRMED, who=asked["actor"], why=why, at=now
    )
    sagas.start(ReverseOrder, [sagas.Start(id=saga_id, subject_id=order_id, context=asked)], now=now)
    append([events.about(Order.objects.get(pk=order_id), "SAGA_STARTED", {}, saga_id=saga_id)], now=now)


def expire_reservations(*, now: datetime, limit: int = 1000) -> int:
    """Deal with holds past their TTL; return how many orders that concerned.

    A hold with a live saga is that saga's to decide (a payment may have come first): it is made to look at the time.
    One that nobody is responsible for any more is given back at once, and put on record.
    """
    owners = catalogue.holds_past_ttl(now=now, limit=limit)
    if not owners:
        return 0
    sagas.nudge(owners, now=now)
    orphans = sorted(set(owners) - selectors.with_live_saga(owners))
    with transaction.atomic():
        inventory.expire(orphans, now=now)
    return len(owners)
