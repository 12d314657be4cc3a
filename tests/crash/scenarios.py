"""The stories of the shop in which workers are killed: one for each way that an order can go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marketplace.kernel.clock import database_now
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas import attention
from marketplace.sagas.definition import Saga
from marketplace.sagas.models import SagaInstance
from marketplace.sagas.testing import Story, let_come
from marketplace.sagas.testing.nursery import Nursery
from orders import services
from orders.sagas.accept_late_payment import AcceptLatePayment
from orders.sagas.payment_case import PaymentCase
from orders.sagas.place_order import PlaceOrder
from orders.sagas.place_order_1 import PlaceOrder1
from orders.sagas.reverse_order import ReverseOrder
from orders.selectors import OrderView
from payments.testing import answer_the_bank
from tests.shop import Shop, authorization_key

SKU = "laptop"

BEFORE_PAYING = ("validate_inventory", "reserve_inventory")
AFTER_PAYING = ("check_fraud", "capture_payment", "confirm_order")


class OrderCase:
    """One order, and all that can be said of it without naming it."""

    def __init__(self, shop: Shop, order: OrderView) -> None:
        self.shop = shop
        self.order = order

    def outcome(self) -> Mapping[str, Any]:
        now = self.shop.now(self.order)
        return {
            "order": (now.status, now.failure_code, now.refund_status),
            "timeline": self.shop.statuses(self.order),
            "money at the bank": self.shop.money(self.order),
            "payment": now.payment and now.payment.status,
            "reservations": self.shop.hold(self.order),
            **{f"{saga.name}: {what}": value for saga in self.sagas() for what, value in _told(saga)},
        }

    def sagas(self) -> list[SagaInstance]:
        return list(SagaInstance.objects.filter(subject_id=self.order.id).order_by("started_at"))


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


def pay(case: OrderCase) -> None:
    services.pay(case.order.id, method="tok_visa", now=database_now())


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


def begun_with_version_1(case: OrderCase) -> None:
    """It was begun by an older code, which knew of no bank that answers later."""
    steps = [node.name for node in PlaceOrder1.steps]
    SagaInstance.objects.filter(pk=case.order.saga_id).update(version=PlaceOrder1.version, steps=steps)


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


def give_back_a_part(case: OrderCase) -> None:
    """Somebody gives back half of the money at the bank's own counter, and it is heard of."""
    key = authorization_key(case.order.saga_id)
    case.shop.gateway.gateway().refund(key=f"{key}:at-the-counter", authorization_key=key, amount_minor=500)
    case.shop.bank_says(case.order)


def cannot_ship(case: OrderCase) -> None:
    services.cannot_ship(case.order.id, reason="It fell off the shelf.", actor="warehouse", now=database_now())


def resolve(case: OrderCase) -> None:
    """A person takes what the order's saga is parked at as done."""
    [parked] = [saga for saga in case.sagas() if saga.status == "NEEDS_ATTENTION"]
    attention.resolve(parked.id, actor="ada", reason="It is settled.", now=database_now())


Event = Callable[[OrderCase], None]


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
    before: tuple[str | Event, ...] = ()
    shop: Shop = field(default=None, compare=False)  # type: ignore[assignment]

    def begin(self, nursery: Nursery, count: int) -> Sequence[OrderCase]:
        cases = [OrderCase(self.shop, self.shop.order(SKU, self.quantity, token=self.token)) for _ in range(count)]
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
EXPIRED = (*RESERVED, run_out, "orders", "inventory")
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
        ("take_in_payment", "check_order", "reserve_inventory", "check_fraud", "capture_payment", "confirm_order"),
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
        ("refund_payment", "restock_inventory", "close_order"),
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
        ("refund_payment", "restock_inventory", "close_order"),
        ("AUTHORIZE", "CAPTURE", "REVERSE"),
        "FAILED",
        definition=ReverseOrder,
        before=(*CONFIRMED, take_back),
    ),
    OrderScenario(
        "can't be shipped",
        ("refund_payment", "restock_inventory", "close_order"),
        TAKEN_BACK,
        "FAILED",
        definition=ReverseOrder,
        before=(*CONFIRMED, cannot_ship),
    ),
    OrderScenario(
        "a case is opened",
        ("decide",),
        TAKEN_BACK,
        "CONFIRMED",
        definition=PaymentCase,
        before=(*CONFIRMED, give_back_a_part),
    ),
    OrderScenario(
        "a case is settled",
        ("note_decision",),
        TAKEN_BACK,
        "CONFIRMED",
        definition=PaymentCase,
        before=(*CONFIRMED, give_back_a_part, "orders", resolve),
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
        "version 1, buy now",
        (*BEFORE_PAYING, "authorize_payment", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        definition=PlaceOrder1,
        before=(begun_with_version_1,),
    ),
    OrderScenario(
        "version 1, pay later",
        ("payment_request", "authorize_payment", *AFTER_PAYING),
        ("AUTHORIZE", "CAPTURE"),
        "CONFIRMED",
        definition=PlaceOrder1,
        token="",
        before=(begun_with_version_1, *RESERVED, pay),
    ),
    OrderScenario(
        "version 1, cancelled when captured",
        ("-capture_payment", "-authorize_payment", *NEVERMIND),
        TAKEN_BACK,
        "CANCELLED",
        definition=PlaceOrder1,
        before=(begun_with_version_1, *CAPTURED, cancel),
    ),
)
