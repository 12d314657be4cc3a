"""The orders' endpoints. Each translates, makes one call of a service or selector, and answers."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.translation import get_language_from_request
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.idempotency import http as idempotency
from marketplace.idempotency.services import Answer, Scope, Together, run_once
from marketplace.idempotency.services import Response as Answered
from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.pagination import page
from orders import access, selectors, services
from orders.api.serializers import (
    CancelSerializer,
    NewOrderSerializer,
    OrderPageSerializer,
    OrderSerializer,
    PaySerializer,
    RefundListSerializer,
    RefundRequestSerializer,
    RefundSerializer,
    SagaSerializer,
    as_json,
    refund_as_json,
    to_minor,
    to_order,
)
from orders.errors import UnknownOrder
from orders.models import Status
from orders.selectors import OrderView
from orders.services import NewOrder

SECRET = OpenApiParameter("X-Order-Secret", str, OpenApiParameter.HEADER, description="a guest's key to this order")
KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="1 to 255 printable characters")
LANGUAGE = OpenApiParameter(
    "Accept-Language", str, OpenApiParameter.HEADER, description="in which the buyer is told what becomes of the order"
)
STATUS = OpenApiParameter("status", str, enum=Status.values)


def _username(request: Request) -> str:
    return str(request.user.get_username()) if request.user.is_authenticated else ""


def _is_staff(request: Request) -> bool:
    return bool(request.user.is_authenticated and request.user.is_staff)


def require_access(request: Request, order_id: UUID) -> None:
    """Raise `UnknownOrder` unless the caller may see this order: to others it does not exist."""
    allowed = access.may_see(
        order_id=order_id,
        owner=selectors.owner_of(order_id),
        username=_username(request),
        is_staff=_is_staff(request),
        secret=request.headers.get("X-Order-Secret", ""),
    )
    if not allowed:
        raise UnknownOrder


def _show(orders: Sequence[OrderView]) -> Sequence[Any]:
    return [as_json(order) for order in orders]


def _page(request: Request, *, user_id: str | None) -> Response:
    status = request.query_params.get("status")
    read = partial(_read, user_id=user_id, status=status if status in Status.values else None)
    return page(request, read=read, key=lambda order: str(order.id), show=_show)


def _read(window: Any, *, user_id: str | None, status: str | None) -> Sequence[OrderView]:
    return selectors.orders(window=window, user_id=user_id, status=status)


class OrderList(APIView):
    """One's own orders; staff see all."""

    @extend_schema(operation_id="listOrders", tags=["orders"], parameters=[STATUS], responses=OrderPageSerializer)
    def get(self, request: Request) -> Response:
        """List orders, the newest first."""
        if not request.user.is_authenticated:
            raise NotAuthenticated
        return _page(request, user_id=None if _is_staff(request) else _username(request))

    @extend_schema(
        operation_id="placeOrder",
        tags=["orders"],
        parameters=[KEY, LANGUAGE],
        request=NewOrderSerializer,
        responses={201: OrderSerializer},
    )
    def post(self, request: Request) -> Response:
        """Place an order. Its saga starts at once; follow `links.saga` to see it unfold."""
        body = NewOrderSerializer.read(request.data)
        order = to_order(
            body,
            user_id=self._buyer(request, body),
            currency=settings.CURRENCY,
            language=get_language_from_request(request._request),
        )
        once = partial(_PLACING.run_once, asked=order, present=_with_secret)
        return idempotency.respond(request, route="POST /api/orders", once=once)

    def _buyer(self, request: Request, data: dict[str, Any]) -> str:
        """For whom the order is: oneself, or anybody for staff."""
        wanted = data.get("user_id", "")
        if not wanted or wanted == _username(request) or _is_staff(request):
            return wanted or _username(request)
        if not request.user.is_authenticated:
            raise NotAuthenticated
        raise PermissionDenied


def _with_secret(body: dict[str, Any]) -> dict[str, Any]:
    """Add the secret to a guest's new order; it is derived, so that it lies in no store."""
    return {**body, "clientSecret": access.client_secret(UUID(body["id"]))}


def _place(asked: Sequence[NewOrder], now: datetime) -> list[Answer | MarketplaceError]:
    return [
        placed if isinstance(placed, MarketplaceError) else _created(placed)
        for placed in services.place_many(asked, now=now)
    ]


def _created(view: OrderView) -> Answer:
    content = as_json(view)
    return Answer(status=201, body=content, headers={"Location": content["links"]["self"]})


_PLACING = Together(_place)


class OrdersOfUser(APIView):
    """The orders of one user."""

    @extend_schema(operation_id="listOrdersOfUser", tags=["orders"], parameters=[STATUS], responses=OrderPageSerializer)
    def get(self, request: Request, user_id: str) -> Response:
        """List a user's orders, the newest first: one's own, or anybody's for staff."""
        if not request.user.is_authenticated:
            raise NotAuthenticated
        if user_id != _username(request) and not _is_staff(request):
            raise PermissionDenied
        return _page(request, user_id=user_id)


class OrderDetail(APIView):
    """One order."""

    @extend_schema(operation_id="getOrder", tags=["orders"], parameters=[SECRET], responses=OrderSerializer)
    def get(self, request: Request, order_id: UUID) -> Response:
        """Get an order as it is now."""
        require_access(request, order_id)
        return Response(as_json(selectors.order(order_id)))


class OrderSaga(APIView):
    """The saga of an order."""

    @extend_schema(operation_id="getOrderSaga", tags=["orders"], parameters=[SECRET], responses=SagaSerializer)
    def get(self, request: Request, order_id: UUID) -> Response:
        """Get every step that was taken for this order, or is being taken now. What a check has found is for staff."""
        require_access(request, order_id)
        story = selectors.saga_of(order_id)
        return Response(SagaSerializer(story if _is_staff(request) else selectors.for_buyer(story)).data)


class OrderPay(APIView):
    """Paying later."""

    @extend_schema(
        operation_id="payOrder",
        tags=["orders"],
        parameters=[SECRET],
        request=PaySerializer,
        responses={202: OrderSerializer},
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """Pay an order that waits in RESERVED. Asking twice pays once: who means the next attempt says its number."""
        require_access(request, order_id)
        body = PaySerializer.read(request.data)
        view = services.pay(order_id, method=body["payment_method"], attempt=body["attempt"], now=database_now())
        return Response(as_json(view), status=202)


class OrderCancel(APIView):
    """Changing one's mind."""

    @extend_schema(
        operation_id="cancelOrder",
        tags=["orders"],
        parameters=[SECRET],
        request=CancelSerializer,
        responses={200: OrderSerializer, 202: OrderSerializer},
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """Cancel an order, a confirmed one too: 202 while it is being undone or refunded, 200 once it is cancelled."""
        require_access(request, order_id)
        body = CancelSerializer.read(request.data)
        owner = selectors.owner_of(order_id)
        result = services.cancel(
            order_id,
            actor=_username(request),
            now=database_now(),
            by_staff=_is_staff(request) and owner != _username(request),
            reason=body.get("reason", ""),
        )
        return Response(as_json(result.order), status=202 if result.pending else 200)


class OrderRefunds(APIView):
    """Giving money back, by staff."""

    @extend_schema(operation_id="listRefunds", tags=["orders"], responses=RefundListSerializer)
    def get(self, request: Request, order_id: UUID) -> Response:
        """List the refunds of an order, the first one first. For staff."""
        _require_refunder(request)
        selectors.owner_of(order_id)
        return Response({"results": [refund_as_json(one) for one in selectors.refunds(order_id)]})

    @extend_schema(
        operation_id="refundOrder",
        tags=["orders"],
        parameters=[KEY],
        request=RefundRequestSerializer,
        responses={202: RefundSerializer},
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """Give back all of an order's money or a part of it. For staff; the order's status does not change.

        It is under way when this is answered: `GET` says what became of it, and so does `PAYMENT_REFUNDED`.
        """
        _require_refunder(request)
        body = RefundRequestSerializer.read(request.data)
        amount = to_minor(body.get("amount"), selectors.order(order_id).currency)
        wanted = partial(_refund, order_id, amount_minor=amount, reason=body["reason"], actor=_username(request))

        def once(scope: Scope, *, fingerprint: str) -> Answered:
            now = database_now()
            work = partial(wanted, key=f"{scope.principal}:{scope.key}"[-255:], now=now)
            return run_once(scope, fingerprint=fingerprint, now=now, work=work)

        return idempotency.respond(request, route=f"POST /api/orders/{order_id}/refunds", once=once)


def _require_refunder(request: Request) -> None:
    """Raise unless the caller is one of the staff who may give money back."""
    if not request.user.is_authenticated:
        raise NotAuthenticated
    if not _is_staff(request) or not request.user.has_perm(services.MAY_REFUND):
        raise PermissionDenied


def _refund(order_id: UUID, **wanted: Any) -> Answer:
    return Answer(status=202, body=refund_as_json(services.refund(order_id, **wanted)))
