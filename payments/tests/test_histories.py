"""Any history at all: calls begun, sent and recorded in any order, twice or never, answers lost, workers dead.

Beside them, looks at the gateway, taken in at once, late or twice, while the buyer confirms and the bank reverses.
Whatever happened, undoing by key alone leaves no money held or kept, and both books say the same.
"""

from contextlib import suppress
from datetime import timedelta
from itertools import count

import httpx
import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments import selectors, services
from payments.errors import RefundUnderWay, SightingOutdated
from payments.gateways.base import Outcome
from payments.models import Payment
from payments.observations import Sighting
from payments.testing import answer_the_bank
from payments.tests.cashier import LATER, begin, key_of, open_payment, send, status

pytestmark = [pytest.mark.django_db, pytest.mark.core]

OPERATIONS = ("AUTHORIZE", "CAPTURE", "VOID", "REFUND")

operation = st.sampled_from(OPERATIONS)
which = st.integers(0, 5)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("work"), operation),
        st.tuples(st.just("die_before_recording"), operation),
        st.tuples(st.just("begin"), operation),
        st.tuples(st.just("send"), which),
        st.tuples(st.just("record"), which),
        st.tuples(st.just("look"), which),
        st.tuples(st.just("take_in"), which),
        st.tuples(st.just("bank"), st.sampled_from(["approve", "decline", "reverse"])),
    ),
    max_size=14,
)


class History:
    """What a careless crowd of workers does to one payment."""

    def __init__(self, order, bank):
        self.order = order
        self.bank_itself = bank
        self.begun = []
        self.answered = []
        self.pages = []
        self.sightings = []
        self.clock = (LATER + timedelta(seconds=n) for n in count(1))

    def begin(self, operation):
        begun = begin(operation, self.order)
        if begun is not None:
            self.begun.append(begun)

    def send(self, which):
        if self.begun:
            begun = self.begun[which % len(self.begun)]
            reply = send(begun)
            self.answered.append((begun, reply))
            if reply.action_url:
                self.pages.append(reply.action_url)

    def record(self, which):
        if self.answered:
            self.record_one(*self.answered[which % len(self.answered)])

    def record_one(self, begun, reply):
        with transaction.atomic():
            services.record([(begun, reply)], now=next(self.clock))

    def look(self, _=0):
        """See how things stand at the gateway, and in our books just before."""
        view = selectors.payments_of([self.order])[self.order]
        updated_at = Payment.objects.values_list("updated_at", flat=True).get(pk=view.id)
        self.sightings.append(Sighting(view, updated_at, self.bank_itself.charge(key_of(self.order, "AUTHORIZE"))))

    def take_in(self, which):
        """Take in what was seen, now or long ago."""
        if self.sightings:
            sighting = self.sightings[which % len(self.sightings)]
            now = next(self.clock)
            with suppress(SightingOutdated, RefundUnderWay), transaction.atomic():
                services.observe(sighting, event_id=f"evt_{now}", occurred_at=now, now=now)

    def bank(self, what):
        """The buyer answers the bank, or the bank takes its money back."""
        if what == "reverse":
            with suppress(httpx.HTTPStatusError):  # there is nothing to be taken back
                self.bank_itself.reverse(key_of(self.order, "AUTHORIZE"))
        elif self.pages:
            answer_the_bank(self.pages[0], what)

    def work(self, operation):
        if begin(operation, self.order) is not None:
            self.begin(operation)
            self.send(-1)
            self.record(-1)

    def die_before_recording(self, operation):
        self.begin(operation)
        self.send(-1)

    def undo(self):
        """What a saga does that gives up: it refunds, then voids; and once more where something came in between."""
        for operation in ("REFUND", "VOID", "REFUND"):
            begun = begin(operation, self.order, number=50)
            if begun is not None:
                reply = send(begun)
                assert reply.outcome is not Outcome.UNKNOWN
                self.record_one(begun, reply)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    token=st.sampled_from(["tok_visa", "tok_visa", "tok_requires_action", "tok_declined", "tok_flaky"]), story=actions
)
def test_whatever_happens_undoing_leaves_no_money_and_both_books_agree(sandbox_gateway, token, story):
    order = open_payment(method=token)
    history = History(order, sandbox_gateway)
    history.begin("AUTHORIZE")
    for what, argument in story:
        getattr(history, what)(argument)
    history.undo()
    history.look()
    history.take_in(-1)
    settled = status(order)
    for begun, reply in history.answered:  # those who come too late
        history.record_one(begun, reply)
    for which in range(len(history.sightings)):  # and what was seen long ago
        history.take_in(which)
        assert status(order) == settled
    charge = sandbox_gateway.charge(key_of(order, "AUTHORIZE"))
    charges = [charge] if charge else []
    for charge in charges:
        assert charge.status in {"VOIDED", "REFUNDED", "REVERSED", "DECLINED"} or (
            charge.captured_minor == charge.refunded_minor + charge.reversed_minor > 0
        )
    found = [d for d in selectors.ledger_discrepancies(charges) if d.reference_id == order]
    assert found == []
    ended, captured, refunded = status(order)
    taken_back = selectors.payments_of([order])[order].reversed_minor
    assert ended in {"FAILED", "VOIDED", "REFUNDED"}
    assert captured == refunded + taken_back
