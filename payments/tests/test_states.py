"""Which answers move a payment: all of them, from every state."""

from itertools import product

import pytest

from payments.gateways.base import Outcome, Reply
from payments.states import MOVES, Operation, PaymentStatus, Standing, after, refunded

HAS_CAPTURED = {PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED}


def standing(status, *, captured_minor=None, refunded_minor=0):
    if captured_minor is None:
        captured_minor = 1000 if status in HAS_CAPTURED else 0
    return Standing(status, 1000, captured_minor, refunded_minor, "ch_1", "", "")


EXPECTED = {
    ("AUTHORIZE", "DONE", "PENDING"): "AUTHORIZED",
    ("AUTHORIZE", "REFUSED", "PENDING"): "FAILED",
    ("CAPTURE", "DONE", "PENDING"): "CAPTURED",
    ("CAPTURE", "DONE", "AUTHORIZED"): "CAPTURED",
    ("VOID", "DONE", "PENDING"): "VOIDED",
    ("VOID", "DONE", "AUTHORIZED"): "VOIDED",
}


@pytest.mark.parametrize(("operation", "outcome", "status"), list(product(Operation, Outcome, PaymentStatus)))
def test_an_answer_moves_a_payment_as_the_table_says_and_no_other_way(operation, outcome, status):
    before = standing(status)
    now = after(before, operation, Reply(outcome, reference="ref", code="why"), asked_minor=1000)
    assert now.status == EXPECTED.get((operation, outcome, status), status)
    if now.status == status:
        assert now == before


def test_the_table_has_no_row_that_nobody_tests():
    rows = [(o, out, a, b) for (o, out), moves in MOVES.items() for a, b in moves.items()]
    assert {(o, out, a): b for o, out, a, b in rows} == EXPECTED


@pytest.mark.parametrize(("code", "kept"), [("card_declined", "card_declined"), ("", "refused"), ("x" * 100, "x" * 64)])
def test_a_refusal_says_why(code, kept):
    reply = Reply(Outcome.REFUSED, code=code, message="Sorry.")
    now = after(standing(PaymentStatus.PENDING), Operation.AUTHORIZE, reply, asked_minor=1000)
    assert (now.failure_code, now.failure_message) == (kept, "Sorry.")


def test_a_capture_takes_what_the_gateway_says():
    held = standing(PaymentStatus.AUTHORIZED)
    assert after(held, Operation.CAPTURE, Reply(Outcome.DONE, amount_minor=900), asked_minor=1000).captured_minor == 900
    assert after(held, Operation.CAPTURE, Reply(Outcome.DONE), asked_minor=800).captured_minor == 800


@pytest.mark.parametrize(
    ("before", "total", "expected"),
    [
        (standing(PaymentStatus.CAPTURED), 0, ("CAPTURED", 1000, 0)),
        (standing(PaymentStatus.CAPTURED), 300, ("PARTIALLY_REFUNDED", 1000, 300)),
        (standing(PaymentStatus.CAPTURED), 1000, ("REFUNDED", 1000, 1000)),
        (standing(PaymentStatus.PARTIALLY_REFUNDED, refunded_minor=300), 300, ("PARTIALLY_REFUNDED", 1000, 300)),
        (standing(PaymentStatus.PARTIALLY_REFUNDED, refunded_minor=300), 1000, ("REFUNDED", 1000, 1000)),
        (standing(PaymentStatus.AUTHORIZED), 1000, ("REFUNDED", 1000, 1000)),  # the answer to the capture was lost
        (standing(PaymentStatus.VOIDED), 0, ("VOIDED", 0, 0)),
    ],
)
def test_refunds_are_counted_by_their_sum(before, total, expected):
    now = refunded(before, total_minor=total)
    assert (now.status, now.captured_minor, now.refunded_minor) == expected
