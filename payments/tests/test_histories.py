"""Any history at all: calls begun, sent and recorded in any order, twice or never, answers lost, workers dead.

Whatever happened, undoing by key alone leaves no money held or kept, and both books say the same.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments import selectors
from payments.gateways.base import ChargeStatus, Outcome
from payments.tests.cashier import begin, call, key_of, open_payment, record, send, status

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
    ),
    max_size=12,
)


class History:
    """What a careless crowd of workers does to one payment."""

    def __init__(self, order):
        self.order = order
        self.begun = []
        self.answered = []

    def begin(self, operation):
        begun = begin(operation, self.order)
        if begun is not None:
            self.begun.append(begun)

    def send(self, which):
        if self.begun:
            begun = self.begun[which % len(self.begun)]
            self.answered.append((begun, send(begun)))

    def record(self, which):
        if self.answered:
            record(*self.answered[which % len(self.answered)])

    def work(self, operation):
        if begin(operation, self.order) is not None:
            call(operation, self.order)

    def die_before_recording(self, operation):
        self.begin(operation)
        self.send(-1)

    def undo(self):
        """What a saga does that gives up: it refunds, then voids; and once more where something came in between."""
        for operation in ("REFUND", "VOID", "REFUND"):
            if begin(operation, self.order, number=50) is not None:
                assert call(operation, self.order, number=50).outcome is not Outcome.UNKNOWN


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(token=st.sampled_from(["tok_visa", "tok_visa", "tok_visa", "tok_declined", "tok_flaky"]), story=actions)
def test_whatever_happens_undoing_leaves_no_money_and_both_books_agree(sandbox_gateway, token, story):
    order = open_payment(method=token)
    history = History(order)
    history.begin("AUTHORIZE")
    for what, argument in story:
        getattr(history, what)(argument)
    history.undo()
    for begun, reply in history.answered:  # those who come too late
        record(begun, reply)
    charge = sandbox_gateway.charge(key_of(order, "AUTHORIZE"))
    charges = [charge] if charge else []
    for charge in charges:
        assert charge.status in {ChargeStatus.VOIDED, ChargeStatus.REFUNDED}
        assert charge.captured_minor == charge.refunded_minor
    found = [d for d in selectors.ledger_discrepancies(charges) if d.reference_id == order]
    assert found == []
    assert status(order) in {("FAILED", 0, 0), ("VOIDED", 0, 0), ("REFUNDED", 1299, 1299)}
