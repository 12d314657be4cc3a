"""POST /api/fulfillment/webhooks/{carrier}: no sign-in; the signature says who it is."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fulfillment.inbox import receiving

_RECEIPT = inline_serializer(
    "CarrierWebhookReceipt", {"eventId": serializers.CharField(), "duplicate": serializers.BooleanField()}
)


class Webhooks(APIView):
    """Where carriers tell of what has happened to a parcel."""

    authentication_classes = ()

    @extend_schema(
        operation_id="receiveCarrierWebhook",
        summary="Take in what a carrier tells",
        tags=["fulfillment"],
        request=OpenApiTypes.OBJECT,
        responses={202: _RECEIPT},
        auth=[],
    )
    def post(self, request: Request, carrier: str) -> Response:
        """Verify the signature over the raw body, write the event down once, and look into it later."""
        raw = request._request
        receipt = receiving.receive(carrier, body=raw.body, headers=raw.headers)
        return Response({"eventId": receipt.event_id, "duplicate": receipt.duplicate}, status=202)
