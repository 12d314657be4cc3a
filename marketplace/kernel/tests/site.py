"""A small site whose every address fails in its own way."""

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404, HttpResponse
from django.urls import path
from rest_framework import exceptions, serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.kernel import errors
from marketplace.kernel.serializers import StrictSerializer


class UnknownProduct(errors.NotFound):
    """There is no such product."""

    code = "unknown_sku"


class PriceChanged(errors.Refusal):
    """The price has changed."""

    code = "price_changed"


class OutOfStock(errors.Refusal):
    """Out of stock."""

    code = "out_of_stock"


class SignIn(errors.Refusal):
    """Sign in first."""

    code = "sign_in_required"


class Busy(errors.Unavailable):
    """Too busy."""

    code = "busy"


class LineSerializer(StrictSerializer):
    product_id = serializers.CharField()
    quantity = serializers.IntegerField(min_value=1, max_value=1000)


class BasketSerializer(StrictSerializer):
    items = LineSerializer(many=True)
    tags = serializers.ListField(child=serializers.IntegerField(), required=False)
    shipping_address = serializers.DictField(required=False)

    def validate(self, attrs):
        if len(attrs["items"]) > 2:
            raise serializers.ValidationError("Too much for one bag.", code="too_many")
        return attrs


RAISED = {
    "missing": errors.NotFound,
    "conflict": lambda: errors.Conflict("Not now."),
    "refusal": lambda: OutOfStock(lines=({"sku": "laptop-1", "asked_for": 2},), pointer="/items/0/sku", status=999),
    "unavailable": errors.Unavailable,
    "busy": lambda: Busy(retry_after=7),
    "unknown-sku": lambda: UnknownProduct(sku="x"),
    "price-changed": PriceChanged,
    "sign-in-required": SignIn,
    "error": errors.MarketplaceError,
    "http404": Http404,
    "denied": PermissionDenied,
    "suspicious": lambda: SuspiciousOperation("boo"),
    "not-authenticated": exceptions.NotAuthenticated,
    "authentication-failed": exceptions.AuthenticationFailed,
    "throttled": lambda: exceptions.Throttled(wait=2.4),
    "database-gone": lambda: OperationalError("connection refused"),
    "database-closed": lambda: InterfaceError("connection already closed"),
    "unforeseen": lambda: RuntimeError("the password is hunter2"),
}


class Raise(APIView):
    def get(self, request, name):
        raise RAISED[name]()

    post = get


class Basket(APIView):
    def post(self, request):
        serializer = BasketSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response({"received": serializer.validated_data})


class Query(APIView):
    def get(self, request):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return Response({})


def plain(request, name):
    if name in RAISED:
        raise RAISED[name]()
    return HttpResponse(request.request_id)


urlpatterns = [
    path("api/raise/<name>", Raise.as_view()),
    path("api/basket", Basket.as_view()),
    path("api/query", Query.as_view()),
    path("api/plain/<name>", plain),
    path("pages/<name>", plain),
]

handler400 = "marketplace.kernel.problems.bad_request"
handler403 = "marketplace.kernel.problems.permission_denied"
handler404 = "marketplace.kernel.problems.page_not_found"
handler500 = "marketplace.kernel.problems.server_error"
