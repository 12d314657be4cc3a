"""Each invariant is broken on purpose, in a console's way, and the auditor must see exactly that and nothing else."""

import json

import pytest
from django.db import connection, transaction

from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import INVARIANTS, Verdict, audit
from marketplace.operations.tests.auditor.breaking import sql, unguarded, without_triggers
from orders import services

NOBODY = "00000000-0000-7000-8000-000000000001"


def findings() -> dict[str, list[str]]:
    """What our own books contradict, by the invariant's code."""
    report = audit(ask_gateway=False)
    found = {proof.code: [str(one) for one in proof.findings] for proof in report.proofs if proof.findings}
    assert report.clean == (not found)
    assert {proof.code for proof in report.proofs if proof.verdict is Verdict.BROKEN} == set(found)
    return found


@pytest.fixture
def confirmed(shop):
    order = shop.bought("laptop-1", 2)
    assert order.status == "CONFIRMED"
    assert findings() == {}
    return order


@pytest.fixture
def declined(shop):
    order = shop.bought("laptop-1", 2, token="tok_declined")
    assert order.status == "FAILED"
    assert findings() == {}
    return order


@pytest.fixture
def waiting(shop):
    """An order that holds two units and waits for its buyer."""
    order = shop.bought("laptop-1", 2, token="")
    assert order.status == "RESERVED"
    assert findings() == {}
    return order


def test_an_empty_shop_is_clean_and_says_how_little_it_looked_at(transactional_db):
    report = audit(ask_gateway=False)
    assert report.clean
    assert report.looked_at == {"SKUs": 0, "orders": 0, "sagas": 0, "payments": 0, "events": 0}
    assert [proof.verdict for proof in report.proofs] == [Verdict.PROVEN] * len(INVARIANTS) + [Verdict.SKIPPED]


def test_an_audit_needs_a_transaction_of_its_own(transactional_db):
    with transaction.atomic(), pytest.raises(transaction.TransactionManagementError):
        audit(ask_gateway=False)


def test_an_audit_leaves_the_connection_as_it_was(transactional_db):
    audit(ask_gateway=False)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
        assert cursor.fetchone() == ("read committed", "off")


# --- stock ------------------------------------------------------------------------------------------------------------


def test_a_level_that_the_ledger_does_not_know_of(confirmed):
    assert sql("UPDATE inventory_stock SET available = available + 3, on_hand = on_hand + 3") == 1
    assert findings() == {
        "stock_adds_up": [
            "SKU laptop-1: found available 11; expected available 8, by the ledger.",
            "SKU laptop-1: found on_hand 11; expected on_hand 8, by the ledger.",
        ]
    }


def test_a_hold_that_grew_behind_the_levels(waiting):
    assert sql("UPDATE inventory_reservation SET quantity = 5") == 1
    assert findings() == {
        "stock_adds_up": ["SKU laptop-1: found reserved 2; expected reserved 5, by the reservations."]
    }


def test_a_sale_that_the_ledger_does_not_know_of(confirmed):
    assert sql("UPDATE inventory_reservation SET quantity = 3") == 1
    assert sql("UPDATE orders_orderline SET quantity = 3") == 1
    assert findings() == {
        "stock_adds_up": ["SKU laptop-1: found sold 2, by the ledger; expected sold 3, by the reservations."]
    }


def test_stock_below_zero(shop):
    with unguarded("inventory_stock", "inventory_stock_available_not_negative", "inventory_stock_on_hand_not_negative"):
        sql("INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, reason, actor, created_at)"
            " VALUES ('laptop-1', 'ADJUST', -12, 0, '', '', now())")  # fmt: skip
        assert sql("UPDATE inventory_stock SET available = -2, on_hand = -2") == 1
        assert findings() == {
            "nothing_negative": [
                "SKU laptop-1: found available -2; expected available of at least 0.",
                "SKU laptop-1: found on hand -2; expected on hand of at least 0.",
            ]
        }


def test_an_order_that_costs_less_than_nothing(waiting):
    with unguarded("orders_order", "orders_total_not_negative"):
        assert sql("UPDATE orders_order SET total_minor = -1") == 1
        assert findings() == {
            "nothing_negative": [f"order {waiting.number}: found total -1; expected total of at least 0."]
        }


def test_a_line_of_nothing(waiting):
    with unguarded("orders_orderline", "orders_line_quantity_positive"):
        assert sql("UPDATE orders_orderline SET quantity = 0") == 1
        assert findings() == {
            "nothing_negative": [
                f"line laptop-1 of order {waiting.id}: found quantity 0; expected quantity of at least 1."
            ]
        }


def test_a_hold_whose_saga_is_over(declined):
    """The units were never given back, and the stock adds up nevertheless: everybody has agreed to forget them."""
    with without_triggers("inventory_ledger"):
        assert sql("UPDATE inventory_reservation SET state = 'HELD'") == 1
        assert sql("DELETE FROM inventory_ledger WHERE kind = 'RELEASE'") == 1
        assert sql("UPDATE inventory_stock SET available = available - 2, reserved = 2") == 1
        found = findings()
    assert set(found) == {"live_hold_has_live_saga", "units_follow_orders"}
    [finding] = found["live_hold_has_live_saga"]
    assert finding.startswith(f"order {declined.number} ({declined.id}): found 2 units held (until ")
    assert finding.endswith("with a saga that is COMPENSATED; expected a live saga, or nothing held.")
    assert found["units_follow_orders"] == [
        f"order {declined.number} ({declined.id}): found 2 units of laptop-1 HELD for an order that is FAILED; "
        "expected nothing held for it."
    ]


def test_a_hold_of_nobody(shop):
    sql("INSERT INTO inventory_reservation (id, owner_id, sku, quantity, state, expires_at)"
        " VALUES (gen_random_uuid(), %s, 'laptop-1', 1, 'HELD', now())", NOBODY)  # fmt: skip
    sql("INSERT INTO inventory_ledger (sku, kind, available_delta, reserved_delta, owner_id, reason, actor)"
        " VALUES ('laptop-1', 'RESERVE', -1, 1, %s, '', '')", NOBODY)  # fmt: skip
    sql("UPDATE inventory_stock SET available = available - 1, reserved = 1")
    found = findings()
    assert set(found) == {"live_hold_has_live_saga"}
    assert found["live_hold_has_live_saga"][0].startswith(
        "order 00000000-0000-7000-8000-000000000001, which does not exist: found 1 unit held"
    )


def test_a_confirmed_order_whose_units_were_given_back(confirmed):
    assert sql("UPDATE inventory_reservation SET state = 'RELEASED'") == 1
    assert findings() == {
        "stock_adds_up": [
            "SKU laptop-1: found sold 2, by the ledger; expected sold 0, by the reservations.",
        ],
        "units_follow_orders": [
            f"order {confirmed.number} ({confirmed.id}): found 2 units of laptop-1 RELEASED for an order that is "
            "CONFIRMED; expected 2 units COMMITTED."
        ],
    }


def test_a_confirmed_order_that_got_fewer_units(confirmed):
    assert sql("UPDATE orders_orderline SET quantity = 3") == 1
    assert findings() == {
        "units_follow_orders": [
            f"order {confirmed.number} ({confirmed.id}): found 2 units of laptop-1 COMMITTED for an order that is "
            "CONFIRMED; expected 3 units COMMITTED."
        ]
    }


def test_units_sold_to_nobody(confirmed):
    assert sql("UPDATE inventory_reservation SET owner_id = '00000000-0000-7000-8000-000000000001'") == 1
    assert findings() == {
        "units_follow_orders": [
            "order 00000000-0000-7000-8000-000000000001, which does not exist: found 2 units of laptop-1 COMMITTED; "
            "expected nothing sold to it.",
            f"order {confirmed.number} ({confirmed.id}): found no reservation of laptop-1 for an order that is "
            "CONFIRMED; expected 2 units COMMITTED.",
        ]
    }


# --- money ------------------------------------------------------------------------------------------------------------


def test_a_confirmed_order_whose_money_was_never_captured(confirmed):
    assert sql("UPDATE payments_payment SET status = 'AUTHORIZED', captured_minor = 0") == 1
    assert findings() == {
        "confirmed_order_is_paid": [
            f"order {confirmed.number} ({confirmed.id}): found CONFIRMED with 0.00 EUR captured; "
            "expected 2598.00 EUR captured."
        ]
    }


def test_a_confirmed_order_whose_money_was_all_given_back(confirmed):
    with without_triggers("payments_payment"), without_triggers("payments_refund"):
        sql("UPDATE payments_payment SET status = 'REFUNDED', refunded_minor = captured_minor")
        sql("INSERT INTO payments_refund (id, payment_id, amount_minor, status, idempotency_key, gateway_reference,"
            " reason, created_at, updated_at) SELECT gen_random_uuid(), id, captured_minor, 'DONE', 'by-hand', '', '',"
            " now(), now() FROM payments_payment")  # fmt: skip
        assert findings() == {
            "confirmed_order_is_paid": [
                f"order {confirmed.number} ({confirmed.id}): found CONFIRMED with 2598.00 EUR captured, "
                "2598.00 EUR of it given back; expected 2598.00 EUR captured."
            ]
        }


@pytest.mark.parametrize(
    ("update", "what"),
    [
        ("status = 'AUTHORIZED', failure_code = ''", "2598.00 EUR authorized"),
        ("status = 'CAPTURED', captured_minor = amount_minor, failure_code = ''", "2598.00 EUR captured"),
        ("status = 'PENDING', failure_code = ''", "2598.00 EUR asked for, and its outcome never found out"),
    ],
)
def test_money_for_an_order_that_failed(declined, update, what):
    assert sql(f"UPDATE payments_payment SET {update}") == 1  # noqa: S608
    assert findings() == {
        "money_has_a_reason": [
            f"order {declined.number} ({declined.id}): found {what} for an order that is FAILED, with a saga that is "
            "COMPENSATED; expected no money, or an order or a live saga that it is for."
        ]
    }


def test_money_that_a_case_waits_for_is_no_finding(declined):
    """A parked saga is a case for a person: what is still held for it has a reason. Its order has not ended yet."""
    sql("UPDATE payments_payment SET status = 'AUTHORIZED', failure_code = ''")
    sql("UPDATE sagas_sagainstance SET status = 'NEEDS_ATTENTION', completed_at = NULL")
    sql("UPDATE orders_order SET status = 'PAYMENT_PENDING'")
    assert findings() == {}


def test_money_for_an_order_that_does_not_exist(declined):
    sql("UPDATE payments_payment SET status = 'AUTHORIZED', failure_code = '',"
        " reference_id = '00000000-0000-7000-8000-000000000001'")  # fmt: skip
    assert findings() == {
        "money_has_a_reason": [
            "order 00000000-0000-7000-8000-000000000001, which does not exist: found 2598.00 EUR authorized for "
            "nothing; expected no money, or an order or a live saga that it is for."
        ]
    }


def test_an_order_that_was_charged_twice(confirmed):
    again = {"id": NOBODY, "sequence": 2, "authorization_key": "again", "gateway_reference": "again"}
    with without_triggers("payments_payment"):
        sql(
            "INSERT INTO payments_payment SELECT (jsonb_populate_record(p, %s)).* FROM payments_payment p",
            json.dumps(again),
        )
        assert findings() == {
            "charged_once": [
                f"order {confirmed.number} ({confirmed.id}): found 5196.00 EUR authorized or captured, in 2 payments; "
                "expected at most 2598.00 EUR."
            ]
        }


def test_a_refund_of_more_than_was_captured(confirmed):
    with without_triggers("payments_refund"):
        sql("INSERT INTO payments_refund (id, payment_id, amount_minor, status, idempotency_key, gateway_reference,"
            " reason, created_at, updated_at) SELECT gen_random_uuid(), id, captured_minor + 1, 'DONE', 'by-hand', '',"
            " '', now(), now() FROM payments_payment")  # fmt: skip
        assert findings() == {
            "refunds_within_captures": [
                f"order {confirmed.number} ({confirmed.id}): found 0.00 EUR given back (refunds on record: "
                "2598.01 EUR) of 2598.00 EUR captured of 2598.00 EUR asked for; expected refunds that add up, within "
                "what was captured, within what was asked for."
            ]
        }


def test_a_difference_with_the_gateway_that_nobody_has_settled(shop):
    sql("INSERT INTO payments_reconciliationcase (gateway, key, kind, ours, theirs, status, first_seen_at,"
        " last_seen_at, outcome, actor, reason) VALUES ('sandbox', 'k', 'orphan_charge', '', 'AUTHORIZED 7.00 EUR',"
        " 'OPEN', now(), now(), '', '', '')")  # fmt: skip
    [(code, [sentence])] = findings().items()
    assert code == "reconciliation_cases_are_settled"
    assert sentence.endswith("orphan charge, at sandbox AUTHORIZED 7.00 EUR; expected no open case.")
    assert sentence.startswith("charge k: found case #")
    sql("UPDATE payments_reconciliationcase SET status = 'GONE', closed_at = now()")
    assert findings() == {}


# --- stories ----------------------------------------------------------------------------------------------------------


def test_an_ended_order_whose_saga_still_runs(declined):
    sql("UPDATE sagas_sagainstance SET status = 'COMPENSATING', completed_at = NULL, due_at = now()")
    assert findings() == {
        "orders_and_sagas_end_together": [
            f"order {declined.number} ({declined.id}): found FAILED with a saga that is COMPENSATING; "
            "expected a saga that has come to its end."
        ]
    }


def test_an_ended_saga_whose_order_still_waits(shop):
    order = shop.order("laptop-1")
    sql("UPDATE sagas_sagainstance SET status = 'FAILED', completed_at = now(), due_at = NULL")
    assert findings() == {
        "orders_and_sagas_end_together": [
            f"order {order.number} ({order.id}): found CREATED with a saga that is FAILED; "
            "expected an order that has come to its end too."
        ]
    }


def test_a_confirmed_order_whose_saga_was_undone(confirmed):
    sql("UPDATE sagas_sagainstance SET status = 'COMPENSATED' WHERE name = 'place_order'")
    assert findings() == {
        "orders_and_sagas_end_together": [
            f"order {confirmed.number} ({confirmed.id}): found CONFIRMED with a saga that is COMPENSATED; "
            "expected a saga that is COMPLETED."
        ]
    }


def test_an_order_without_a_saga(shop):
    order = shop.order("laptop-1")
    sql("DELETE FROM sagas_sagainstance")
    assert findings() == {
        "orders_and_sagas_end_together": [
            f"order {order.number} ({order.id}): found CREATED with no saga; expected the saga that places it."
        ]
    }


def test_a_saga_without_an_order(shop):
    order = shop.order("laptop-1")
    sql("DELETE FROM orders_timelineentry")
    sql("DELETE FROM orders_orderline")
    sql("DELETE FROM orders_order")
    assert findings() == {
        "orders_and_sagas_end_together": [
            f"order {order.id}, which does not exist: found a saga that is STARTED; "
            "expected an order that the saga is about."
        ]
    }


def test_a_gap_between_events(confirmed):
    sql("DELETE FROM outbox_unpublished")
    assert sql("DELETE FROM outbox_event WHERE sequence = 3") == 1
    last = max(int(n) for (n,) in _select("SELECT sequence FROM outbox_event"))
    assert findings() == {
        "events_are_gapless": [
            f"order {confirmed.number} ({confirmed.id}): found {last - 1} events, numbered 1 to {last}; "
            f"expected 1 to {last - 1}, without a gap."
        ]
    }


def test_a_note_about_an_event_that_is_not_there(transactional_db):
    sql("INSERT INTO outbox_unpublished (shard, position) VALUES (1, 77)")
    assert findings() == {
        "events_are_gapless": [
            "event at position 77: found a note that it is still to be published, and no event; expected the event."
        ]
    }


def test_an_end_that_nobody_was_told_of(confirmed):
    """The last event is missing, so the numbers have no gap, and only the order's own status gives it away."""
    sql("DELETE FROM outbox_unpublished")
    assert sql("UPDATE outbox_event SET type = 'ORDER_PAID' WHERE type = 'ORDER_CONFIRMED'") == 1
    assert findings() == {
        "ends_are_told_once": [
            f"order {confirmed.number} ({confirmed.id}): found 0 events ORDER_CONFIRMED for an order that is "
            "CONFIRMED; expected exactly one."
        ]
    }


def _select(statement: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


class TestReversals:
    CODE = "orders_and_reversals_agree"

    @pytest.fixture
    def reversing(self, shop, confirmed):
        services.cancel(confirmed.id, actor="user-1", now=database_now())
        assert findings() == {}
        return confirmed

    def test_one_that_is_done_is_clean(self, shop, reversing):
        shop.work()
        assert shop.now(reversing).status == "CANCELLED"
        assert findings() == {}

    def test_a_confirmed_order_that_says_refund_and_nobody_is_at_it(self, shop, confirmed):
        sql("UPDATE orders_order SET refund_status = 'PENDING'")
        assert list(findings()) == [self.CODE]

    def test_a_reversal_that_its_order_does_not_know(self, shop, reversing):
        sql("UPDATE orders_order SET reversal_id = NULL")
        assert list(findings()) == [self.CODE]

    def test_an_order_that_was_cancelled_without_its_reversal(self, shop, reversing):
        shop.work()
        sql("UPDATE orders_order SET refund_status = 'PENDING'")
        assert list(findings()) == [self.CODE]

    def test_money_that_was_never_sent_back(self, shop, reversing):
        shop.work()
        with without_triggers("payments_payment"):
            sql("UPDATE payments_payment SET status = 'CAPTURED', refunded_minor = 0")
            assert "money_has_a_reason" in findings()

    def test_units_that_never_came_back(self, shop, reversing):
        shop.work()
        sql("UPDATE inventory_reservation SET state = 'COMMITTED'")
        assert "units_follow_orders" in findings()


def test_a_confirmed_order_that_nobody_ships(confirmed):
    sql("DELETE FROM sagas_sagainstance WHERE name = 'fulfill_order'")
    assert findings() == {
        "confirmed_orders_are_shipped": [
            f"order {confirmed.number} ({confirmed.id}): found CONFIRMED with no saga that ships it; "
            "expected a living saga that ships it, or takes it back, until it is DELIVERED."
        ]
    }


def test_a_shipped_order_without_a_label(confirmed):
    sql("UPDATE orders_order SET status = 'SHIPPED'")
    assert findings() == {
        "parcels_follow_orders": [
            f"order {confirmed.number} ({confirmed.id}): found SHIPPED with a parcel that is CREATED, without a label; "
            "expected a parcel that is where its order is."
        ]
    }
