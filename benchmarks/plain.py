"""`POST /plain/orders`: what one would write first. The same rows as ours, by Django REST framework and the ORM."""

import hashlib
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks import shop
from inventory.models import Product
from marketplace.idempotency.models import IdempotencyRecord
from marketplace.idempotency.records import KEPT_FOR
from marketplace.kernel.ids import new_id
from marketplace.outbox.models import OutboxEvent, Unpublished, shard_of
from marketplace.sagas.models import SagaInstance
from orders.models import Order, OrderLine, TimelineEntry
from orders.sagas.place_order import PlaceOrder


class LineSerializer(serializers.Serializer):
    """One line of a new order."""

    sku = serializers.CharField(max_length=64)
    quantity = serializers.IntegerField(min_value=1, max_value=999)


class NewOrderSerializer(serializers.Serializer):
    """The body."""

    items = LineSerializer(many=True, allow_empty=False)
    paymentMethod = serializers.CharField(max_length=100)  # noqa: N815 - as it is on the wire


class PlainOrders(APIView):
    """Write the rows of a new order, one after the other."""

    @transaction.atomic
    def post(self, request: Request) -> Response:
        """Answer 201 with the order."""
        asked = NewOrderSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        items = asked.validated_data["items"]
        products = {p.sku: p for p in Product.objects.filter(sku__in=[item["sku"] for item in items])}
        now = timezone.now()
        order = Order.objects.create(
            number=_next_number(),
            currency="EUR",
            total_minor=sum(products[item["sku"]].price_minor * item["quantity"] for item in items),
            payment_method=asked.validated_data["paymentMethod"],
            saga_id=new_id(),
        )
        for position, item in enumerate(items, 1):
            product = products[item["sku"]]
            OrderLine.objects.create(
                order=order,
                position=position,
                sku=product.sku,
                product_name=product.name,
                quantity=item["quantity"],
                price_minor=product.price_minor,
            )
        TimelineEntry.objects.create(order=order, to_status=order.status, who="guest", why="Order placed.", at=now)
        _start_saga(order, now)
        body = {"id": str(order.id), "number": order.number, "status": order.status}
        IdempotencyRecord.objects.create(
            digest=hashlib.sha256(request.headers["Idempotency-Key"].encode()).digest(),
            principal="",
            method="POST",
            route="plain/orders",
            fingerprint=hashlib.sha256(repr(asked.validated_data).encode()).hexdigest(),
            status=201,
            headers={},
            body=str(body),
            created_at=now,
            expires_at=now + KEPT_FOR,
        )
        return Response(body, status=201)


def _start_saga(order: Order, now: Any) -> None:
    first = PlaceOrder.steps[0]
    SagaInstance.objects.create(
        id=order.saga_id,
        name=PlaceOrder.name,
        version=PlaceOrder.version,
        subject_id=order.id,
        steps=[step.name for step in PlaceOrder.steps],
        current_step=first.name,
        queue=first.queue,
        due_at=now,
    )
    for sequence, kind in enumerate(("ORDER_CREATED", "SAGA_STARTED"), 1):
        told = shop.told(order, kind)
        event = OutboxEvent.objects.create(
            event_id=new_id(),
            topic=told.topic,
            type=told.type,
            saga_id=order.saga_id,
            sequence=sequence,
            subject_id=order.id,
            data=told.data,
            occurred_at=now,
        )
        Unpublished.objects.create(shard=shard_of(order.saga_id), position=event.position)


def _next_number() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('orders_number')")
        return f"M-{cursor.fetchone()[0]}"
