"""How the API reads and writes orders. camelCase on the wire; amounts are strings with the currency's decimals."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from django.urls import get_script_prefix, reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from fulfillment.selectors import ShipmentView
from marketplace.kernel.money import Money, format_minor
from marketplace.kernel.serializers import StrictSerializer
from orders import services
from orders.models import BEFORE_SHIPPING, Status
from orders.selectors import OrderView
from orders.services import NewOrder, OrderLineRequest
from payments import checkout
from payments.selectors import RefundView

PRICE_PATTERN = r"^\d{1,12}(\.\d{1,3})?$"
_ANY = UUID(int=0)
# No colon: a PayPal account that agreed to be charged again (`vault:…`) is charged without its owner, so whoever knows
# its id must not be able to name it here.
METHOD_PATTERN = r"^[A-Za-z0-9_\-]{1,100}$"


def no_card_data(method: str) -> None:
    """Refuse what could be the number of a card; it is told to nobody, not even to whom it came from."""
    if checkout.looks_like_a_card(method):
        message = "This looks like the number of a card. Send a token of the payment provider's, never card data."
        raise serializers.ValidationError(message, code="card_data")


class LineRequestSerializer(StrictSerializer):
    """One line of a new order: the product by `sku` or `productId`, and how many."""

    sku = serializers.RegexField(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", required=False)
    product_id = serializers.UUIDField(required=False)
    quantity = serializers.IntegerField(min_value=1, max_value=services.MOST_UNITS)
    price = serializers.RegexField(PRICE_PATTERN, required=False, help_text='the price you saw, such as "1299.00"')

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("sku" in attrs) == ("product_id" in attrs):
            raise serializers.ValidationError("Name the product by either sku or productId.", code="sku_or_product_id")
        return attrs


class AddressSerializer(StrictSerializer):
    """Where the parcel goes."""

    name = serializers.CharField(max_length=100)
    line1 = serializers.CharField(max_length=100)
    line2 = serializers.CharField(max_length=100, required=False, allow_blank=True)
    city = serializers.CharField(max_length=100)
    postal_code = serializers.CharField(max_length=20)
    country = serializers.RegexField(r"^[A-Z]{2}$", help_text="ISO 3166-1 alpha-2")


class NewOrderSerializer(StrictSerializer):
    """The body of `POST /api/orders`."""

    items = LineRequestSerializer(many=True, allow_empty=False, max_length=services.MOST_LINES)  # type: ignore[call-arg]
    currency = serializers.RegexField(r"^[A-Z]{3}$", required=False, help_text="ISO 4217")
    email = serializers.EmailField(required=False, max_length=254)
    user_id = serializers.CharField(required=False, max_length=150, help_text="yours; staff may order for others")
    shipping_address = AddressSerializer(required=False)
    payment_method = serializers.RegexField(
        METHOD_PATTERN,
        required=False,
        validators=[no_card_data],
        help_text="a token of the gateway, never card data; without one the order waits in RESERVED",
    )
    request_id = serializers.CharField(required=False, max_length=255, help_text="instead of Idempotency-Key")


def to_order(data: Mapping[str, Any], *, user_id: str, currency: str, language: str) -> NewOrder:
    """Say what `NewOrderSerializer` has read in the words of the service; raises `InvalidAmount`."""
    lines = tuple(
        OrderLineRequest(
            quantity=line["quantity"],
            sku=line.get("sku", ""),
            product_id=line.get("product_id"),
            price_minor=to_minor(line.get("price"), data.get("currency", currency)),
        )
        for line in data["items"]
    )
    return NewOrder(
        lines=lines,
        user_id=user_id,
        email=data.get("email", ""),
        currency=data.get("currency", ""),
        shipping_address=data.get("shipping_address"),
        payment_method=data.get("payment_method", ""),
        language=language,
    )


def to_minor(price: str | None, currency: str) -> int | None:
    """Read an amount, if there is one; raises `InvalidAmount` for more decimals than the currency has."""
    return None if price is None else Money.parse(price, currency).minor


class RefundRequestSerializer(StrictSerializer):
    """The body of `POST /api/orders/{id}/refunds`."""

    amount = serializers.RegexField(
        PRICE_PATTERN,
        required=False,
        help_text='such as "19.90", in the currency of the order; all that is left if none',
    )
    reason = serializers.CharField(max_length=2000, help_text="for the staff's eyes; the buyer does not see it")
    request_id = serializers.CharField(required=False, max_length=255, help_text="instead of Idempotency-Key")


class RefundSerializer(StrictSerializer):
    """A refund. `status` is PENDING until it is known to be DONE, or FAILED; `source` STAFF, SAGA or GATEWAY."""

    id = serializers.UUIDField()
    order_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=["PENDING", "DONE", "FAILED"])
    source = serializers.ChoiceField(choices=["STAFF", "SAGA", "GATEWAY"])  # type: ignore[assignment]
    amount = serializers.CharField()
    currency = serializers.CharField()
    reason = serializers.CharField()
    requested_by = serializers.CharField(allow_null=True)
    transaction_id = serializers.CharField(allow_null=True)
    failure_code = serializers.CharField(allow_null=True)
    failure_message = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)


class RefundListSerializer(serializers.Serializer[Any]):
    """All refunds of an order, the first one first."""

    results = RefundSerializer(many=True, read_only=True)


def refund_as_json(refund: RefundView) -> dict[str, Any]:
    """Write a refund as `RefundSerializer` describes it."""
    return {
        "id": str(refund.id),
        "orderId": str(refund.reference_id),
        "status": refund.status,
        "source": refund.source,
        "amount": format_minor(refund.amount_minor, refund.currency),
        "currency": refund.currency,
        "reason": refund.reason,
        "requestedBy": refund.actor or None,
        "transactionId": refund.gateway_reference or None,
        "failureCode": refund.failure_code or None,
        "failureMessage": refund.failure_message or None,
        "createdAt": refund.created_at.isoformat(),
        "settledAt": refund.settled_at.isoformat() if refund.settled_at else None,
    }


class PaySerializer(StrictSerializer):
    """The body of `POST /api/orders/{id}/pay`."""

    payment_method = serializers.RegexField(
        METHOD_PATTERN, validators=[no_card_data], help_text="a token of the gateway, never card data"
    )
    attempt = serializers.IntegerField(
        default=1, min_value=1, max_value=100, help_text="the order's `paymentAttempt`, to pay after a decline"
    )


class CancelSerializer(StrictSerializer):
    """The body of `POST /api/orders/{id}/cancel`; may be empty."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)


class ItemSerializer(StrictSerializer):
    """A line of an order."""

    sku = serializers.CharField()
    product_name = serializers.CharField()
    quantity = serializers.IntegerField()
    price = serializers.CharField()


class PaymentSerializer(StrictSerializer):
    """How the payment stands."""

    status = serializers.CharField()
    transaction_id = serializers.CharField(allow_null=True)


class ShipmentSerializer(StrictSerializer):
    """The parcel. `estimatedDelivery` is the day by which it is expected at the door."""

    id = serializers.UUIDField()
    status = serializers.CharField()
    carrier = serializers.CharField()
    service = serializers.CharField()
    tracking_number = serializers.CharField(allow_null=True)
    tracking_url = serializers.CharField(allow_null=True)
    estimated_delivery = serializers.DateField()


class OrderSerializer(StrictSerializer):
    """An order. `clientSecret` is there once, in the reply to its creation."""

    id = serializers.UUIDField()
    number = serializers.CharField()
    status = serializers.ChoiceField(choices=Status.choices)
    failure_code = serializers.CharField(allow_null=True)
    failure_message = serializers.CharField(allow_null=True)
    review_status = serializers.ChoiceField(
        choices=["PENDING", "APPROVED", "REJECTED"], allow_null=True, help_text="a person looks at it, or has"
    )
    refund_status = serializers.CharField(allow_null=True)
    items = ItemSerializer(many=True)
    total_amount = serializers.CharField()
    currency = serializers.CharField()
    user_id = serializers.CharField(allow_null=True)
    email = serializers.CharField(allow_null=True)
    shipping_address = AddressSerializer(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    reserved_until = serializers.DateTimeField(allow_null=True)
    payment = PaymentSerializer(allow_null=True)
    payment_attempt = serializers.IntegerField(help_text="which attempt to pay is under way, or comes next")
    shipment = ShipmentSerializer(allow_null=True)
    saga_id = serializers.UUIDField()
    links = serializers.DictField(child=serializers.CharField())
    client_secret = serializers.CharField(required=False)


class EntrySerializer(StrictSerializer):
    """One attempt at a step of the saga."""

    step = serializers.CharField()
    direction = serializers.ChoiceField(choices=["forward", "compensating"])
    status = serializers.CharField()
    attempt = serializers.IntegerField()
    message = serializers.CharField()
    timestamp = serializers.DateTimeField()
    duration_ms = serializers.IntegerField(allow_null=True)


class SagaSerializer(StrictSerializer):
    """What was done for an order, step by step. All but `history` is of its newest saga, perhaps a reversal."""

    id = serializers.UUIDField()
    order_id = serializers.UUIDField()
    status = serializers.CharField()
    current_step = serializers.SerializerMethodField()
    started_at = serializers.DateTimeField()
    completed_at = serializers.DateTimeField(allow_null=True)
    history = EntrySerializer(many=True)

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_current_step(self, story: Any) -> str | None:
        return story.current_step or None


class OrderPageSerializer(serializers.Serializer[Any]):
    """One page of orders."""

    results = OrderSerializer(many=True, read_only=True)
    next = serializers.URLField(read_only=True, allow_null=True)
    previous = serializers.URLField(read_only=True, allow_null=True)


def as_json(order: OrderView) -> dict[str, Any]:
    """Write an order as `OrderSerializer` describes it. By hand: this is what every accepted order waits for."""
    amount = order.total_minor, order.currency
    return {
        "id": str(order.id),
        "number": order.number,
        "status": str(order.status),
        "failureCode": order.failure_code or None,
        "failureMessage": order.failure_message or None,
        "reviewStatus": order.review_status or None,
        "refundStatus": order.refund_status or None,
        "items": [
            {
                "sku": item.sku,
                "productName": item.product_name,
                "quantity": item.quantity,
                "price": format_minor(item.price_minor, order.currency),
            }
            for item in order.items
        ],
        "totalAmount": format_minor(*amount),
        "currency": order.currency,
        "userId": order.user_id or None,
        "email": order.email or None,
        "shippingAddress": _address(order.shipping_address),
        "createdAt": order.created_at.isoformat(),
        "updatedAt": order.updated_at.isoformat(),
        "reservedUntil": order.reserved_until.isoformat() if order.reserved_until else None,
        "payment": (
            {"status": order.payment.status, "transactionId": order.payment.transaction_id or None}
            if order.payment
            else None
        ),
        "paymentAttempt": order.payment_attempt,
        "shipment": _shipment(order.shipment),
        "sagaId": str(order.saga_id),
        "links": _links(order),
    }


def _address(address: dict[str, Any] | None) -> dict[str, Any] | None:
    if address is None:
        return None
    return {"postalCode" if key == "postal_code" else key: value for key, value in address.items()}


def _shipment(parcel: ShipmentView | None) -> dict[str, Any] | None:
    if parcel is None:
        return None
    return {
        "id": str(parcel.id),
        "status": parcel.status,
        "carrier": parcel.carrier,
        "service": parcel.service,
        "trackingNumber": parcel.tracking_number or None,
        "trackingUrl": parcel.tracking_url or None,
        "estimatedDelivery": parcel.estimated_delivery.isoformat(),
    }


def _links(order: OrderView) -> dict[str, str]:
    names = {"self": "api-order", "saga": "api-order-saga"}
    if order.status in BEFORE_SHIPPING:
        names["cancel"] = "api-order-cancel"
    if order.status == Status.RESERVED:
        names["pay"] = "api-order-pay"
    if order.papers.invoice:
        names["invoice"] = "api-order-invoice"
    if order.papers.credit_notes:
        names["creditNotes"] = "api-order-credit-notes"
    prefix = get_script_prefix()
    links = {relation: _address_of(name, prefix).format(order.id) for relation, name in names.items()}
    for relation, other in (("retryOf", order.retry_of), ("retriedBy", order.retried_by)):
        if other is not None:
            links[relation] = _address_of("api-order", prefix).format(other)
    if order.payment and order.payment.action_url and order.status == Status.PAYMENT_PENDING:
        links["payment"] = order.payment.action_url  # at the bank: send the buyer there, who comes back by themselves
    return links


@cache
def _address_of(name: str, prefix: str) -> str:
    """The address `name`, under the script's `prefix`, with the order's id to be filled in: `reverse` is slow."""
    return reverse(name, args=[_ANY]).replace(str(_ANY), "{}")
