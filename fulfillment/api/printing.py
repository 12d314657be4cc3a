"""Labels and packing slips as PDF. They are for staff: a label is as good as money, and a slip is for who packs."""

from uuid import UUID

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.views import APIView

from fulfillment import printing, selectors
from marketplace.paper.http import LOCALE, RENDERERS, SCHEMA, asked_locale, respond


class ShipmentLabel(APIView):
    """The label on a parcel."""

    permission_classes = (IsAdminUser,)
    renderer_classes = RENDERERS

    @extend_schema(operation_id="getShipmentLabel", tags=["fulfillment"], responses=SCHEMA)
    def get(self, request: Request, shipment_id: UUID) -> HttpResponse:
        """Get the label (4 x 6 inches) as PDF; staff only. 404 `not_labelled` until it is bought."""
        content = printing.labels([shipment_id])
        return respond(content, f"label-{selectors.shipment(shipment_id).number}.pdf")


class ShipmentPackingSlip(APIView):
    """What is to go into a parcel."""

    permission_classes = (IsAdminUser,)
    renderer_classes = RENDERERS

    @extend_schema(operation_id="getShipmentPackingSlip", tags=["fulfillment"], parameters=[LOCALE], responses=SCHEMA)
    def get(self, request: Request, shipment_id: UUID) -> HttpResponse:
        """Get the packing slip as PDF; staff only."""
        content = printing.slips([shipment_id], locale=asked_locale(request))
        return respond(content, f"packing-slip-{selectors.shipment(shipment_id).number}.pdf")


urlpatterns = [
    path("shipments/<uuid:shipment_id>/label", ShipmentLabel.as_view(), name="api-shipment-label"),
    path("shipments/<uuid:shipment_id>/packing-slip", ShipmentPackingSlip.as_view(), name="api-shipment-packing-slip"),
]
