"""The API for a warehouse's own system: what is to be packed, what is, and what can't be sent.

Here and not in `fulfillment`, because it moves orders. For tokens of staff who may pack.
"""

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fulfillment import picking
from fulfillment.selectors import ShipmentView, lines_of
from marketplace.kernel.clock import database_now
from marketplace.kernel.pagination import page
from marketplace.kernel.serializers import StrictSerializer
from orders import warehouse
from orders.api.serializers import AddressSerializer
from orders.warehouse import Answer

MAY_PACK = "fulfillment.pack_shipment"
_LONGEST_NAME = 64


class _Orders(StrictSerializer):
    orders = serializers.ListField(
        child=serializers.CharField(max_length=_LONGEST_NAME),
        allow_empty=False,
        max_length=warehouse.MOST_AT_ONCE,
        help_text="numbers (`M-104`) or ids",
    )

    def validate_orders(self, names: list[str]) -> list[str]:
        """Each once: an order has one answer."""
        if len(set(names)) != len(names):
            raise serializers.ValidationError("Each order may be named once.", code="named_twice")
        return names


class PackedSerializer(_Orders):
    """The body of `POST /api/fulfillment/packed`."""


class CannotShipSerializer(_Orders):
    """The body of `POST /api/fulfillment/cant-ship`."""

    reason = serializers.CharField(max_length=2000, help_text="for the staff's eyes; the buyer does not see it")


class WarehouseAnswerSerializer(StrictSerializer):
    """What became of one order. `code` is null unless it was `REFUSED`."""

    order = serializers.CharField(help_text="as you named it")
    order_id = serializers.UUIDField(allow_null=True)
    number = serializers.CharField(allow_null=True)
    result = serializers.ChoiceField(["PACKED", "WAS_PACKED", "TAKEN_BACK", "WAS_TAKEN_BACK", "REFUSED"])
    code = serializers.ChoiceField(
        ["unknown_order", "not_confirmed", "not_planned", "being_taken_back", "not_to_be_sent", "already_shipped"],
        allow_null=True,
    )
    detail = serializers.CharField()


class WarehouseAnswersSerializer(StrictSerializer):
    """What became of each order, in the order in which they were named."""

    results = WarehouseAnswerSerializer(many=True)


class ToPackLineSerializer(StrictSerializer):
    """So many units of one SKU."""

    sku = serializers.CharField()
    product_name = serializers.CharField()
    quantity = serializers.IntegerField()


class ToPackSerializer(StrictSerializer):
    """A parcel that waits to be packed."""

    order_id = serializers.UUIDField()
    number = serializers.CharField()
    shipment_id = serializers.UUIDField()
    carrier = serializers.CharField()
    service = serializers.CharField()
    weight_grams = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    shipping_address = AddressSerializer()
    items = ToPackLineSerializer(many=True)


class ToPackPageSerializer(StrictSerializer):
    """One page."""

    results = ToPackSerializer(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class ToPack(APIView):
    """What waits to be packed."""

    @extend_schema(operation_id="listToPack", tags=["fulfillment"], responses=ToPackPageSerializer)
    def get(self, request: Request) -> Response:
        """List the parcels that wait to be packed, the oldest first; 20 a page, or `limit`, up to 100."""
        _require_packer(request)
        return page(request, read=picking.page_to_pack, key=lambda view: str(view.id), show=_shown)


class Packed(APIView):
    """Saying that orders are packed."""

    @extend_schema(
        operation_id="reportPacked",
        tags=["fulfillment"],
        request=PackedSerializer,
        responses=WarehouseAnswersSerializer,
    )
    def post(self, request: Request) -> Response:
        """Say that these orders are packed; their labels are bought right after. Up to 1,000 at once.

        Each has its own result. It may be said again without a key: then it is answered `WAS_PACKED`.
        """
        _require_packer(request)
        body = PackedSerializer.read(request.data)
        return _answered(warehouse.pack(body["orders"], who=request.user.get_username(), now=database_now()))


class CannotShip(APIView):
    """Saying that orders can't be sent."""

    @extend_schema(
        operation_id="reportCannotShip",
        tags=["fulfillment"],
        request=CannotShipSerializer,
        responses=WarehouseAnswersSerializer,
    )
    def post(self, request: Request) -> Response:
        """Say that these orders can't be sent: they are taken back, and their money with them. Up to 1,000 at once.

        Each has its own result. It may be said again without a key: then it is answered `WAS_TAKEN_BACK`.
        """
        _require_packer(request)
        body = CannotShipSerializer.read(request.data)
        who = request.user.get_username()
        return _answered(warehouse.cannot_ship(body["orders"], reason=body["reason"], who=who, now=database_now()))


def _require_packer(request: Request) -> None:
    """Raise unless the caller is one of the staff who may pack."""
    if not request.user.is_authenticated:
        raise NotAuthenticated
    if not request.user.is_staff or not request.user.has_perm(MAY_PACK):
        raise PermissionDenied


def _answered(answers: Sequence[Answer]) -> Response:
    return Response(
        {
            "results": [
                {
                    "order": answer.asked,
                    "orderId": answer.order_id,
                    "number": answer.number or None,
                    "result": answer.result,
                    "code": answer.code or None,
                    "detail": answer.said,
                }
                for answer in answers
            ]
        }
    )


def _shown(views: Sequence[ShipmentView]) -> list[dict[str, Any]]:
    lines = lines_of([view.id for view in views])
    return [
        {
            "orderId": view.reference_id,
            "number": view.number,
            "shipmentId": view.id,
            "carrier": view.carrier,
            "service": view.service,
            "weightGrams": view.weight_grams,
            "createdAt": view.created_at,
            "shippingAddress": {
                "name": view.name,
                "line1": view.line1,
                "line2": view.line2,
                "city": view.city,
                "postalCode": view.postal_code,
                "country": view.country,
            },
            "items": [
                {"sku": line.sku, "productName": line.name, "quantity": line.quantity}
                for line in lines.get(view.id, ())
            ],
        }
        for view in views
    ]
