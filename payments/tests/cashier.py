"""A hand at the till for tests: the steps of `payments.services` in their own transactions, as a saga takes them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from django.db import transaction

from payments import selectors, services
from payments.gateways.base import Outcome, Reply
from payments.models import Refund
from payments.services import GatewayCall, NewPayment, PaymentView

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=7)

HELD = Reply(Outcome.DONE, reference="ch_1", amount_minor=1299)
TAKEN = Reply(Outcome.DONE, reference="cap_1", amount_minor=1299)
LET_GO = Reply(Outcome.DONE, reference="vo_1", amount_minor=1299)
GIVEN_BACK = Reply(Outcome.DONE, reference="re_1", amount_minor=1299)
DECLINED = Reply(Outcome.REFUSED, code="card_declined", message="The card was declined.")
NOBODY_KNOWS = Reply(Outcome.UNKNOWN, code="gateway_timeout", message="No answer.")

STEPS = {"AUTHORIZE": "authorize", "CAPTURE": "capture", "VOID": "authorize:undo", "REFUND": "capture:undo"}


def key_of(order: UUID, operation: str) -> str:
    return f"{order}:{STEPS[operation]}"


def open_payment(order: UUID | None = None, *, method: str = "tok_visa", amount_minor: int = 1299) -> UUID:
    """Open a payment of 12.99 EUR; return the order's id."""
    order = order or uuid4()
    with transaction.atomic():
        services.open([NewPayment(order, method, amount_minor, "EUR")], now=NOW)
    return order


def begin(operation: str, order: UUID, *, number: int = 1, key: str = "") -> GatewayCall | None:
    key = key or key_of(order, operation)
    with transaction.atomic():
        (call,) = services.begin(operation, [order], keys=[key], numbers=[number], now=NOW)
    return call


def record(call: GatewayCall, reply: Reply) -> PaymentView:
    with transaction.atomic():
        (view,) = services.record([(call, reply)], now=LATER)
    return view


def hear(operation: str, order: UUID, reply: Reply, *, number: int = 1) -> PaymentView:
    """Begin a call and record `reply` as its answer, without any gateway."""
    return record(begin(operation, order, number=number), reply)


def call(operation: str, order: UUID, *, number: int = 1) -> Reply:
    """Begin a call, make it and record its answer."""
    begun = begin(operation, order, number=number)
    reply = send(begun)
    record(begun, reply)
    return reply


def send(begun: GatewayCall) -> Reply:
    """Make the call as the engine does, in a thread of its own: there, no transaction is open, not even the test's."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(services.send, begun).result()


def status(order: UUID) -> tuple[str, int, int]:
    """Status, captured and refunded minor units."""
    view = selectors.payments_of([order])[order]
    return (view.status, view.captured_minor, view.refunded_minor)


def attempts(order: UUID) -> list[tuple[str, int, str, str]]:
    """Every call: operation, number, outcome, code."""
    return [(a.operation, a.number, a.outcome, a.code) for a in selectors.attempts_of(order)]


def refunds(order: UUID) -> list[tuple[str, int]]:
    """Every refund: status and minor units."""
    rows = Refund.objects.filter(payment__reference_id=order).order_by("id")
    return list(rows.values_list("status", "amount_minor"))
