"""Kill what can be killed in the middle of two hundred orders, and look at the books afterwards."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.running import OwnRedis, RunningShop, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]


SKU = "laptop-1"
PATIENT = {
    "SAGA_RETRY_ATTEMPTS": "20",  # a machine that stands still for some seconds is no reason to give up
    "SAGA_RETRY_DELAY_SECONDS": "0.5",
    "SAGA_TIMEOUT_SECONDS": "1200",
    "SAGA_LEASE_SECONDS": "3",
    "PAYMENT_TIMEOUT_SECONDS": "2",
}


@pytest.fixture(scope="module")
def slow_shop(tmp_path_factory):
    """A shop whose bank takes its time, so that there is something to interrupt."""
    shop = RunningShop(tmp_path_factory.mktemp("chaos"), PAYMENT_LATENCY_MS="300", SAGA_CALL_CONCURRENCY="4", **PATIENT)
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


def assert_charged_once(shop, orders):
    """Every confirmed order was captured once, in full; every other one costs nothing. By the bank's own books."""
    by_saga = Counter()
    for charge in shop.charges():
        if charge.captured_minor - charge.refunded_minor > 0:
            by_saga[charge.key.partition(":")[0]] += 1
    for order in orders:
        assert by_saga[order["sagaId"]] == (1 if order["status"] == "CONFIRMED" else 0), order


def test_the_worker_is_killed_five_times(slow_shop):
    stock_up(slow_shop, 300)
    before = slow_shop.available(SKU)

    created = []
    with ThreadPoolExecutor(1) as background:
        placing = background.submit(slow_shop.post_orders, SKU, 200, at_once=4)
        for _ in range(5):
            seen = len(slow_shop.charges())
            # It is in the middle of something, unless it has been quicker than we look.
            eventually(lambda seen=seen: len(slow_shop.charges()) > seen or (placing.done() and slow_shop.rests()))
            slow_shop.kill_service("worker")
        created = placing.result()
    orders = slow_shop.decided(created)

    ends = Counter(order["status"] for order in orders)
    assert sum(ends.values()) == 200
    assert ends["CONFIRMED"] == 200, ends  # a crash of ours is no reason for a buyer to go without
    assert slow_shop.available(SKU) == before - 200
    assert_charged_once(slow_shop, orders)
    assert slow_shop.audit() == ""


def test_valkey_is_flushed_in_the_middle(slow_shop):
    stock_up(slow_shop, 200)

    created = slow_shop.post_orders(SKU, 100, at_once=8)
    slow_shop.redis().flushall()
    created += slow_shop.post_orders(SKU, 100, at_once=8)
    slow_shop.redis().flushall()
    orders = slow_shop.decided(created)

    assert Counter(order["status"] for order in orders) == {"CONFIRMED": 200}
    assert_charged_once(slow_shop, orders)
    assert slow_shop.audit() == ""


def test_fifty_requests_with_one_key_are_one_order(slow_shop):
    stock_up(slow_shop, 1)
    charges = len(slow_shop.charges())

    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda _: slow_shop.post_order(SKU, key="one-key-for-fifty"), range(50)))

    assert Counter(reply.status_code for reply in replies) == {201: 50}
    assert len({reply.content for reply in replies}) == 1
    assert sum(reply.headers.get("Idempotency-Replayed") == "true" for reply in replies) == 49
    [order] = slow_shop.decided([replies[0].json()])
    assert order["status"] == "CONFIRMED"
    assert len(slow_shop.charges()) == charges + 1


def test_without_redis_orders_are_accepted_and_wait(tmp_path):
    redis = OwnRedis(tmp_path / "redis")
    redis.start()
    shop = RunningShop(tmp_path / "shop", REDIS_URL=redis.url, **PATIENT)
    shop.start()
    try:
        before = shop.available(SKU)
        redis.stop()

        with ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(lambda _: shop.post_order(SKU, key="one-key-without-redis"), range(20)))
        assert Counter(reply.status_code for reply in replies) == {201: 20}
        assert len({reply.content for reply in replies}) == 1
        created = replies[0].json()
        assert shop.order(created)["status"] == "CREATED"

        redis.start()
        [order] = shop.decided([created])
        assert order["status"] == "CONFIRMED"
        assert shop.available(SKU) == before - 1
        assert shop.audit() == ""
    finally:
        redis.stop()
        shop.stop()


def test_a_bank_that_always_fails(tmp_path):
    shop = RunningShop(tmp_path, PAYMENT_FAILURE_RATE="1", SAGA_RETRY_DELAY_SECONDS="0.2")
    shop.start()
    try:
        before = shop.available(SKU)
        orders = shop.decided(shop.post_orders(SKU, 10))

        assert {(order["status"], order["failureCode"]) for order in orders} == {("FAILED", "payment_timeout")}
        assert shop.available(SKU) == before
        assert shop.charges() == []
        assert shop.audit() == ""
    finally:
        assert shop.stop() == 0
