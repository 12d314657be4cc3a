"""Which answers, and which sights, move a payment: all of them, from every state."""

from datetime import UTC, datetime
from itertools import product

import pytest

from payments.gateways.base import Charge, ChargeStatus, Dispute, Outcome, Reply
from payments.states import MOVES, Operation, PaymentStatus, Standing, after, news, refunded, seen

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
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


def charge(status, *, captured=0, refunded=0, taken_back=0, dispute=Dispute.NONE):
    why = ("card_declined", "The card was declined.") if status == "DECLINED" else ("", "")
    return Charge("key", "ch_1", ChargeStatus(status), 1000, "EUR", captured, refunded, AT, taken_back, dispute, *why)


HELD_AGAIN = {("AUTHORIZED", before): "AUTHORIZED" for before in ("PENDING", "VOIDED", "FAILED")}
TAKEN = {
    (kind, before): now
    for kind, now in {
        "CAPTURED": "CAPTURED",
        "PARTIALLY_REFUNDED": "PARTIALLY_REFUNDED",
        "REFUNDED": "REFUNDED",
        "REVERSED": "FAILED",
    }.items()
    for before in PaymentStatus
}
EXPECTED_WHEN_SEEN = {
    ("DECLINED", "PENDING"): "FAILED",
    **HELD_AGAIN,
    ("VOIDED", "PENDING"): "VOIDED",
    ("VOIDED", "AUTHORIZED"): "VOIDED",
    **TAKEN,
    # Less was given back at the gateway than we have on record: a contradiction, which moves nothing.
    ("CAPTURED", "PARTIALLY_REFUNDED"): "PARTIALLY_REFUNDED",
    ("CAPTURED", "REFUNDED"): "REFUNDED",
    ("PARTIALLY_REFUNDED", "REFUNDED"): "REFUNDED",
    ("REVERSED", "PARTIALLY_REFUNDED"): "PARTIALLY_REFUNDED",
    ("REVERSED", "REFUNDED"): "REFUNDED",
}
AMOUNTS = {
    "CAPTURED": {"captured": 1000},
    "PARTIALLY_REFUNDED": {"captured": 1000, "refunded": 400},
    "REFUNDED": {"captured": 1000, "refunded": 1000},
    "REVERSED": {"captured": 1000, "taken_back": 1000},
}
OURS = {"PARTIALLY_REFUNDED": 300, "REFUNDED": 1000}


@pytest.mark.parametrize(("kind", "status"), list(product(ChargeStatus, PaymentStatus)))
def test_what_is_seen_moves_a_payment_as_the_table_says_and_no_other_way(kind, status):
    before = standing(status, refunded_minor=OURS.get(status, 0))
    now = seen(before, charge(kind, **AMOUNTS.get(kind, {})))
    assert now.status == EXPECTED_WHEN_SEEN.get((kind, status), status)
    if (kind, status) not in EXPECTED_WHEN_SEEN:
        assert now == before


@pytest.mark.parametrize(
    ("before", "then", "kind"),
    [
        ("PENDING", charge("AUTHORIZED"), "authorized"),
        ("VOIDED", charge("AUTHORIZED"), "authorized"),
        ("FAILED", charge("CAPTURED", captured=1000), "captured"),
        ("PENDING", charge("DECLINED"), "declined"),
        ("AUTHORIZED", charge("VOIDED"), "voided"),
        ("CAPTURED", charge("REFUNDED", captured=1000, refunded=1000), "refunded"),
        ("CAPTURED", charge("REVERSED", captured=1000, taken_back=1000), "reversed"),
        ("CAPTURED", charge("CAPTURED", captured=1000, dispute=Dispute.OPEN), "disputed"),
        ("CAPTURED", charge("REVERSED", captured=1000, taken_back=1000, dispute=Dispute.LOST), "reversed"),
        ("CAPTURED", charge("CAPTURED", captured=1000), ""),
        ("PENDING", charge("PENDING"), ""),
    ],
)
def test_a_change_has_a_name(before, then, kind):
    was = standing(PaymentStatus(before))
    assert news(was, seen(was, then)) == kind


def test_what_the_bank_took_back_is_gone_and_says_why():
    now = seen(standing(PaymentStatus.CAPTURED), charge("REVERSED", captured=1000, taken_back=1000))
    assert (now.status, now.captured_minor, now.reversed_minor) == ("FAILED", 1000, 1000)
    assert (now.failure_code, now.failure_message) == ("payment_reversed", "The bank took the payment back.")


def test_a_part_taken_back_leaves_the_rest():
    now = seen(standing(PaymentStatus.CAPTURED), charge("CAPTURED", captured=1000, taken_back=300))
    assert (now.status, now.reversed_minor, now.failure_code) == ("CAPTURED", 300, "")
    assert refunded(now, total_minor=700).status == "FAILED"
    assert refunded(now, total_minor=600).status == "PARTIALLY_REFUNDED"


def test_a_dispute_that_was_lost_and_is_then_won_brings_the_money_back():
    lost = seen(
        standing(PaymentStatus.CAPTURED), charge("REVERSED", captured=1000, taken_back=1000, dispute=Dispute.LOST)
    )
    won = seen(lost, charge("CAPTURED", captured=1000, dispute=Dispute.WON))
    assert (lost.status, lost.failure_code) == ("FAILED", "dispute_lost")
    assert (won.status, won.reversed_minor, won.failure_code, news(lost, won)) == ("CAPTURED", 0, "", "disputed")
