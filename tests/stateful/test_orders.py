"""Any story at all: orders, payments, signals, bank moods, dying workers, jumping clocks and people who decide.

After every step the auditor must have nothing to say. At the end everything that is under way is brought to its end,
and then no unit and no cent may be where it shouldn't, by our books or by the bank's.
"""

import os
import sys
from collections import Counter
from datetime import timedelta

import pytest
from django.conf import settings as shop_settings
from django.db import transaction
from hypothesis import HealthCheck, Phase
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import MarketplaceError
from marketplace.kernel.ids import new_id
from marketplace.operations.auditor import audit
from marketplace.operations.subjects import orders_about
from marketplace.sagas import attention
from marketplace.sagas import services as sagas
from marketplace.sagas.models import SagaInstance, Status
from marketplace.sagas.testing import Place, Story
from marketplace.sagas.testing.seams import CLOSING
from orders import services
from orders.fraud import reviews
from orders.models import MoneyCase, Order
from orders.sagas.accept_late_payment import AcceptLatePayment
from orders.sagas.fulfill_order import FulfillOrder
from orders.sagas.payment_case import PaymentCase
from orders.sagas.place_order import PlaceOrder
from orders.sagas.reverse_order import ReverseOrder
from orders.tasks import expire_reservations
from payments.testing import SandboxServer, answer_the_bank
from tests.shop import QUEUES, Shop, authorization_key
from tests.stateful.world import (
    MoodyBank,
    forget_everything,
    hear_from_the_bank,
    jump,
    unfinished,
    work,
    work_and_die,
    work_with_a_bug,
)

UNITS = {"lamp": 3, "mug": 8, "rug": 30}  # one that is soon gone, one that may be, one that lasts
EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES") or 0)

UNDONE = {node.name for node in PlaceOrder.steps if getattr(node, "undo", None) is not None}
PATH = ("inventory", "orders", "payments", "orders", "payments", "orders")  # of an order, from queue to queue
ENDED = {"FAILED", "CANCELLED"}
MOST_ATTEMPTS = 3  # to pay an order, in every other story

tokens = st.sampled_from(
    [
        "tok_visa",
        "tok_visa",
        "tok_visa",
        "",
        "",
        "tok_declined",
        "tok_insufficient_funds",
        "tok_flaky",
        "tok_fraud",
        "tok_review",
        "tok_requires_action",
    ]
)
baskets = st.dictionaries(st.sampled_from(sorted(UNITS, reverse=True)), st.integers(1, 3), min_size=1, max_size=2)
which = st.integers(0, 11)
has_orders = precondition(lambda self: self.orders)


class OrderStories(RuleBasedStateMachine):
    """One shop, and everything that may happen to it."""

    bank: SandboxServer
    happened: Counter[str] = Counter()  # in all stories
    tidy = True  # the story before this one has left nothing behind

    def __init__(self):
        super().__init__()
        if not type(self).tidy:
            forget_everything()
            self.bank.forget()
        type(self).tidy = False
        self.shop = Shop(self.bank)
        self.way_to_bank = MoodyBank(self.bank.gateway())
        self.between = self.way_to_bank.between()
        self.between.__enter__()
        self.orders = []
        self.seen = {}

    @initialize(
        first=st.lists(st.tuples(baskets, tokens), min_size=2, max_size=4),
        so_far=st.integers(0, len(PATH)),
        attempts=st.sampled_from([1, MOST_ATTEMPTS]),
    )
    def open_the_shop(self, first, so_far, attempts):
        """Every story has products of its own, and some orders to begin with."""
        shop_settings.PAYMENT_ATTEMPTS = attempts
        story = new_id().hex[-8:]
        self.skus = {name: f"{name}-{story}" for name in UNITS}
        for name, sku in self.skus.items():
            self.shop.stocked(sku, UNITS[name])
        for basket, token in first:
            self.place(basket, token)
        for queue in PATH[:so_far]:
            work([queue])

    # --- buyers -------------------------------------------------------------------------------------------------------

    @rule(basket=baskets, token=tokens)
    def place(self, basket, token):
        lines = [(self.skus[name], quantity) for name, quantity in basket.items()]
        self.orders.append(self.shop.order_lines(lines, token=token))

    @has_orders
    @rule(which=which, token=st.sampled_from(["tok_visa", "tok_visa", "tok_declined"]))
    def pay(self, which, token):
        """Of those that wait for it, if any do."""
        waiting = [order for order in map(Shop.now, self.orders) if order.status == "RESERVED"] or self.orders
        order = waiting[which % len(waiting)]
        self.count("pay", self.quietly(services.pay, order.id, method=token, now=database_now()))

    @has_orders
    @rule(which=which, by_staff=st.booleans())
    def cancel(self, which, by_staff):
        self.happened["cancel"] += self.quietly(
            services.cancel, self.order(which).id, actor="ada", by_staff=by_staff, now=database_now()
        )

    @has_orders
    @rule(which=which, name=st.sampled_from(["cancel", "payment_request", "payment_outcome"]), twice=st.booleans())
    def signal(self, which, name, twice):
        """One that comes early, late, twice, or that nobody waits for."""
        payload = {"method": "tok_visa"} if name == "payment_request" else {}
        signal_id = name if twice else str(new_id())
        saga = self.order(which).saga_id
        if name == "cancel":
            payload = {"code": "cancelled_by_buyer", "actor": "user-1"}
        sagas.signal(saga, name, signal_id=signal_id, payload=payload)

    # --- workers ------------------------------------------------------------------------------------------------------

    @rule(queues=st.sampled_from([QUEUES, QUEUES, QUEUES, *((queue,) for queue in QUEUES[:3])]))
    def work(self, queues):
        work(queues)

    @rule(seams=st.integers(0, 30))
    def work_and_die(self, seams):
        self.count("a worker died", work_and_die(seams))

    @rule(which=which, ahead=st.integers(0, 2))
    def work_with_a_bug(self, which, ahead):
        place = self.ahead(which, ahead)
        if place is not None:
            work_with_a_bug(place)

    def ahead(self, which, steps):
        """The place that lies so many steps ahead of one of the sagas that are under way."""
        sagas = unfinished()
        if not sagas:
            return None
        saga = sagas[which % len(sagas)]
        if saga.undoing:
            undos = [name for name in reversed(saga.steps[: saga.position + 1]) if name in UNDONE]
            return [*(Place(name, undoing=True) for name in undos), CLOSING][min(steps, len(undos))]
        return Place(saga.steps[min(saga.position + steps, len(saga.steps) - 1)])

    # --- the bank -----------------------------------------------------------------------------------------------------

    @rule(mood=st.sampled_from(["well", "well", "down", "deaf", "slow"]))
    def change_the_mood_of_the_bank(self, mood):
        self.way_to_bank.mood = mood

    @rule(which=which, again=st.booleans())
    def let_a_request_arrive(self, which, again):
        """One that was on the way for long; or one that was answered before, once more."""
        arrive = self.way_to_bank.repeat if again else self.way_to_bank.deliver
        self.count("a late request", arrive(which))

    @has_orders
    @rule(
        which=which,
        deed=st.sampled_from(["withdraw", "reverse", "OPEN", "WON", "LOST"]),
        attempt=st.integers(1, MOST_ATTEMPTS),
        heard=st.booleans(),
    )
    def let_the_bank_do_as_it_pleases(self, which, deed, attempt, heard):
        """It lets go of what it held, takes money back, or hears the buyer complain; and tells of it, or not yet.

        What it has declined, it may hold after all.
        """
        order = self.order(which)
        key = authorization_key(order.saga_id, attempt)
        charge = self.bank.charge(key)
        if charge is None:
            return
        if charge.status == "DECLINED":
            self.bank.change_its_mind(key)
            deed = "change its mind"
        elif charge.status == "PENDING":
            page = Shop.now(order).payment.action_url  # which we may not have been told of
            if page:
                answer_the_bank(page, "approve" if which % 2 else "decline")
        elif deed == "withdraw":
            self.bank.gateway().void(key=f"{key}:by-the-bank", authorization_key=key)
        elif deed == "reverse" and charge.status in {"AUTHORIZED", "CAPTURED"}:
            self.bank.reverse(key)
        elif (charge.status, charge.dispute) == ("CAPTURED", "" if deed == "OPEN" else "OPEN"):
            self.bank.dispute(key, deed)
        else:
            return
        self.count(f"the bank: {deed}")
        if heard:
            hear_from_the_bank(order.id, event_id=str(new_id()))

    @has_orders
    @rule(which=which, event=st.integers(1, 2))
    def hear_from_the_bank(self, which, event):
        """A webhook, perhaps for the second time, perhaps with nothing new."""
        order = self.order(which)
        hear_from_the_bank(order.id, event_id=f"{order.id}:{event}")

    # --- time ---------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 20, 120, 1000]))
    def jump(self, seconds):
        jump(timedelta(seconds=seconds))

    @rule()
    def expire(self):
        expire_reservations()

    # --- people -------------------------------------------------------------------------------------------------------

    @rule(which=which, decide=st.sampled_from([attention.retry, attention.compensate, attention.ignore]))
    def decide(self, which, decide):
        parked = SagaInstance.objects.filter(status=Status.NEEDS_ATTENTION).order_by("started_at")
        if parked:
            saga = parked[which % len(parked)]
            self.happened[f"{decide.__name__} by a person"] += self.quietly(
                decide, saga.id, actor="ada", reason="As I see it.", now=database_now()
            )

    @rule(which=which, verdict=st.sampled_from(["APPROVED", "REJECTED"]))
    def review(self, which, verdict):
        """Somebody looks at one of the orders that wait for it, or did."""
        found = reviews.of_orders([order.id for order in self.orders])
        if found:
            about = {"actor": "ada", "reason": "As I see it.", "now": database_now()}
            self.count(
                f"a review {verdict}", self.quietly(reviews.decide, found[which % len(found)].id, verdict, **about)
            )

    # --- what must be true --------------------------------------------------------------------------------------------

    @invariant()
    def the_auditor_has_nothing_to_say(self):
        assert [str(finding) for finding in audit(ask_gateway=False).findings] == [], self.stories()

    @invariant()
    def what_is_over_is_over(self):
        late = set(SagaInstance.objects.filter(name=AcceptLatePayment.name).values_list("subject_id", flat=True))
        for order in Order.objects.filter(pk__in=[order.id for order in self.orders]):
            before = self.seen.get(order.pk)
            if before in ENDED and order.pk not in late:  # money that comes after all may bring it back to life
                assert order.status == before, self.stories()
            if before == "CONFIRMED":
                assert order.status in {"CONFIRMED", *ENDED}, self.stories()
            self.seen[order.pk] = order.status

    def teardown(self):
        try:
            if sys.exc_info()[0] is None and hasattr(self, "skus"):
                self.bring_everything_to_its_end()
                self.everything_is_where_it_should_be()
                type(self).tidy = True
        finally:
            self.between.__exit__(None, None, None)
        super().teardown()

    def bring_everything_to_its_end(self):
        self.way_to_bank.mood = "well"
        while self.way_to_bank.on_the_way:
            self.way_to_bank.deliver(0)
        for turn in range(60):
            # What no person has looked at in days, nobody will, and an order may only come to be looked at on the way.
            # The other times are longer than any hold: who has not paid by now never will.
            jump(timedelta(seconds=1000) if turn % 20 else timedelta(days=3))
            for order in self.orders:
                self.settle_at_the_bank(order)
                hear_from_the_bank(order.id, event_id=str(new_id()))
            work()
            left = [saga for saga in unfinished() if not waits_for_the_warehouse(saga)]
            if not left:
                return
            for saga in left:
                if saga.status == Status.NEEDS_ATTENTION:
                    self.quietly(way_out(saga), saga.id, actor="ada", reason="To be done.", now=database_now())
        raise AssertionError(f"it does not come to an end:\n{self.stories()}")

    def settle_at_the_bank(self, order):
        """The bank decides what it has still to decide; what a person has to give back by hand is given back."""
        for key, charge in self.charges(order):
            if charge.dispute == "OPEN":
                self.bank.dispute(key, "LOST" if charge.status == "CAPTURED" else "WON")  # it can't take what is back
            elif charge.dispute == "WON" and Shop.now(order).status in ENDED:
                self.bank.gateway().refund(key=f"{key}:by-hand", authorization_key=key, amount_minor=None)

    def charges(self, order):
        """What the bank knows of the attempts to pay an order."""
        keys = [authorization_key(order.saga_id, attempt + 1) for attempt in range(MOST_ATTEMPTS)]
        return [(key, charge) for key in keys if (charge := self.bank.charge(key)) is not None]

    def everything_is_where_it_should_be(self):
        report = audit(ask_gateway=True)
        assert [str(finding) for finding in report.findings] == [], self.stories()
        sold = dict.fromkeys(self.skus.values(), 0)
        ids = [order.id for order in self.orders]
        about = [*ids, *MoneyCase.objects.filter(order__in=ids).values_list("id", flat=True)]
        for saga in SagaInstance.objects.filter(subject_id__in=about):
            self.count(f"{saga.name} {saga.status}")
        for order in map(Shop.now, self.orders):
            self.count(f"order {order.status} {order.failure_code}".strip())
            assert order.status in {"CONFIRMED", *ENDED}, self.stories()
            charges = [charge for _, charge in self.charges(order)]
            self.count("an order asked for twice or more", len(charges) > 1)
            kept = sum(charge.captured_minor - charge.refunded_minor - charge.reversed_minor for charge in charges)
            held = any(charge.status == "AUTHORIZED" for charge in charges)
            assert (kept, held) == (order.total_minor if order.status == "CONFIRMED" else 0, False), self.stories()
            for line in order.items if order.status == "CONFIRMED" else ():
                sold[line.sku] += line.quantity
        for name, sku in self.skus.items():
            assert Shop.levels(sku) == (UNITS[name] - sold[sku], 0), self.stories()

    # --- small things -------------------------------------------------------------------------------------------------

    def order(self, which):
        return self.orders[which % len(self.orders)]

    def count(self, what, times=1):
        self.happened[what] += times

    def quietly(self, ask, *arguments, **named):
        """Ask, and take no for an answer; return whether it was a yes."""
        try:
            with transaction.atomic():
                ask(*arguments, **named)
        except MarketplaceError:
            return False
        return True

    def stories(self):
        about = orders_about(SagaInstance.objects.values_list("subject_id", flat=True))
        return "\n\n".join(
            f"order {about[saga.subject_id].status}: {Story.of(saga.id)}"
            for saga in SagaInstance.objects.order_by("started_at")
        )


def waits_for_the_warehouse(saga):
    """Whether this is an order that stands, and that nobody in these stories packs."""
    return saga.name == FulfillOrder.name and not saga.undoing and saga.current_step in {"packed", "check_packed"}


def way_out(saga):
    """How a person gets a parked saga to its end."""
    if saga.name == PaymentCase.name:
        return attention.resolve
    return attention.retry if saga.undoing or saga.name == ReverseOrder.name else attention.compensate


@pytest.fixture
def own_bank(tmp_path, settings):
    """A bank with books of its own, which can be made to forget."""

    class Bank(SandboxServer):
        def forget(self):
            self.stop()
            self.data = tmp_path / f"bank-{new_id()}"
            self.start()

    server = Bank(tmp_path / "bank")
    server.start()
    settings.PAYMENT_GATEWAY = "sandbox"
    settings.SANDBOX_GATEWAY_URL = server.url
    settings.SANDBOX_API_KEY = server.api_key
    settings.PAYMENT_ATTEMPTS = 1  # each story says how many
    settings.SAGA_CALL_CONCURRENCY = 1  # so that the same story goes the same way
    yield server
    server.stop()


@pytest.mark.timeout(3600)
def test_whatever_happens(transactional_db, own_bank):
    OrderStories.bank = own_bank
    OrderStories.tidy = True
    OrderStories.happened.clear()
    run_state_machine_as_test(
        OrderStories,
        settings=profile(
            max_examples=EXAMPLES or 20,
            stateful_step_count=60,
            derandomize=not EXAMPLES,  # the same stories every time, unless more of them are asked for
            database=None,
            deadline=None,
            print_blob=True,
            phases=[Phase.generate] if os.environ.get("STATEFUL_AS_FOUND") else list(Phase),
            suppress_health_check=list(HealthCheck),
        ),
    )
    happened = OrderStories.happened
    for what, times in sorted(happened.items()):
        print(f"{times:6} x {what}")
    never = {"order CONFIRMED", "place_order COMPENSATED", "a worker died", "a late request"} - happened.keys()
    assert not never, "these stories are too tame"
