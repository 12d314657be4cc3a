"""What can be read, and how our books are compared with the gateway's."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from payments import selectors
from payments.gateways.base import Charge, ChargeStatus
from payments.tests.cashier import (
    DECLINED,
    GIVEN_BACK,
    HELD,
    LATER,
    LET_GO,
    NOBODY_KNOWS,
    NOW,
    TAKEN,
    begin,
    hear,
    key_of,
    open_payment,
)

pytestmark = [pytest.mark.django_db, pytest.mark.core]


def charge_of(order, status=ChargeStatus.AUTHORIZED, *, captured=0, refunded=0, **changes):
    key = key_of(order, "AUTHORIZE")
    return replace(Charge(key, "ch_1", status, 1299, "EUR", captured, refunded, NOW), **changes)


def kinds(charges, **options):
    return [(d.kind, d.key, d.unsettled) for d in selectors.ledger_discrepancies(charges, **options)]


def test_payments_of_answers_those_that_are_there(django_assert_num_queries):
    orders = [open_payment(amount_minor=n) for n in (1, 2, 3)]
    with django_assert_num_queries(1):
        found = selectors.payments_of([*orders[:2], uuid4()])
    assert {order: view.amount_minor for order, view in found.items()} == {orders[0]: 1, orders[1]: 2}


def test_attempts_of_tells_the_story_in_its_order(django_assert_num_queries):
    order = open_payment()
    hear("AUTHORIZE", order, NOBODY_KNOWS)
    hear("AUTHORIZE", order, HELD, number=2)
    begin("CAPTURE", order)
    hear("AUTHORIZE", open_payment(), DECLINED)
    with django_assert_num_queries(1):
        story = selectors.attempts_of(order)
    assert [(a.operation, a.key, a.number, a.outcome, a.code, a.finished_at) for a in story] == [
        ("AUTHORIZE", key_of(order, "AUTHORIZE"), 1, "UNKNOWN", "gateway_timeout", LATER),
        ("AUTHORIZE", key_of(order, "AUTHORIZE"), 2, "DONE", "", LATER),
        ("CAPTURE", key_of(order, "CAPTURE"), 1, "", "", None),
    ]


class TestLedgerDiscrepancies:
    def test_books_that_agree(self, django_assert_num_queries):
        stories = [
            ([], None),
            ([("AUTHORIZE", DECLINED)], None),
            ([("AUTHORIZE", NOBODY_KNOWS)], None),
            ([("AUTHORIZE", HELD)], {}),
            ([("AUTHORIZE", HELD), ("VOID", LET_GO)], {"status": ChargeStatus.VOIDED}),
            ([("AUTHORIZE", NOBODY_KNOWS), ("VOID", LET_GO)], {"status": ChargeStatus.VOIDED}),
            ([("AUTHORIZE", HELD), ("CAPTURE", TAKEN)], {"status": ChargeStatus.CAPTURED, "captured": 1299}),
            (
                [("AUTHORIZE", HELD), ("CAPTURE", TAKEN), ("REFUND", GIVEN_BACK)],
                {"status": ChargeStatus.REFUNDED, "captured": 1299, "refunded": 1299},
            ),
        ]
        charges = []
        for number, (story, charge) in enumerate(stories):
            order = open_payment()
            for operation, reply in story:
                hear(operation, order, replace(reply, reference=f"{reply.reference}-{number}"))
            if charge is not None:
                charges.append(charge_of(order, **charge))
        with django_assert_num_queries(1):
            assert selectors.ledger_discrepancies(charges) == []

    def test_a_charge_that_nobody_asked_for(self):
        stranger = charge_of(uuid4())
        (found,) = selectors.ledger_discrepancies([stranger])
        assert (found.kind, found.key, found.reference_id, found.unsettled) == (
            "orphan_charge", stranger.key, None, False,
        )  # fmt: skip
        assert (found.ours, found.theirs) == ("", "AUTHORIZED 12.99 EUR, captured 0.00, refunded 0.00")

    @pytest.mark.parametrize("captured", [False, True])
    def test_money_that_the_gateway_knows_nothing_of(self, captured):
        order = open_payment()
        hear("AUTHORIZE", order, HELD)
        if captured:
            hear("CAPTURE", order, TAKEN)
        (found,) = selectors.ledger_discrepancies([])
        assert (found.kind, found.reference_id, found.theirs) == ("missing_charge", order, "")

    @pytest.mark.parametrize("change", [{"amount_minor": 1}, {"currency": "USD"}])
    def test_another_amount(self, change):
        order = open_payment()
        hear("AUTHORIZE", order, HELD)
        assert kinds([charge_of(order, **change)]) == [("wrong_amount", key_of(order, "AUTHORIZE"), False)]

    @pytest.mark.parametrize(
        "theirs",
        [
            {"status": ChargeStatus.AUTHORIZED},
            {"status": ChargeStatus.VOIDED},
            {"status": ChargeStatus.CAPTURED, "captured": 1298},
            {"status": ChargeStatus.PARTIALLY_REFUNDED, "captured": 1299, "refunded": 1},
            {"status": ChargeStatus.REFUNDED, "captured": 1299, "refunded": 1299},
        ],
    )
    def test_another_standing(self, theirs):
        order = open_payment()
        hear("AUTHORIZE", order, HELD)
        hear("CAPTURE", order, TAKEN)
        assert kinds([charge_of(order, **theirs)]) == [("wrong_status", key_of(order, "AUTHORIZE"), False)]

    @pytest.mark.parametrize("story", [[("AUTHORIZE", DECLINED)], [("AUTHORIZE", HELD), ("VOID", LET_GO)]])
    def test_money_held_for_a_payment_that_is_over(self, story):
        order = open_payment()
        for operation, reply in story:
            hear(operation, order, reply)
        assert kinds([charge_of(order)]) == [("wrong_status", key_of(order, "AUTHORIZE"), False)]

    @pytest.mark.parametrize("answered", [False, True])
    def test_says_when_a_call_is_still_open(self, answered):
        order = open_payment()
        call = begin("AUTHORIZE", order)
        if answered:
            hear("AUTHORIZE", order, NOBODY_KNOWS)
        assert call is not None
        assert kinds([charge_of(order)]) == [("wrong_status", key_of(order, "AUTHORIZE"), True)]

    def test_looks_at_a_period_and_at_one_gateway_only(self):
        order = open_payment()
        hear("AUTHORIZE", order, HELD)
        assert kinds([], since=NOW) != []
        assert kinds([], since=NOW + timedelta(seconds=1)) == []
        assert kinds([charge_of(order, status=ChargeStatus.VOIDED)], since=NOW + timedelta(seconds=1)) != []
        assert kinds([], gateway="stripe") == []
