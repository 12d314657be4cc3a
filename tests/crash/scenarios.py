"""The stories of the shop in which workers are killed: one for each way that an order can go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from django.conf import settings
from django.db import transaction

from fulfillment import scanning
from fulfillment import services as fulfillment
from fulfillment.selectors import shipments_of
from marketplace.kernel.clock import database_now
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas import attention
from marketplace.sagas.definition import Saga
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.testing import Story, let_come
from marketplace.sagas.testing.nursery import Nursery
from marketplace.sandbox.testing import http
from orders import services
from orders.fraud import reviews
from orders.models import MoneyCase
from orders.returns import services as returning
from orders.returns.selectors import returns_of
from orders.sagas.accept_late_payment import AcceptLatePayment
from orders.sagas.fulfill_order import FulfillOrder
from orders.sagas.payment_case import PaymentCase
from orders.sagas.payment_case_1 import PaymentCase1
from orders.sagas.place_order import PlaceOrder
from orders.sagas.place_order_2 import PlaceOrder2
from orders.sagas.refund_payment import RefundPayment
from orders.sagas.return_order import ReturnOrder
from orders.sagas.reverse_order import ReverseOrder
from orders.sagas.reverse_order_1 import ReverseOrder1
from orders.sagas.stopping import STOP_BY
from orders.selectors import OrderView, refunds
from payments.testing import answer_the_bank
from tests.shop import Shop, authorization_key

SKU = "laptop"
ADDRESS = {"name": "Ada Lovelace", "line1": "Hauptstraße 1", "city": "Berlin", "country": "DE"}

Event = Callable[["OrderCase"], None]

BEFORE_PAYING = ("validate_inventory", "reserve_inventory")
PLANNED = ("estimate_delivery", "create_shipment")
AFTER_PAYING = ("check_fraud", "capture_payment", "confirm_order", *PLANNED)


class OrderCase:
    """One order, and all that can be said of it without naming it."""

    def __init__(self, shop: Shop, order: OrderView) -> None:
        self.shop = shop
        self.order = order

    def outcome(self) -> Mapping[str, Any]:
        now = self.shop.now(self.order)
        return {
            "order": (now.status, now.failure_code, now.review_status, now.refund_status),
            "reviews": [(one.status, one.actor, one.why) for one in reviews.of_orders([now.id])],
            "timeline": self.shop.statuses(self.order),
            "money at the bank": self.shop.money(self.order),
            "payment": now.payment and now.payment.status,
            "refunds": [(one.source, one.status, one.amount_minor) for one in refunds(self.order.id)],
            "reservations": self.shop.hold(self.order),
            "returns": [(one.status, one.verdict, one.refunded_minor) for one in returns_of(self.order.id)],
            **{f"{saga.name}: {what}": value for saga in self.sagas() for what, value in _told(saga)},
        }

    def sagas(self) -> list[SagaInstance]:
        about = {self.order.id, *(one.id for one in refunds(self.order.id))}
        about |= {one.id for one in returns_of(self.order.id)}
        about |= set(MoneyCase.objects.filter(order=self.order.id).values_list("id", flat=True))
        return list(SagaInstance.objects.filter(subject_id__in=about).order_by("started_at"))


def _told(saga: SagaInstance) -> list[tuple[str, Any]]:
    story = Story.of(saga.id)
    events = list(OutboxEvent.objects.filter(saga_id=saga.id).order_by("sequence").values_list("sequence", "type"))
    return [
        ("status", saga.status),
        ("failure", story.failure),
        ("steps done", story.done),
        ("steps undone", story.undone),
        ("events", events),
    ]


Event = Callable[["OrderCase"], None]


def pay(case: OrderCase) -> None:
    services.pay(case.order.id, method="tok_visa", now=database_now())


def pay_badly(case: OrderCase) -> None:
    services.pay(case.order.id, method="tok_insufficient_funds", now=database_now())


def cancel(case: OrderCase) -> None:
    services.cancel(case.order.id, actor="user-1", now=database_now())


def run_out(case: OrderCase) -> None:
    saga = SagaInstance.objects.get(pk=case.order.saga_id)
    let_come(saga.id, saga.wait_until)


def pay_late(case: OrderCase) -> None:
    """Money comes for an order that has ended without it."""
    case.shop.paid_elsewhere(case.order)


def withdraw(case: OrderCase) -> None:
    """The bank takes the authorization back before the money is taken."""
    key = authorization_key(case.order.saga_id)
    case.shop.gateway.gateway().void(key=f"{key}:withdrawn", authorization_key=key)


def begun_with_version_2(case: OrderCase) -> None:
    """It was begun by an older code, by which an order could be paid once only."""
    steps = [node.name for node in PlaceOrder2.steps]
    SagaInstance.objects.filter(pk=case.order.saga_id).update(version=PlaceOrder2.version, steps=steps)


def look_and(verdict: Literal["APPROVED", "REJECTED"]) -> Event:
    """A person looks at the order, and decides."""

    def decide(case: OrderCase) -> None:
        [review] = reviews.of_orders([case.order.id])
        reviews.decide(review.id, verdict, actor="ada", reason="As I see it.", now=database_now())

    return decide


def approve(case: OrderCase) -> None:
    """The buyer confirms the payment on the bank's page; nobody tells us."""
    answer_the_bank(case.shop.now(case.order).payment.action_url, "approve")


def decline(case: OrderCase) -> None:
    answer_the_bank(case.shop.now(case.order).payment.action_url, "decline")


def tell(case: OrderCase) -> None:
    """The bank's webhook comes."""
    case.shop.bank_says(case.order)


def take_back(case: OrderCase) -> None:
    """The bank takes the money back that was captured, and tells."""
    case.shop.gateway.reverse(authorization_key(case.order.saga_id))
    case.shop.bank_says(case.order)


def give_back_at_the_counter(case: OrderCase) -> None:
    """Somebody gives back all of the money at the bank's own counter, and it is heard of."""
    key = authorization_key(case.order.saga_id)
    case.shop.gateway.gateway().refund(key=f"{key}:at-the-counter", authorization_key=key, amount_minor=None)
    case.shop.bank_says(case.order)


def refund_a_part(case: OrderCase) -> None:
    """Somebody of the staff gives a part of the money back."""
    services.refund(case.order.id, amount_minor=300, reason="Late.", actor="ada", key="click", now=database_now())


def cannot_ship(case: OrderCase) -> None:
    services.cannot_ship(case.order.id, reason="It fell off the shelf.", actor="warehouse", now=database_now())


def began_with_version_1(case: OrderCase) -> None:
    """It is taken back by an older code, which knew of no shipment."""
    steps = [node.name for node in ReverseOrder1.steps]
    reversal = SagaInstance.objects.get(subject_id=case.order.id, name=ReverseOrder1.name)
    reversal.context.pop(STOP_BY)
    reversal.version, reversal.steps, reversal.current_step, reversal.queue = 1, steps, steps[0], "payments"
    reversal.save()


def opened_with_version_1(case: OrderCase) -> None:
    """The case was opened by an older code, by which an order had one at most."""
    about = MoneyCase.objects.filter(order=case.order.id).values("id")
    SagaInstance.objects.filter(subject_id__in=about).update(version=1, subject_id=case.order.id)


def pack(case: OrderCase) -> None:
    """The warehouse has packed it."""
    assert services.packed([case.order.id], who="wanda", now=database_now()).packed


def scan(*kinds: str) -> Event:
    """The carrier scans the parcel, and tells."""

    def scanned(case: OrderCase) -> None:
        move(*kinds)(case)
        view = shipments_of([case.order.id])[case.order.id]
        seen = fulfillment.look(case.order.id)
        assert seen is not None
        with transaction.atomic():
            scanning.take_in([scanning.News(view.id, seen.scans)], now=database_now())
        scanning.pass_on(now=database_now())

    return scanned


def move(*kinds: str) -> Event:
    """The carrier scans the parcel, and tells nobody."""

    def moved(case: OrderCase) -> None:
        key = shipments_of([case.order.id])[case.order.id].label_key
        for kind in kinds:
            http().post(
                f"{settings.SANDBOX_CARRIER_URL}/v1/shipments/{quote(key, safe='')}/scan",
                json={"kind": kind},
                headers={"Authorization": f"Bearer {settings.SANDBOX_CARRIER_API_KEY}"},
            ).raise_for_status()

    return moved


def send_back(case: OrderCase) -> None:
    """The buyer wants to return it."""
    bought = {item.sku: item.quantity for item in case.order.items}
    returning.request(case.order.id, lines=bought, reason="Too loud.", actor="user-1", now=database_now())


def answer_the_wish(verdict: Literal["APPROVED", "REJECTED"]) -> Event:
    """Somebody of the staff decides about the return."""

    def answered(case: OrderCase) -> None:
        [wish] = returns_of(case.order.id)
        returning.decide(wish.id, verdict, actor="ada", reason="As I see it.", now=database_now())

    return answered


def come_back(case: OrderCase) -> None:
    """The parcel is back, as new."""
    [wish] = returns_of(case.order.id)
    back = {line.sku: returning.Back(restocked=line.quantity) for line in wish.lines}
    returning.receive(wish.id, back=back, reason="As new.", actor="wanda", now=database_now())


def wait_in_vain(case: OrderCase) -> None:
    """What the return waits for does not come in time."""
    saga = SagaInstance.objects.get(subject_id=returns_of(case.order.id)[0].id)
    let_come(saga.id, saga.wait_until)


def hear_nothing(case: OrderCase) -> None:
    """The time to wait for a scan is over."""
    saga = SagaInstance.objects.get(subject_id=case.order.id, name=FulfillOrder.name)
    let_come(saga.id, saga.wait_until)


def give_up(case: OrderCase) -> None:
    """A person has the shipment undone."""
    saga = SagaInstance.objects.get(subject_id=case.order.id, name=FulfillOrder.name)
    attention.compensate(saga.id, actor="wanda", reason="There is no such street.", now=database_now())


def resolve(case: OrderCase) -> None:
    """A person takes what the order's saga is parked at as done."""
    [parked] = [saga for saga in case.sagas() if saga.status == "NEEDS_ATTENTION"]
    attention.resolve(parked.id, actor="ada", reason="It is settled.", now=database_now())


@dataclass(frozen=True)
class OrderScenario:
    """An order with `token`, and what comes `before` the story, in order: a queue that is worked off, or an event."""

    name: str
    story: tuple[str, ...]
    money: tuple[str, ...]  # every movement, by the bank's own books
    ends: str  # as what the order ends
    definition: type[Saga] = PlaceOrder
    token: str = "tok_visa"
    quantity: int = 1
    attempts: int = 1  # PAYMENT_ATTEMPTS
    postal_code: str = "10115"
    before: tuple[str | Event, ...] = ()
    shop: Shop = field(default=None, compare=False)  # type: ignore[assignment]

    def begin(self, nursery: Nursery, count: int) -> Sequence[OrderCase]:
        address = {**ADDRESS, "postal_code": self.postal_code}
        orders = [self.shop.order(SKU, self.quantity, token=self.token, address=address) for _ in range(count)]
        cases = [OrderCase(self.shop, order) for order in orders]
        for what in self.before:
            if isinstance(what, str):
                nursery.once(what)
            else:
                for case in cases:
                    what(case)
        return cases


RESERVED = ("inventory", "orders")
AUTHORIZED = (*RESERVED, "payments")
CHECKED = (*AUTHORIZED, "orders")
CAPTURED = (*CHECKED, "payments")
CONFIRMED = (*CAPTURED, "orders")
TO_BE_PACKED = (*CONFIRMED, "inventory", "fulfillment")
LABELLED = (*TO_BE_PACKED, pack, "fulfillment")
DELIVERED = (*LABELLED, scan("PICKED_UP"), "fulfillment", scan("OUT_FOR_DELIVERY", "DELIVERED"), "fulfillment")
BACK = ("refund_payment", "restock_inventory", "close_order")
EXPIRED = (*RESERVED, run_out, "orders", "inventory")
SOLD = ("AUTHORIZE", "CAPTURE")
TAKEN_BACK = ("AUTHORIZE", "CAPTURE", "REFUND")
NEVERMIND = ("-reserve_inventory", "-closing")

SCENARIOS = (
    OrderScenario(
        "buy now", (*BEFORE_PAYING, "authorize_payment", *AFTER_PAYING), ("AUTHORIZE", "CAPTURE"), "CONFIRMED"
    ),
    OrderScenario(
        "pay later",
        ("payment_request", "authorize_payment", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        token="",
        before=(*RESERVED, pay),
    ),
    OrderScenario(
        "paid when it had expired",
        ("take_in_payment", "check_order", "reserve_inventory", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        definition=AcceptLatePayment,
        token="",
        before=(*EXPIRED, pay_late),
    ),
    OrderScenario(
        "paid when it had expired, and not wanted any more",
        ("-take_in_payment", "-closing"),
        ("AUTHORIZE", "VOID"),
        "CANCELLED",
        definition=AcceptLatePayment,
        token="",
        before=(*EXPIRED, pay_late, cancel),
    ),
    OrderScenario(
        "paid when it had expired, and cancelled when captured",
        ("-capture_payment", "-reserve_inventory", "-take_in_payment", "-closing"),
        TAKEN_BACK,
        "CANCELLED",
        definition=AcceptLatePayment,
        token="",
        before=(*EXPIRED, pay_late, "payments", "orders", "inventory", "orders", "payments", cancel),
    ),
    OrderScenario("never paid", NEVERMIND, (), "CANCELLED", token="", before=(*RESERVED, run_out)),
    OrderScenario("out of stock", ("validate_inventory", "-closing"), (), "FAILED", quantity=900),
    OrderScenario("declined", (*BEFORE_PAYING, "authorize_payment", *NEVERMIND), (), "FAILED", token="tok_declined"),
    OrderScenario(
        "a bank that fails twice",
        (*BEFORE_PAYING, "authorize_payment", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        token="tok_flaky",
    ),
    OrderScenario(
        "a lost answer",
        (*BEFORE_PAYING, "authorize_payment", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        token="tok_timeout",
    ),
    OrderScenario(
        "fraud",
        (*BEFORE_PAYING, "authorize_payment", "check_fraud", "-authorize_payment", *NEVERMIND),
        ("AUTHORIZE", "VOID"),
        "FAILED",
        token="tok_fraud",
    ),
    OrderScenario(
        "waits for a person, and is approved",
        ("fraud_review", "capture_payment", "confirm_order", *PLANNED),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        token="tok_review",
        before=(*CHECKED, look_and("APPROVED")),
    ),
    OrderScenario(
        "waits for a person, and is rejected",
        ("fraud_review", "-authorize_payment", *NEVERMIND),
        ("AUTHORIZE", "VOID"),
        "FAILED",
        token="tok_review",
        before=(*CHECKED, look_and("REJECTED")),
    ),
    OrderScenario(
        "waits for a person, and nobody comes",
        ("-authorize_payment", *NEVERMIND),
        ("AUTHORIZE", "VOID"),
        "FAILED",
        token="tok_review",
        before=(*CHECKED, run_out),
    ),
    OrderScenario(
        "withdrawn before the capture",
        ("capture_payment", "-authorize_payment", *NEVERMIND),
        ("AUTHORIZE", "VOID"),
        "FAILED",
        before=(*CHECKED, withdraw),
    ),
    OrderScenario("cancelled at once", ("-closing",), (), "CANCELLED", before=(cancel,)),
    OrderScenario("cancelled while held", NEVERMIND, (), "CANCELLED", token="", before=(*RESERVED, cancel)),
    OrderScenario(
        "cancelled when authorized",
        ("-authorize_payment", *NEVERMIND),
        ("AUTHORIZE", "VOID"),
        "CANCELLED",
        before=(*AUTHORIZED, cancel),
    ),
    OrderScenario(
        "cancelled when captured",
        ("-capture_payment", "-authorize_payment", *NEVERMIND),
        TAKEN_BACK,
        "CANCELLED",
        before=(*CAPTURED, cancel),
    ),
    OrderScenario(
        "cancelled when confirmed",
        ("-closing", "shipment_stopped", *BACK),
        TAKEN_BACK,
        "CANCELLED",
        definition=ReverseOrder,
        before=(*CONFIRMED, cancel),
    ),
    OrderScenario(
        "taken back by the bank when captured",
        ("-capture_payment", "-authorize_payment", *NEVERMIND),
        ("AUTHORIZE", "CAPTURE", "REVERSE"),
        "FAILED",
        before=(*CAPTURED, take_back),
    ),
    OrderScenario(
        "taken back by the bank when confirmed",
        ("-closing", "shipment_stopped", *BACK),
        ("AUTHORIZE", "CAPTURE", "REVERSE"),
        "FAILED",
        definition=ReverseOrder,
        before=(*CONFIRMED, take_back),
    ),
    OrderScenario(
        "can't be shipped",
        ("-closing", "shipment_stopped", *BACK),
        TAKEN_BACK,
        "FAILED",
        definition=ReverseOrder,
        before=(*CONFIRMED, cannot_ship),
    ),
    OrderScenario(
        "a part refunded by staff",
        ("send_refund", "close_refund", *PLANNED),
        TAKEN_BACK,
        "CONFIRMED",
        definition=RefundPayment,
        before=(*CONFIRMED, refund_a_part),
    ),
    OrderScenario(
        "cancelled when a part was refunded",
        ("-closing", "shipment_stopped", *BACK),
        (*TAKEN_BACK, "REFUND"),
        "CANCELLED",
        definition=ReverseOrder,
        before=(*CONFIRMED, refund_a_part, "payments", "orders", cancel),
    ),
    OrderScenario(
        "a case is opened",
        ("decide", *PLANNED),
        TAKEN_BACK,
        "CONFIRMED",
        definition=PaymentCase,
        before=(*CONFIRMED, give_back_at_the_counter),
    ),
    OrderScenario(
        "a case is settled",
        ("note_decision", *PLANNED),
        TAKEN_BACK,
        "CONFIRMED",
        definition=PaymentCase,
        before=(*CONFIRMED, give_back_at_the_counter, "orders", resolve),
    ),
    OrderScenario(
        "version 1, a case is opened",
        ("decide", *PLANNED),
        TAKEN_BACK,
        "CONFIRMED",
        definition=PaymentCase1,
        before=(*CONFIRMED, give_back_at_the_counter, opened_with_version_1),
    ),
    OrderScenario(
        "version 1, a case is settled",
        ("note_decision", *PLANNED),
        TAKEN_BACK,
        "CONFIRMED",
        definition=PaymentCase1,
        before=(*CONFIRMED, give_back_at_the_counter, opened_with_version_1, "orders", resolve),
    ),
    OrderScenario(
        "confirmed at the bank later",
        ("payment_outcome", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        token="tok_requires_action",
        before=(*AUTHORIZED, approve, tell),
    ),
    OrderScenario(
        "declined at the bank later",
        ("payment_outcome", *NEVERMIND, "-authorize_payment"),
        (),
        "FAILED",
        token="tok_requires_action",
        before=(*AUTHORIZED, decline, tell),
    ),
    OrderScenario(
        "confirmed at the bank, and no word of it",
        ("look_up_payment", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        token="tok_requires_action",
        before=(*AUTHORIZED, approve, run_out),
    ),
    OrderScenario(
        "version 2, buy now",
        (*BEFORE_PAYING, "authorize_payment", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        definition=PlaceOrder2,
        before=(begun_with_version_2,),
    ),
    OrderScenario(
        "version 2, pay later",
        ("payment_request", "authorize_payment", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        definition=PlaceOrder2,
        token="",
        before=(begun_with_version_2, *RESERVED, pay),
    ),
    OrderScenario(
        "version 2, cancelled when captured",
        ("-capture_payment", "-authorize_payment", *NEVERMIND),
        TAKEN_BACK,
        "CANCELLED",
        definition=PlaceOrder2,
        before=(begun_with_version_2, *CAPTURED, cancel),
    ),
    OrderScenario(
        "version 2, confirmed at the bank later",
        ("payment_outcome", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        definition=PlaceOrder2,
        token="tok_requires_action",
        before=(begun_with_version_2, *AUTHORIZED, approve, tell),
    ),
    OrderScenario(
        "version 2, confirmed at the bank, and no word of it",
        ("look_up_payment", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        definition=PlaceOrder2,
        token="tok_requires_action",
        before=(begun_with_version_2, *AUTHORIZED, approve, run_out),
    ),
    OrderScenario(
        "declined, and it may be paid again",
        (*BEFORE_PAYING, "authorize_payment", "-payment_request"),
        (),
        "RESERVED",
        token="tok_declined",
        attempts=2,
    ),
    OrderScenario(
        "declined, and then paid by another card",
        ("payment_request", "authorize_payment", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        token="tok_declined",
        attempts=2,
        before=(*AUTHORIZED, "orders", pay),
    ),
    OrderScenario(
        "declined twice, which was once too often",
        ("payment_request", "authorize_payment", *NEVERMIND),
        (),
        "FAILED",
        token="tok_declined",
        attempts=2,
        before=(*AUTHORIZED, "orders", pay_badly),
    ),
    OrderScenario(
        "declined at the bank later, and it may be paid again",
        ("payment_outcome", "-authorize_payment", "-payment_request"),
        (),
        "RESERVED",
        token="tok_requires_action",
        attempts=2,
        before=(*AUTHORIZED, decline, tell),
    ),
    OrderScenario(
        "declined at the bank, no word of it, and it may be paid again",
        ("look_up_payment", "-authorize_payment", "-payment_request"),
        (),
        "RESERVED",
        token="tok_requires_action",
        attempts=2,
        before=(*AUTHORIZED, decline, run_out),
    ),
    OrderScenario(
        "declined, paid by another card, and cancelled when captured",
        ("-capture_payment", "-authorize_payment", *NEVERMIND),
        TAKEN_BACK,
        "CANCELLED",
        token="tok_declined",
        attempts=2,
        before=(*AUTHORIZED, "orders", pay, "orders", "payments", "orders", "payments", cancel),
    ),
    OrderScenario(
        "declined, and nobody pays again",
        NEVERMIND,
        (),
        "CANCELLED",
        token="tok_declined",
        attempts=2,
        before=(*AUTHORIZED, "orders", run_out),
    ),
    OrderScenario(
        "version 1, cancelled when confirmed",
        ("-closing", *BACK),
        TAKEN_BACK,
        "CANCELLED",
        definition=ReverseOrder1,
        before=(*CONFIRMED, cancel, began_with_version_1),
    ),
    OrderScenario(
        "to be packed",
        PLANNED,
        SOLD,
        "CONFIRMED",
        definition=FulfillOrder,
        before=CONFIRMED,
    ),
    OrderScenario(
        "packed",
        ("packed", "check_packed", "buy_label", "ship_order"),
        SOLD,
        "SHIPPED",
        definition=FulfillOrder,
        before=(*TO_BE_PACKED, pack),
    ),
    OrderScenario(
        "packed, and the answer to the label is lost",
        ("packed", "check_packed", "buy_label", "ship_order"),
        SOLD,
        "SHIPPED",
        definition=FulfillOrder,
        postal_code="00002",
        before=(*TO_BE_PACKED, pack),
    ),
    OrderScenario(
        "picked up",
        ("pick_up", "hand_over_order"),
        SOLD,
        "IN_TRANSIT",
        definition=FulfillOrder,
        before=(*LABELLED, scan("PICKED_UP")),
    ),
    OrderScenario(
        "delivered",
        ("delivery", "deliver_order"),
        SOLD,
        "DELIVERED",
        definition=FulfillOrder,
        before=(*LABELLED, scan("PICKED_UP"), "fulfillment", scan("OUT_FOR_DELIVERY", "DELIVERED")),
    ),
    OrderScenario(
        "picked up, and no word of it",
        ("look_for_pick_up", "hand_over_order"),
        SOLD,
        "IN_TRANSIT",
        definition=FulfillOrder,
        before=(*LABELLED, move("PICKED_UP"), hear_nothing),
    ),
    OrderScenario(
        "delivered, and no word of it",
        ("look_for_delivery", "deliver_order"),
        SOLD,
        "DELIVERED",
        definition=FulfillOrder,
        before=(*LABELLED, scan("PICKED_UP"), "fulfillment", move("DELIVERED"), hear_nothing),
    ),
    OrderScenario(
        "no label to be had",
        ("-buy_label", "-create_shipment", "-closing", *BACK),
        TAKEN_BACK,
        "FAILED",
        definition=FulfillOrder,
        postal_code="00000",
        before=(*TO_BE_PACKED, pack, "fulfillment", give_up),
    ),
    OrderScenario(
        "cancelled before it is packed",
        ("-create_shipment", "-closing", "shipment_stopped", *BACK),
        TAKEN_BACK,
        "CANCELLED",
        definition=FulfillOrder,
        before=(*TO_BE_PACKED, cancel),
    ),
    OrderScenario(
        "sent back",
        ("receipt", "restock_return", "refund_return", "close_return"),
        TAKEN_BACK,
        "DELIVERED",
        definition=ReturnOrder,
        before=(*DELIVERED, send_back, answer_the_wish("APPROVED"), "orders", come_back),
    ),
    OrderScenario(
        "a return is approved",
        ("approval",),
        SOLD,
        "DELIVERED",
        definition=ReturnOrder,
        before=(*DELIVERED, send_back, "orders", answer_the_wish("APPROVED")),
    ),
    OrderScenario(
        "a return is rejected",
        ("approval", "-closing"),
        SOLD,
        "DELIVERED",
        definition=ReturnOrder,
        before=(*DELIVERED, send_back, "orders", answer_the_wish("REJECTED")),
    ),
    OrderScenario(
        "a return does not come back",
        ("-closing",),
        SOLD,
        "DELIVERED",
        definition=ReturnOrder,
        before=(*DELIVERED, send_back, answer_the_wish("APPROVED"), "orders", "inventory", wait_in_vain),
    ),
)
