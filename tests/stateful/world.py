"""The world around the shop, as a stateful test steers it: a moody bank, workers that die, time that jumps."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import F

from inventory.models import Reservation
from marketplace.kernel.clock import database_now
from marketplace.sagas.models import TERMINAL, Circuit, SagaInstance, SagaSignal
from marketplace.sagas.runner import Worker
from marketplace.sagas.testing.interception import Place
from marketplace.sagas.testing.seams import Boundary, watched
from orders.models import Order
from payments import gateways, news, services
from payments.errors import RefundUnderWay, SightingOutdated
from payments.gateways.base import Outcome, Reply
from payments.models import Observation, Payment
from payments.observations import sight
from tests.shop import QUEUES

OURS = ("orders", "inventory", "payments", "fulfillment", "sagas", "outbox", "idempotency")


class Death(BaseException):
    """A worker dies here. Nothing of the shop's catches it."""


class Bug(Exception):
    """Something unforeseen."""


class MoodyBank:
    """The way to the real sandbox bank, which the test can spoil for the calls to come."""

    MOVES = ("authorize", "capture", "void", "refund")

    def __init__(self, real: Any) -> None:
        self._real = real
        self.mood = "well"
        self.on_the_way: list[tuple[str, dict[str, Any]]] = []  # requests that are still to arrive
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._real, name)
        return inner if name not in self.MOVES else lambda **request: self._move(name, request)

    def _move(self, name: str, request: dict[str, Any]) -> Reply:
        self.asked.append((name, request))
        match self.mood:
            case "down":
                return Reply(Outcome.UNKNOWN, code="gateway_unreachable", nothing_happened=True)
            case "slow":
                self.on_the_way.append((name, request))
                return Reply(Outcome.UNKNOWN, code="gateway_timeout")
            case "deaf":
                getattr(self._real, name)(**request)
                return Reply(Outcome.UNKNOWN, code="gateway_timeout")
        reply: Reply = getattr(self._real, name)(**request)
        return reply

    def deliver(self, which: int) -> bool:
        """Let a request arrive that was on the way, if any was; nobody waits for its answer any more."""
        return self._arrive(self.on_the_way.pop(which % len(self.on_the_way)) if self.on_the_way else None)

    def repeat(self, which: int) -> bool:
        """Send a request again that was sent before: a worker that was thought dead, or a network that stutters."""
        return self._arrive(self.asked[which % len(self.asked)] if self.asked else None)

    def _arrive(self, asked: tuple[str, dict[str, Any]] | None) -> bool:
        if asked is not None:
            getattr(self._real, asked[0])(**asked[1])
        return asked is not None

    @contextmanager
    def between(self) -> Iterator[None]:
        """Stand between the shop and the real bank."""
        original = gateways.gateway
        gateways.gateway = lambda name="": self
        try:
            yield
        finally:
            gateways.gateway = original


def work(queues: Sequence[str] = QUEUES) -> None:
    """Let one worker move everything that is due in `queues`."""
    worker = Worker(queues, on_full=lambda: None, on_bell=lambda queue: None)
    try:
        assert worker.drive(until=time.monotonic() + 30)
    finally:
        worker._crew.disband()  # the calls of the dead arrive all the same, and now, not at any time


def work_and_die(seams: int) -> bool:
    """Let a worker die at the seam after so many; return whether it came so far. In a call's own thread only that dies.

    Which seam that is depends on what there is to do: any of them, at any step, forward or back.
    """
    left, died = seams, False

    def look(at: Place, where: Boundary) -> None:
        nonlocal left, died
        left -= 1
        if left < 0 and not died:
            died = True
            raise Death

    with watched(look), suppress(Death):
        work()
    return died


def work_with_a_bug(place: Place) -> None:
    """Let a worker find that a handler raises something unforeseen, for whoever comes by."""

    def look(at: Place, where: Boundary) -> None:
        if (at, where) == (place, Boundary.BEFORE_EFFECT):
            raise Bug(f"{at} has a bug")

    with watched(look):
        work()


def jump(span: timedelta) -> None:
    """Let `span` pass: whatever is still to come, for anybody, comes so much nearer."""
    with transaction.atomic():
        for model, names, rows in (
            (SagaInstance, ("due_at", "wait_until", "deadline_at", "step_started_at", "standby_since"), {}),
            (Circuit, ("first_failed_at", "opened_at", "probe_at", "probe_until"), {}),
            (SagaSignal, ("received_at",), {}),
            (Reservation, ("expires_at",), {"state": "HELD"}),
            (Order, ("reserved_until",), {}),
            (Observation, ("due_at", "created_at"), {}),
        ):
            model.objects.filter(**rows).update(**{name: F(name) - span for name in names})


def hear_from_the_bank(order_id: Any, *, event_id: str) -> None:
    """What a webhook leads to: look at the payments of that order at the bank, write what is new, pass it on."""
    for payment_id in Payment.objects.filter(reference_id=order_id).values_list("id", flat=True):
        seen = sight(payment_id)
        try:
            with transaction.atomic():
                services.observe(seen, event_id=event_id, occurred_at=database_now(), now=database_now())
        except (SightingOutdated, RefundUnderWay):
            continue
    news.pass_on(now=database_now())


def unfinished() -> list[SagaInstance]:
    """The sagas that are not over."""
    return list(SagaInstance.objects.exclude(status__in=TERMINAL).order_by("started_at"))


def forget_everything() -> None:
    """Empty the shop's tables: the last story ended badly, and the next one must not be told of it."""
    tables = [
        connection.ops.quote_name(model._meta.db_table)
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in OURS
    ]
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
