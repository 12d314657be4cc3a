"""Five hundred orders by every test card, told of twice and in any order, while the worker is killed at random.

The order of the cards, what buyers decide at the bank and staff about suspicious orders, and when the worker dies come
from one seed; what is under way at that moment does not, and must not matter.
"""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from payments.gateways.sandbox.tokens import TOKENS
from payments.testing import answer_the_bank
from tests.chaos.test_webhooks import all_was_taken_in, stock_up
from tests.running import RunningShop, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

SKU = "laptop-1"
SEED = 4
KILLS = 5  # a supervisor gives up after eight within a minute, and on a quick machine these come close together
CLIENTS = 6


@dataclass(frozen=True)
class Card:
    """So many orders by `token`, and where they must end.

    `decision`: what the buyer does at the bank, if anything; `staff`: what a person says of a suspicious order.
    """

    token: str
    orders: int
    end: tuple[str, str] = ("CONFIRMED", "")
    believes: str = "CAPTURED"  # what the bank says of the charge in the end; empty: it knows of none
    decision: str = ""
    staff: str = ""


FAILED, DECLINED = ("FAILED", "payment_declined"), "DECLINED"
CARDS = (
    Card("tok_visa", 90),
    Card("tok_visa_us", 20),
    Card("tok_timeout", 50),
    Card("tok_flaky", 40),
    Card("tok_delayed_success", 50),
    Card("tok_requires_action", 30, decision="approve"),
    Card("tok_declined", 40, FAILED, ""),
    Card("tok_insufficient_funds", 30, FAILED, ""),
    Card("tok_delayed_decline", 30, FAILED, DECLINED),
    Card("tok_requires_action", 15, FAILED, DECLINED, decision="decline"),
    Card("tok_requires_action", 15, ("FAILED", "payment_timeout"), "VOIDED"),  # nobody ever comes to the bank's page
    Card("tok_late_rejection", 30, ("FAILED", "payment_reversed"), "REVERSED"),
    Card("tok_fraud", 30, ("FAILED", "fraud_rejected"), "VOIDED"),
    Card("tok_review", 20, staff="APPROVED"),
    Card("tok_review", 10, ("FAILED", "fraud_rejected"), "VOIDED", staff="REJECTED"),
)


# Somebody of the staff, who decides about so many orders as a file says: a line for each, its id and the verdict.
STAFF = """
import pathlib, time
from marketplace.kernel.clock import database_now
from orders.errors import ReviewOver
from orders.fraud import reviews
file, left = pathlib.Path({file!r}), {count}
while left:
    wanted = dict(line.split() for line in file.read_text().splitlines())
    for one in reviews.pending(limit=100):
        if str(one.order_id) in wanted:
            try:
                reviews.decide(one.id, wanted[str(one.order_id)], actor="ada", reason="So it is.", now=database_now())
            except ReviewOver:
                continue  # said already, and its saga has still to hear of it
            left -= 1
    time.sleep(0.5)
"""


@dataclass
class Buyers:
    """Who bought what, as far as it has been placed; what staff are to say of it goes into the file `for_staff`."""

    for_staff: Path
    placed: list[tuple[Card, dict]] = field(default_factory=list)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def place(self, shop: RunningShop) -> None:
        cards = [card for card in CARDS for _ in range(card.orders)]
        random.Random(SEED).shuffle(cards)
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda card: self._place_one(shop, card), cards))

    def _place_one(self, shop: RunningShop, card: Card) -> None:
        reply = shop.post_order(SKU, token=card.token)
        assert reply.status_code == 201, reply.text
        self.placed.append((card, reply.json()))
        if card.staff:
            with self._one_at_a_time, self.for_staff.open("a") as file:
                file.write(f"{reply.json()['id']} {card.staff}\n")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop whose bank tells everything, half of it twice, and in any order."""
    shop = RunningShop(
        tmp_path_factory.mktemp("cards"),
        PAYMENT_LATENCY_MS="30",
        PAYMENT_TIMEOUT_SECONDS="2",
        PAYMENT_OUTCOME_SECONDS="3600",  # however busy the machine is: who wants to decide comes in time
        SAGA_RETRY_ATTEMPTS="20",
        SAGA_TIMEOUT_SECONDS="1200",
        SAGA_RETRY_DELAY_SECONDS="0.5",
        SAGA_LEASE_SECONDS="3",
        WEBHOOK_LEASE_SECONDS="20",
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


@contextmanager
def books(shop):
    """A look into the shop's own database."""
    with psycopg.connect(shop.layout.database_url, autocommit=True) as connection:
        yield connection


def at_the_bank(buyers, connection, answered):
    """Send those buyers to the bank's page who are asked for there, and want to decide."""
    deciding = {order["id"]: card.decision for card, order in list(buyers.placed) if card.decision}
    waiting = connection.execute(
        "SELECT reference_id::text, action_url FROM payments_payment WHERE status = 'PENDING' AND action_url <> ''"
    ).fetchall()
    for order_id, address in waiting:
        if order_id in deciding and order_id not in answered:
            answered.add(order_id)
            assert answer_the_bank(address, deciding[order_id]).status_code < 400


def nobody_comes(buyers, connection):
    """Let the hour pass for those whose buyer never comes to the bank's page, and who wait for that."""
    for card, order in buyers.placed:
        if card.end[1] == "payment_timeout":
            connection.execute(
                "UPDATE sagas_sagainstance SET wait_until = now(), due_at = now() WHERE id = %s AND wait_until > now()"
                " AND NOT in_flight",
                [order["sagaId"]],
            )


def ends(connection):
    """The status and failure code of every order."""
    rows = connection.execute("SELECT id::text, status, failure_code FROM orders_order").fetchall()
    return {order_id: (status, code) for order_id, status, code in rows}


def has_come_far_enough(buyers, connection, wanted):
    """Whether so many orders have ended, or all of them have."""
    done = sum(status in {"CONFIRMED", "FAILED"} for status, _ in ends(connection).values())
    return done >= min(wanted, sum(card.orders for card in CARDS))


def test_every_order_ends_as_its_card_calls_for(shop, tmp_path):
    assert {card.token for card in CARDS} == set(TOKENS)
    total = sum(card.orders for card in CARDS)
    assert total == 500
    stock_up(shop, total)
    before = shop.available(SKU)
    buyers, answered, chance = Buyers(tmp_path / "for_staff"), set(), random.Random(SEED)
    buyers.for_staff.touch()
    staff = STAFF.format(file=str(buyers.for_staff), count=sum(card.orders for card in CARDS if card.staff))

    with ThreadPoolExecutor(2) as background, books(shop) as connection:
        deciding = background.submit(shop.manage, "shell", "-c", staff)
        placing = background.submit(buyers.place, shop)
        deaths = sorted(chance.sample(range(5, total - 60), KILLS))  # after so many orders have come to their end

        def goes_on(wanted):
            at_the_bank(buyers, connection, answered)
            return has_come_far_enough(buyers, connection, wanted)

        for count in deaths:
            eventually(lambda count=count: goes_on(count))
            shop.kill_service("worker")
        placing.result()
        wanted = {order["id"]: card.end for card, order in buyers.placed}

        def all_ended():
            at_the_bank(buyers, connection, answered)
            nobody_comes(buyers, connection)
            now = ends(connection)
            return all(now[order_id] == end for order_id, end in wanted.items())

        try:
            eventually(all_ended)
            assert deciding.result().returncode == 0
        except AssertionError:
            now = ends(connection)
            wrong = Counter(
                (card.token, card.end, now[o["id"]]) for card, o in buyers.placed if now[o["id"]] != card.end
            )
            raise AssertionError(f"not as their cards call for: {wrong}") from None
        parked = connection.execute("SELECT count(*) FROM sagas_sagainstance WHERE status = 'NEEDS_ATTENTION'")
        assert parked.fetchone() == (0,)

    kept = sum(card.orders for card in CARDS if card.end[0] == "CONFIRMED")
    assert shop.available(SKU) == before - kept
    nobody_was_charged_twice(shop, buyers)
    all_was_taken_in(shop)
    reconciled = shop.manage("reconcile")
    assert reconciled.returncode == 0, reconciled.stdout
    assert shop.audit() == ""


def nobody_was_charged_twice(shop, buyers):
    """By the bank's own books: one charge an order, in full where the order stands, and nothing of it elsewhere."""
    charges = {}
    for charge in shop.charges():
        saga = charge.key.partition(":")[0]
        assert saga not in charges, f"two charges for the saga {saga}"
        charges[saga] = charge
    for card, order in buyers.placed:
        charge = charges.pop(order["sagaId"], None)
        assert (charge.status if charge else "") == card.believes, (card, order["id"])
        if charge is not None:
            kept = charge.captured_minor - charge.refunded_minor - charge.reversed_minor
            assert kept == (charge.amount_minor if card.end[0] == "CONFIRMED" else 0), (card, order["id"])
    assert charges == {}  # and no charge for nobody
