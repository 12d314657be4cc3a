"""Banks that decide later and change their minds, webhooks twice and in any order, and a worker that dies meanwhile."""

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.running import RunningShop, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

SKU = "laptop-1"
MIX = {
    "tok_visa": 10,
    "tok_delayed_success": 25,
    "tok_delayed_decline": 15,
    "tok_late_rejection": 10,
    "tok_declined": 5,
    "tok_timeout": 5,
}
ENDS = {
    "tok_visa": ("CONFIRMED", ""),
    "tok_delayed_success": ("CONFIRMED", ""),
    "tok_delayed_decline": ("FAILED", "payment_declined"),
    "tok_late_rejection": ("FAILED", "payment_reversed"),
    "tok_declined": ("FAILED", "payment_declined"),
    "tok_timeout": ("CONFIRMED", ""),
}
# What the bank says of a charge when all is over: status, and how much of it the shop has.
BELIEVES = {
    "tok_visa": ("CAPTURED", True),
    "tok_delayed_success": ("CAPTURED", True),
    "tok_delayed_decline": ("DECLINED", False),
    "tok_late_rejection": ("REVERSED", False),
    "tok_timeout": ("CAPTURED", True),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop whose bank tells everything, half of it twice, and in any order."""
    shop = RunningShop(
        tmp_path_factory.mktemp("webhooks"),
        PAYMENT_LATENCY_MS="50",
        PAYMENT_TIMEOUT_SECONDS="2",
        SAGA_RETRY_ATTEMPTS="20",  # a machine that stands still for some seconds is no reason to give up
        SAGA_RETRY_DELAY_SECONDS="0.5",
        SAGA_TIMEOUT_SECONDS="1200",
        SAGA_LEASE_SECONDS="3",
        WEBHOOK_LEASE_SECONDS="10",
        SANDBOX_DECISION_SECONDS="1",
        SANDBOX_REVERSAL_SECONDS="2",
        SANDBOX_WEBHOOKS="all",
        SANDBOX_WEBHOOK_DUPLICATES="0.5",
        SANDBOX_WEBHOOK_DISORDER_SECONDS="2",
    )
    shop.start()
    try:
        yield shop
    finally:
        assert shop.stop() == 0


def stock_up(shop, units):
    code = (
        "from inventory.services import receive; from marketplace.kernel.clock import database_now;"
        f"receive(sku='{SKU}', quantity={units}, now=database_now(), actor='test', reason='for the test')"
    )
    assert shop.manage("shell", "-c", code).returncode == 0


def place(shop):
    """Place the mix, its kinds side by side; return the orders by token."""
    with ThreadPoolExecutor(len(MIX)) as pool:
        placing = {token: pool.submit(shop.post_orders, SKU, n, token=token, at_once=2) for token, n in MIX.items()}
        return {token: orders.result() for token, orders in placing.items()}


def ended(shop, orders, end):
    """Those of `orders` that have come to their end."""
    now = [shop.order(order) for order in orders]
    return [order for order in now if (order["status"], order["failureCode"] or "") == end]


def test_every_order_ends_as_its_card_calls_for(shop):
    stock_up(shop, sum(MIX.values()))
    before = shop.available(SKU)

    with ThreadPoolExecutor(1) as background:
        placing = background.submit(place, shop)
        for _ in range(2):
            seen = len(shop.charges())
            # It is in the middle of something, unless it has been quicker than we look.
            eventually(lambda seen=seen: len(shop.charges()) > seen or (placing.done() and shop.rests()))
            shop.kill_service("worker")
        placed = placing.result()

    for token, orders in placed.items():
        eventually(lambda token=token, orders=orders: len(ended(shop, orders, ENDS[token])) == len(orders))
    kept = sum(MIX[token] for token, (status, _) in ENDS.items() if status == "CONFIRMED")
    assert shop.available(SKU) == before - kept

    charges = {charge.key.partition(":")[0]: charge for charge in shop.charges()}
    for token, orders in placed.items():
        for order in orders:
            charge = charges.get(order["sagaId"])
            if token not in BELIEVES:
                assert charge is None
                continue
            status, ours = BELIEVES[token]
            left = charge.captured_minor - charge.refunded_minor - charge.reversed_minor
            assert (charge.status, left) == (status, charge.amount_minor if ours else 0), token
    all_was_taken_in(shop)
    assert shop.audit() == ""


def all_was_taken_in(shop):
    """Wait until the shop is done with every event that the bank has told of, and none is still to come."""
    eventually(lambda: (told := told_by_the_bank(shop)) and Counter(webhooks(shop)) == {"DONE": told})


def webhooks(shop):
    """How the webhooks that the shop has taken in stand, one word each."""
    return [status for (status,) in shop.rows("SELECT status FROM payments_webhookevent")]


def told_by_the_bank(shop):
    """How many events the bank has told of, by its own books; 0 while some are still to be delivered."""
    with closing(sqlite3.connect(shop.layout.sandbox_data / "ledger.sqlite3", timeout=60)) as books:
        count, waiting = books.execute("SELECT count(*), count(due_at) FROM events").fetchone()
    return 0 if waiting else count
