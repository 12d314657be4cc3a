"""Returns: what the buyer of an order asks for, and what has become of it. Staff decide in the admin."""

from functools import partial
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.idempotency import http as idempotency
from marketplace.idempotency.services import Answer, Scope, run_once
from marketplace.idempotency.services import Response as Answered
from marketplace.kernel.clock import database_now
from marketplace.kernel.money import format_minor
from marketplace.kernel.serializers import StrictSerializer
from orders import services as orders
from orders.api.views import KEY, SECRET, require_access
from orders.returns import selectors, services
from orders.returns.models import ReturnStatus
from orders.returns.selectors import ReturnView


class ReturnItemSerializer(StrictSerializer):
    """So many units of one line of the order."""

    sku = serializers.RegexField(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    quantity = serializers.IntegerField(min_value=1, max_value=orders.MOST_UNITS)


class ReturnRequestSerializer(StrictSerializer):
    """The body of `POST /api/orders/{id}/returns`."""

    items = ReturnItemSerializer(many=True, allow_empty=False, max_length=orders.MOST_LINES)  # type: ignore[call-arg]
    reason = serializers.CharField(max_length=services.LONGEST_REASON, help_text="your own words")
    request_id = serializers.CharField(required=False, max_length=255, help_text="instead of Idempotency-Key")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Each SKU once: a sum that nobody has written is nobody's wish."""
        if len({item["sku"] for item in attrs["items"]}) < len(attrs["items"]):
            raise serializers.ValidationError("Name each SKU once.", code="sku_twice")
        return attrs


class ReturnedItemSerializer(StrictSerializer):
    """A line of a return; `received` counts what came back of it."""

    sku = serializers.CharField()
    product_name = serializers.CharField()
    quantity = serializers.IntegerField()
    price = serializers.CharField()
    received = serializers.IntegerField()


class ReturnSerializer(StrictSerializer):
    """A return. `message`: what staff answered where it was rejected; `arriveBy`: until when the parcel may come."""

    id = serializers.UUIDField()
    number = serializers.CharField()
    order_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=ReturnStatus.choices)
    items = ReturnedItemSerializer(many=True)
    reason = serializers.CharField()
    message = serializers.CharField(allow_null=True)
    currency = serializers.CharField()
    refunded_amount = serializers.CharField()
    requested_at = serializers.DateTimeField()
    answer_by = serializers.DateTimeField()
    arrive_by = serializers.DateTimeField(allow_null=True)
    received_at = serializers.DateTimeField(allow_null=True)
    closed_at = serializers.DateTimeField(allow_null=True)
    saga_id = serializers.UUIDField()


class ReturnListSerializer(serializers.Serializer[Any]):
    """All returns of an order, the first one first."""

    results = ReturnSerializer(many=True, read_only=True)


def as_json(view: ReturnView) -> dict[str, Any]:
    """Write a return as `ReturnSerializer` describes it. Who of the staff decided is not the buyer's business."""
    times = ("arrive_by", "received_at", "closed_at")
    told = {name: at.isoformat() if (at := getattr(view, name)) else None for name in times}
    return {
        "id": str(view.id),
        "number": view.number,
        "orderId": str(view.order_id),
        "status": str(view.status),
        "items": [
            {
                "sku": line.sku,
                "productName": line.product_name,
                "quantity": line.quantity,
                "price": format_minor(line.price_minor, view.currency),
                "received": line.received,
            }
            for line in view.lines
        ],
        "reason": view.reason,
        "message": view.buyer_reads or None,
        "currency": view.currency,
        "refundedAmount": format_minor(view.refunded_minor, view.currency),
        "requestedAt": view.requested_at.isoformat(),
        "answerBy": view.answer_by.isoformat(),
        "arriveBy": told["arrive_by"],
        "receivedAt": told["received_at"],
        "closedAt": told["closed_at"],
        "sagaId": str(view.saga_id),
    }


class OrderReturns(APIView):
    """Sending something back."""

    @extend_schema(operation_id="listReturns", tags=["orders"], parameters=[SECRET], responses=ReturnListSerializer)
    def get(self, request: Request, order_id: UUID) -> Response:
        """List the returns of an order, the first one first."""
        require_access(request, order_id)
        return Response({"results": [as_json(one) for one in selectors.returns_of(order_id)]})

    @extend_schema(
        operation_id="returnOrder",
        tags=["orders"],
        parameters=[SECRET, KEY],
        request=ReturnRequestSerializer,
        responses={201: ReturnSerializer},
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """Ask to return some of a delivered order, or all of it. One return of an order is open at a time."""
        require_access(request, order_id)
        body = ReturnRequestSerializer.read(request.data)
        actor = str(request.user.get_username()) if request.user.is_authenticated else ""
        lines = {item["sku"]: item["quantity"] for item in body["items"]}

        def once(scope: Scope, *, fingerprint: str) -> Answered:
            now = database_now()
            wanted = {"lines": lines, "reason": body["reason"], "actor": actor, "now": now}
            return run_once(scope, fingerprint=fingerprint, now=now, work=partial(_request, order_id, **wanted))

        return idempotency.respond(request, route=f"POST /api/orders/{order_id}/returns", once=once)


def _request(order_id: UUID, **wanted: Any) -> Answer:
    return Answer(status=201, body=as_json(services.request(order_id, **wanted)))


class OrderReturnWithdraw(APIView):
    """Thinking better of it."""

    @extend_schema(
        operation_id="withdrawReturn", tags=["orders"], parameters=[SECRET], request=None, responses=ReturnSerializer
    )
    def post(self, request: Request, order_id: UUID, return_id: UUID) -> Response:
        """Withdraw a return, as long as nobody has decided about it. Asking twice is asking once."""
        require_access(request, order_id)
        actor = str(request.user.get_username()) if request.user.is_authenticated else ""
        wish = selectors.one_of(order_id, return_id)
        return Response(as_json(services.withdraw(wish.id, actor=actor, now=database_now())))
