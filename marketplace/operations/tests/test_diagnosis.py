"""Every state in which an order can be met has its sentence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from inventory.selectors import HoldView
from marketplace.operations import diagnosis
from marketplace.operations.diagnosis import Diagnosis
from marketplace.sagas.models import SagaInstance
from payments.models import Payment

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def saga(**state: Any) -> SagaInstance:
    usual = {"status": "IN_PROGRESS", "queue": "payments", "current_step": "authorize_payment", "attempt": 1}
    return SagaInstance(**{**usual, "started_at": at(-30), "undoing": False, **state})


def payment(status: str, **state: Any) -> Payment:
    return Payment(status=status, amount_minor=1000, currency="EUR", **state)


@pytest.mark.parametrize(
    ("state", "level", "headline"),
    [
        (
            {"status": "NEEDS_ATTENTION", "attention": "why"},
            "danger",
            "Parked at authorize payment: a person has to decide.",
        ),
        (
            {"status": "NEEDS_ATTENTION", "undoing": True},
            "danger",
            "Parked at undoing authorize payment: a person has to decide.",
        ),
        ({"status": "NEEDS_ATTENTION", "current_step": ""}, "danger", "Parked at closing: a person has to decide."),
        (
            {"in_flight": True, "due_at": at(10), "step_started_at": at(-3)},
            "info",
            "A call is under way: authorize payment, attempt 1, for 3 s.",
        ),
        (
            {"in_flight": True, "due_at": at(-5), "step_started_at": at(-20)},
            "warning",
            "A call is under way: authorize payment, attempt 1, for 20 s.",
        ),
        (
            {"wait_until": at(600), "due_at": at(600), "current_step": "payment_request"},
            "info",
            "Waiting for payment request, until 12:10:00 UTC.",
        ),
        ({"wait_until": at(-20), "due_at": at(-20)}, "warning", "Next: authorize payment, due for 20 s."),
        ({"due_at": at(4)}, "info", "Will try authorize payment again in 4 s (attempt 2)."),
        ({"due_at": at(4), "undoing": True}, "warning", "Will try undoing authorize payment again in 4 s (attempt 2)."),
        ({"due_at": at(-2)}, "info", "Next: authorize payment, due for 2 s."),
        ({"due_at": at(-70)}, "warning", "Next: authorize payment, due for 1 min."),
        ({"status": "COMPLETED", "completed_at": at(-29.6)}, "success", "Went through, in 400 ms."),
        (
            {"status": "FAILED", "completed_at": at(-29), "cause": {"kind": "failed", "code": "out_of_stock"}},
            "danger",
            "Did not come about, after 1 s; there was nothing to undo.",
        ),
        (
            {
                "status": "COMPENSATED",
                "completed_at": at(-29),
                "undone": 2,
                "cause": {"kind": "cancelled", "code": "x"},
            },
            "default",
            "Did not come about; 2 steps undone, after 1 s.",
        ),
    ],
)
def test_where_a_saga_is(state, level, headline):
    said = diagnosis.of_saga(saga(**state), last_message="No answer.", now=NOW)
    assert (said.level, said.headline) == (level, headline)


def test_no_saga_at_all():
    said = diagnosis.of_saga(None, last_message="", now=NOW)
    assert said.level == "danger"
    assert "no saga" in said.headline


def test_why_it_was_parked_is_told():
    assert diagnosis.of_saga(
        saga(status="NEEDS_ATTENTION", attention="The bank is gone."), last_message="", now=NOW
    ).why == ("The bank is gone.")


def test_a_worker_that_is_gone_is_named_as_such():
    said = diagnosis.of_saga(saga(in_flight=True, due_at=at(-5)), last_message="", now=NOW)
    assert said.why == "The worker that made it has not come back: its lease ran out 5 s ago."
    assert said.next == "The next free worker of queue “payments” asks again, with the same key."


def test_a_backlog_asks_for_workers():
    said = diagnosis.of_saga(saga(due_at=at(-70)), last_message="No answer.", now=NOW)
    assert said.why == "Last: No answer."
    assert said.next == "No worker has taken it. Is one running for queue “payments”, and is beat?"


def test_the_cause_of_an_end_is_told_once():
    cause = {"kind": "failed", "code": "payment_declined", "message": "No."}
    said = diagnosis.of_saga(saga(status="COMPENSATED", completed_at=NOW, cause=cause), last_message="", now=NOW)
    assert said.why == "payment_declined: No."
    same = {"kind": "failed", "code": "x", "message": "x"}
    assert diagnosis.of_saga(saga(status="FAILED", completed_at=NOW, cause=same), last_message="", now=NOW).why == "x"


@pytest.mark.parametrize(
    ("payments", "unanswered", "said"),
    [
        ([], False, Diagnosis("default", "No money was asked for.")),
        ([payment("PENDING")], False, Diagnosis("info", "10.00 EUR not asked for yet.")),
        ([payment("AUTHORIZED")], False, Diagnosis("info", "10.00 EUR authorized: held, not taken.")),
        ([payment("CAPTURED", captured_minor=1000)], False, Diagnosis("success", "10.00 EUR taken.")),
        (
            [payment("PARTIALLY_REFUNDED", captured_minor=1000, refunded_minor=300)],
            False,
            Diagnosis("warning", "7.00 EUR kept; the rest was given back."),
        ),
        (
            [payment("REFUNDED", captured_minor=1000, refunded_minor=1000)],
            False,
            Diagnosis("default", "10.00 EUR given back, nothing kept."),
        ),
        (
            [payment("PENDING", gateway_reference="ch_1", action_url="https://bank/confirm")],
            True,
            Diagnosis("info", "10.00 EUR: the bank has not decided yet.", "The buyer is asked to confirm there."),
        ),
        (
            [payment("PENDING", gateway_reference="ch_1")],
            True,
            Diagnosis("info", "10.00 EUR: the bank has not decided yet.", "It tells us by webhook."),
        ),
        (
            [payment("FAILED", captured_minor=1000, reversed_minor=1000, failure_code="payment_reversed")],
            False,
            Diagnosis("danger", "10.00 EUR taken back by the bank.", "payment_reversed"),
        ),
        (
            [payment("CAPTURED", captured_minor=1000, dispute="OPEN")],
            False,
            Diagnosis("warning", "10.00 EUR taken, and disputed by the buyer at the bank."),
        ),
        ([payment("VOIDED")], False, Diagnosis("default", "10.00 EUR let go: nothing was taken.")),
        (
            [payment("FAILED", failure_code="card_declined")],
            False,
            Diagnosis("default", "Refused: nothing was taken.", "card_declined"),
        ),
        (
            [payment("PENDING")],
            True,
            Diagnosis("warning", "10.00 EUR: the gateway's last answer is not known.", "Our books say PENDING."),
        ),
        ([payment("FAILED"), payment("VOIDED")], False, Diagnosis("default", "10.00 EUR let go: nothing was taken.")),
    ],
)
def test_where_the_money_is(payments, unanswered, said):
    assert diagnosis.of_money(payments, unanswered=unanswered) == said


@pytest.mark.parametrize(
    ("state", "expires", "said"),
    [
        ("HELD", 120, Diagnosis("info", "3 units held for another 2 min.")),
        ("HELD", -120, Diagnosis("warning", "3 units held, 2 min beyond their time.")),
        ("COMMITTED", 0, Diagnosis("success", "3 units sold.")),
        ("RELEASED", 0, Diagnosis("default", "3 units back on the shelf.")),
        ("EXPIRED", 0, Diagnosis("default", "3 units back on the shelf (time was up).")),
    ],
)
def test_where_the_units_are(state, expires, said):
    holds = [HoldView("a", 2, state, at(expires)), HoldView("b", 1, state, at(expires))]
    assert diagnosis.of_units(holds, now=NOW) == said


def test_no_units():
    assert diagnosis.of_units([], now=NOW) == Diagnosis("default", "No units were held.")


def test_what_the_world_knows():
    assert diagnosis.of_events(told=9, waiting=0) == Diagnosis("success", "9 events told and published.")
    assert diagnosis.of_events(told=0, waiting=0).level == "default"
    assert diagnosis.of_events(told=9, waiting=2) == Diagnosis(
        "warning", "2 of 9 events not published yet.", next="Is the relay running?"
    )
