"""Our books against those of a real gateway, whose ledger is empty at the start of each test."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from marketplace.operations.auditor import Verdict, audit, gateway
from marketplace.operations.tests.auditor.breaking import sql
from payments.testing import SandboxServer
from tests.shop import authorization_key


@pytest.fixture
def sandbox_gateway(tmp_path, settings):
    """A gateway that nobody has used before: an audit looks at all of its ledger."""
    server = SandboxServer(tmp_path / "sandbox")
    server.start()
    settings.SANDBOX_GATEWAY_URL, settings.SANDBOX_API_KEY = server.url, server.api_key
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(gateway, "PAUSE_SECONDS", 0.0)


def findings() -> dict[str, list[str]]:
    return {proof.code: [str(one) for one in proof.findings] for proof in audit().proofs if proof.findings}


def test_orders_of_every_kind_are_clean_on_both_sides(shop, settings):
    for token in ("tok_visa", "tok_declined", "tok_flaky", "tok_timeout", "tok_fraud", ""):
        settings.PAYMENT_TIMEOUT_SECONDS = 3.0 if token == "tok_timeout" else 10.0
        shop.bought("laptop-1", token=token)
    shop.bought("laptop-1", 99)
    report = audit()
    assert report.findings == []
    assert report.clean
    assert (report.looked_at["orders"], report.looked_at["charges at the gateway"]) == (7, 4)
    assert len(shop.gateway.charges()) == 4  # visa, flaky, timeout, and fraud, which is voided


def test_while_the_shop_is_open(shop):
    """Orders are under way on both sides all the time; none of that is ever called a difference."""
    shop.stocked("mouse-1", 100)
    for n in range(60):
        shop.order("mouse-1", token=("tok_visa", "tok_declined", "tok_flaky", "tok_fraud")[n % 4])
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(_work_in_a_thread, shop)
        reports = [audit()]
        while not working.done():
            reports.append(audit())
        working.result()
    reports.append(audit())
    assert [finding for report in reports for finding in report.findings] == []
    assert shop.levels("mouse-1") == (70, 0)  # half of the tokens are good


def _work_in_a_thread(shop):
    try:
        shop.work(seconds=100)
    finally:
        connection.close()


def test_a_charge_that_nobody_asked_for(shop):
    shop.gateway.gateway().authorize(key="by-hand", amount_minor=4200, currency="EUR", method="tok_visa", metadata={})
    assert findings() == {
        "ledger_matches_gateway": [
            "charge by-hand: found at the gateway AUTHORIZED 42.00 EUR, captured 0.00, refunded 0.00 (orphan charge); "
            "expected a payment of ours that asked for it."
        ]
    }


def test_a_charge_that_the_gateway_does_not_know(shop):
    order = shop.bought("laptop-1")
    shop.gateway.stop()
    for file in shop.gateway.data.iterdir():
        file.unlink()
    shop.gateway.start()
    assert findings() == {
        "ledger_matches_gateway": [
            f"order {order.number} ({order.id}): found at the gateway no such charge (missing charge); "
            "expected what our books say: CAPTURED 1299.00 EUR, captured 1299.00, refunded 0.00."
        ]
    }


def test_a_refund_made_at_the_gateway_by_hand(shop):
    order = shop.bought("laptop-1")
    shop.gateway.gateway().refund(key="by-hand", authorization_key=authorization_key(order.saga_id), amount_minor=900)
    assert findings() == {
        "ledger_matches_gateway": [
            f"order {order.number} ({order.id}): found at the gateway PARTIALLY_REFUNDED 1299.00 EUR, "
            "captured 1299.00, refunded 9.00 (wrong status); "
            "expected what our books say: CAPTURED 1299.00 EUR, captured 1299.00, "
            "refunded 0.00."
        ]
    }


def test_an_amount_that_differs(shop):
    order = shop.bought("laptop-1")
    assert sql("UPDATE payments_payment SET amount_minor = amount_minor + 1") == 1
    assert findings() == {
        "ledger_matches_gateway": [
            f"order {order.number} ({order.id}): found at the gateway CAPTURED 1299.00 EUR, captured 1299.00, "
            "refunded 0.00 (wrong amount); "
            "expected what our books say: CAPTURED 1299.01 EUR, captured 1299.00, refunded 0.00."
        ]
    }


def test_a_gateway_that_is_down_proves_nothing(shop):
    shop.bought("laptop-1")
    shop.gateway.stop()
    report = audit()
    assert not report.clean
    assert {proof.code for proof in report.proofs if proof.verdict is not Verdict.PROVEN} == {"ledger_matches_gateway"}
    assert report.proofs[-1].verdict is Verdict.NOT_PROVEN
    assert [str(one) for one in report.findings] == [
        "the gateway: found The payment gateway is not answering.; expected its list of charges."
    ]
    assert audit(ask_gateway=False).clean


def test_an_order_in_motion_is_looked_at_again(shop):
    """The first look falls between the gateway's answer and our having written it down."""
    order = shop.order("laptop-1")
    shop.gateway.gateway().authorize(
        key=authorization_key(order.saga_id), amount_minor=1, currency="EUR", method="tok_visa", metadata={}
    )
    looks = []

    def meanwhile(seconds):
        looks.append(seconds)
        sql("UPDATE payments_payment SET authorization_key = %s", authorization_key(order.saga_id))
        shop.gateway.gateway().void(key="v", authorization_key=authorization_key(order.saga_id))

    sql("INSERT INTO payments_payment (id, reference_id, sequence, gateway, method, amount_minor, currency, status,"
        " authorization_key, gateway_reference, captured_minor, refunded_minor, failure_code, failure_message,"
        " created_at, updated_at) VALUES (gen_random_uuid(), %s, 1, 'sandbox', 'tok_visa', 1, 'EUR', 'VOIDED', '', '',"
        " 0, 0, '', '', now(), now())", order.id)  # fmt: skip
    found, charges = gateway.differences(pause=meanwhile)
    assert (found, charges, len(looks)) == ([], 1, 1)


def test_a_difference_that_goes_on_changing_is_looked_at_until_it_stands_still(shop):
    order = shop.bought("laptop-1")
    client, key = shop.gateway.gateway(), authorization_key(order.saga_id)
    client.refund(key="first", authorization_key=key, amount_minor=1)
    pauses = []

    def meanwhile(seconds):
        pauses.append(seconds)
        if len(pauses) == 1:
            client.refund(key="second", authorization_key=key, amount_minor=1)

    found, _ = gateway.differences(pause=meanwhile)
    assert len(pauses) == 2
    assert [one.found for one in found] == [
        "at the gateway PARTIALLY_REFUNDED 1299.00 EUR, captured 1299.00, refunded 0.02 (wrong status)"
    ]


def test_an_answer_that_was_lost_is_explained_by_the_saga_that_asks_again(shop, settings):
    settings.SAGA_RETRY_DELAY_SECONDS = 3600
    settings.PAYMENT_TIMEOUT_SECONDS = 3.0
    order = shop.bought("laptop-1", token="tok_timeout")
    assert order.status == "PAYMENT_PENDING"
    assert [charge.status for charge in shop.gateway.charges()] == ["AUTHORIZED"]
    assert findings() == {}

    sql("UPDATE sagas_sagainstance SET status = 'NEEDS_ATTENTION', due_at = NULL")
    assert findings() == {}

    sql("UPDATE sagas_sagainstance SET status = 'COMPENSATED', completed_at = now()")
    assert set(findings()) == {
        "ledger_matches_gateway",
        "money_has_a_reason",
        "live_hold_has_live_saga",
        "orders_and_sagas_end_together",
    }
