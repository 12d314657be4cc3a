"""A small shop for tests: products with stock, buyers, and a worker in this process. Everything behind it is real."""

import time
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import transaction

from fulfillment import scanning
from fulfillment import services as fulfillment
from fulfillment.selectors import shipments_of
from inventory import services as inventory
from inventory.models import Category, LedgerEntry, Product, Reservation, Stock
from marketplace.kernel.clock import database_now
from marketplace.kernel.ids import new_id
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas.runner import Worker
from orders import selectors, services
from orders.selectors import OrderView
from orders.services import NewOrder, OrderLineRequest
from payments import news, observations
from payments import services as payments
from payments.models import Payment

QUEUES = ("orders", "inventory", "payments", "fulfillment")


class Shop:
    """What a test says of the shop, in the words of the shop."""

    def __init__(self, gateway: Any) -> None:
        self.gateway = gateway
        self._shelf, _ = Category.objects.get_or_create(slug="shelf", defaults={"name": "Shelf", "position": 1})

    def stocked(self, sku: str, units: int, *, price_minor: int = 1000) -> Product:
        """Put a product on the shelf, with so many units."""
        product = Product.objects.create(
            sku=sku, name=f"The {sku}", description="", category=self._shelf, price_minor=price_minor, currency="EUR",
            image="", weight_grams=100,
        )  # fmt: skip
        if units:
            inventory.receive(sku=sku, quantity=units, now=database_now(), actor="test", reason="delivery")
        return product

    def order(self, sku: str, quantity: int = 1, **more: Any) -> OrderView:
        """Place an order, and leave it to the workers."""
        return self.order_lines([(sku, quantity)], **more)

    def order_lines(
        self,
        lines: list[tuple[str, int]],
        *,
        token: str = "tok_visa",
        user: str = "user-1",
        address: dict[str, Any] | None = None,
    ) -> OrderView:
        requests = tuple(OrderLineRequest(quantity=quantity, sku=sku) for sku, quantity in lines)
        with transaction.atomic():
            return services.place(
                NewOrder(lines=requests, user_id=user, payment_method=token, shipping_address=address),
                now=database_now(),
            )

    def work(self, *, seconds: float = 60.0, queues: tuple[str, ...] = QUEUES) -> None:
        """Let one worker move everything that is due now."""
        worker = Worker(queues, on_full=lambda: None, on_bell=lambda queue: None)
        worker.drive(until=time.monotonic() + seconds)

    def bought(self, sku: str, quantity: int = 1, *, token: str = "tok_visa") -> OrderView:
        """Place an order and work until nothing is due; return the order as it is then."""
        order = self.order(sku, quantity, token=token)
        self.work()
        return selectors.order(order.id)

    @staticmethod
    def now(order: OrderView) -> OrderView:
        """The same order, as it is now."""
        return selectors.order(order.id)

    @staticmethod
    def story(order: OrderView) -> list[str]:
        """The history of an order's saga: `step` for each step done, `-step` for each undone, else `step:STATUS`."""
        lines = []
        for entry in selectors.saga_of(order.id).history:
            name = f"-{entry.step}" if entry.direction == "compensating" else entry.step
            lines.append(name if entry.status == "DONE" else f"{name}:{entry.status}")
        return lines

    @staticmethod
    def saga_status(order: OrderView) -> str:
        return str(selectors.saga_of(order.id).status)

    @staticmethod
    def statuses(order: OrderView) -> list[str]:
        """Every status on the order's timeline."""
        return [entry.to_status for entry in selectors.timeline(order.id) if entry.from_status != entry.to_status]

    @staticmethod
    def notes(order: OrderView) -> list[str]:
        """What the timeline tells beside the changes of status, the warehouse's part left out, as `who: why`."""
        entries = [entry for entry in selectors.timeline(order.id) if entry.from_status == entry.to_status]
        of_parcels = ("The warehouse is to pack it", "The shipment is cancelled")
        return [f"{entry.who}: {entry.why}" for entry in entries if not entry.why.startswith(of_parcels)]

    @staticmethod
    def levels(sku: str) -> tuple[int, int]:
        """Units available and reserved; the books are checked on the way."""
        row = Stock.objects.get(product__sku=sku)
        entries = LedgerEntry.objects.filter(sku=sku)
        assert row.available == sum(entry.available_delta for entry in entries)
        assert row.reserved == sum(entry.reserved_delta for entry in entries)
        assert row.on_hand == row.available + row.reserved
        return row.available, row.reserved

    @staticmethod
    def hold(order: OrderView) -> list[str]:
        """The states of the order's reservations."""
        return sorted(Reservation.objects.filter(owner_id=order.id).values_list("state", flat=True))

    @staticmethod
    def events(order: OrderView) -> list[str]:
        """The types of the events published about the order, in their sequence, which must have no gaps."""
        rows = list(OutboxEvent.objects.filter(saga_id=order.saga_id).order_by("sequence"))
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        return [row.type for row in rows]

    def bank_says(self, order: OrderView, *, event_id: str = "", attempt: int = 0, **believes: Any) -> None:
        """The gateway is seen to believe what it does, but for what `believes` changes; the news are passed on.

        Of the order's last attempt to pay, or of that one.
        """
        payments_of_it = Payment.objects.filter(reference_id=order.id)
        chosen = payments_of_it.filter(sequence=attempt) if attempt else payments_of_it
        payment_id = chosen.latest("sequence").id
        sighting = observations.sight(payment_id)
        if sighting.charge is not None:
            sighting = replace(sighting, charge=replace(sighting.charge, **believes))
        now = database_now()
        with transaction.atomic():
            payments.observe(sighting, event_id=event_id or f"evt_{new_id()}", occurred_at=now, now=now)
        news.pass_on(now=database_now(), payment_id=payment_id)

    def paid_elsewhere(self, order: OrderView) -> None:
        """Money is held for an order that had ended without any: by a page of the bank's, say. It is in our books."""
        key = authorization_key(order.saga_id)
        amount = {"amount_minor": order.total_minor, "currency": order.currency, "method": "tok_visa"}
        self.gateway.gateway().authorize(key=key, metadata={}, **amount)
        now = database_now()
        Payment.objects.create(
            reference_id=order.id, gateway="sandbox", status="VOIDED", authorization_key=key, created_at=now,
            updated_at=now, **amount,
        )  # fmt: skip
        self.bank_says(order)

    def money(self, order: OrderView) -> list[tuple[str, int]]:
        """Every movement of money for this order, by the gateway's own books, one attempt to pay after the other."""
        attempts = range(1, selectors.order(order.id).payment_attempt + 1)
        keys = [authorization_key(order.saga_id, attempt) for attempt in attempts]
        return [movement for key in keys for movement in self.gateway.movements(key)]


def delivered(shop: Shop, order: OrderView, carrier: Any) -> OrderView:
    """Have an order packed, labelled and carried to the door, by the sandbox carrier; return it as it is then."""
    shop.work()
    assert services.packed([order.id], who="wanda", now=database_now()).packed
    shop.work()
    for kind in ("PICKED_UP", "OUT_FOR_DELIVERY", "DELIVERED"):
        parcel = shipments_of([order.id])[order.id]
        carrier.scan(parcel.label_key, kind)
        seen = fulfillment.look(order.id)
        assert seen is not None
        with transaction.atomic():
            scanning.take_in([scanning.News(parcel.id, seen.scans)], now=database_now())
        scanning.pass_on(now=database_now())
        shop.work()
    arrived = shop.now(order)
    assert arrived.status == "DELIVERED"
    return arrived


def authorization_key(saga_id: UUID, attempt: int = 1) -> str:
    """The key under which the saga asks for the authorization of that attempt to pay."""
    return f"{saga_id}:authorize_payment" + (f":{attempt}" if attempt > 1 else "")
