"""Parcels of a whole running shop: a carrier that is down, or tells things twice and in any order; dead workers."""

import re
from collections import Counter
from uuid import uuid4

import httpx
import pytest

from tests.running import PATIENCE, RunningShop, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

SKU = "keyboard-1"
ADDRESS = {"name": "Ada Lovelace", "line1": "Row 1", "postalCode": "10115", "city": "Berlin", "country": "DE"}
NOWHERE = {**ADDRESS, "postalCode": "00000"}  # where the carrier sells no label
PACK = """
from marketplace.kernel.clock import database_now
from orders import services
print("packed", len(services.packed({!r}, who="wanda", now=database_now()).packed))
"""


@pytest.fixture
def shop(tmp_path):
    shop = RunningShop(
        tmp_path / "shop",
        PAYMENT_LATENCY_MS="50",
        MAIL_SWEEP_SECONDS="0.5",
        MAIL_TIMEOUT_SECONDS="1",  # with what a dead worker had in hand the others wait for this, and for that:
        WEBHOOK_LEASE_SECONDS="20",
        SAGA_RETRY_DELAY_SECONDS="0.2",
        SAGA_TIMEOUT_SECONDS="1200",
        SAGA_BREAKER_FAILURES="2",
        SANDBOX_CARRIER_PACE_SECONDS="1",
        SANDBOX_CARRIER_WEBHOOK_DUPLICATES="0.5",
        SANDBOX_CARRIER_WEBHOOK_DISORDER_SECONDS="4",
    )
    shop.start()
    yield shop
    assert shop.stop() == 0


def order(shop, address=ADDRESS):
    wanted = {"items": [{"sku": SKU, "quantity": 1}], "email": "ada@example.org", "shippingAddress": address}
    headers = {"Idempotency-Key": f"test-{uuid4()}"}
    reply = shop.http.post("/api/orders", json={**wanted, "paymentMethod": "tok_visa"}, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply.json()


def pack(shop, orders):
    said = shop.manage("shell", "-c", PACK.format([one["id"] for one in orders]))
    assert f"packed {len(orders)}" in said.stdout, said.stderr


def seen(shop):
    """What our books say."""
    sagas = "SELECT id, status, current_step, standby, attempt - forgiven FROM sagas_sagainstance"
    return {
        "sagas": shop.rows(f"{sagas} WHERE name = 'fulfill_order'"),
        "events": shop.rows("SELECT subject_id::text, type FROM outbox_event"),
        "mails": shop.rows("SELECT order_id::text, kind, status FROM orders_message"),
        "credit_notes": shop.rows("SELECT id FROM orders_creditnote"),
    }


def carriers_books(shop):
    """How many parcels were announced, labels bought and voided, and parcels delivered, by the carrier's own ledger."""
    page = httpx.get(shop.carrier_url, trust_env=False, timeout=PATIENCE).text
    found = re.search(r"(\d+) announced, (\d+) labels bought, (\d+) voided, (\d+) delivered", page)
    assert found
    return tuple(map(int, found.groups()))


def door(shop, deed):
    httpx.post(f"{shop.carrier_url}/", data={"deed": deed}, trust_env=False, timeout=PATIENCE)


def statuses(shop, orders):
    return Counter(shop.order(one)["status"] for one in orders)


def test_a_carrier_that_is_down_and_then_tells_everything_twice_in_any_order_loses_no_parcel(shop):
    door(shop, "close")
    orders = [order(shop) for _ in range(6)]
    shop.decided(orders)
    pack(shop, orders)

    def parked():
        sagas = seen(shop)["sagas"]
        return [one for one in sagas if one[3] == "circuit:carrier-sandbox"] if len(sagas) == 6 else []

    waiting = eventually(lambda: len(found := parked()) == 6 and found)
    assert {(status, step, spent) for _, status, step, _, spent in waiting} == {("IN_PROGRESS", "buy_label", 0)}
    assert statuses(shop, orders) == {"CONFIRMED": 6}
    shop.kill_service("worker")
    shop.redis().flushall()
    assert carriers_books(shop)[:2] == (0, 0)

    door(shop, "open")
    eventually(lambda: carriers_books(shop)[1] == 6)
    shop.kill_service("worker")
    eventually(lambda: statuses(shop, orders) == {"DELIVERED": 6})

    assert carriers_books(shop) == (6, 6, 0, 6)
    eventually(lambda: Counter(kind for _, kind, status in seen(shop)["mails"] if status == "SENT")["delivered"] == 6)
    books = seen(shop)
    for placed in orders:
        told = Counter(kind for subject, kind in books["events"] if subject == placed["id"])
        once = ("SHIPMENT_CREATED", "SHIPMENT_PACKED", "LABEL_GENERATED", "SHIPMENT_DELIVERED")
        once += ("ORDER_SHIPPED", "ORDER_IN_TRANSIT", "ORDER_DELIVERED")
        assert {kind: told[kind] for kind in once} == dict.fromkeys(once, 1)
        assert told["SHIPMENT_SCANNED"] == 4  # picked up, next depot, in the van, handed over
        mails = Counter(kind for subject, kind, _ in books["mails"] if subject == placed["id"])
        assert set(mails.values()) == {1}
    assert shop.audit() == ""


def test_a_label_that_can_not_be_bought_ends_with_a_person_and_then_with_the_money_back(shop):
    before = shop.available(SKU)
    placed = order(shop, NOWHERE)
    shop.decided([placed])
    pack(shop, [placed])
    parked = eventually(lambda: [one for one in seen(shop)["sagas"] if one[1] == "NEEDS_ATTENTION"])
    [[saga_id, _, step, _, _]] = parked
    assert (step, shop.order(placed)["status"]) == ("buy_label", "CONFIRMED")

    undone = shop.manage("sagas", "compensate", str(saga_id), "--reason", "There is no such street.")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    eventually(lambda: shop.order(placed)["refundStatus"] == "REFUNDED")
    ended = shop.order(placed)

    assert (ended["status"], ended["failureCode"]) == ("FAILED", "cannot_ship")
    assert shop.available(SKU) == before
    assert [charge.refunded_minor == charge.captured_minor > 0 for charge in shop.charges()] == [True]
    assert carriers_books(shop)[1] == 0
    eventually(lambda: {"failed", "refunded"} <= {kind for _, kind, s in seen(shop)["mails"] if s == "SENT"})
    books = seen(shop)
    assert len(books["credit_notes"]) == 1
    assert Counter(kind for _, kind, _ in books["mails"]).most_common(1)[0][1] == 1
    eventually(lambda: shop.audit() == "")
