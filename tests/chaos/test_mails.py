"""Mails of a whole running shop: each once, whatever is killed, and however long the mail server is away."""

from collections import Counter
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.postman import Postman
from tests.running import RunningShop, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

SKU = "laptop-1"


@pytest.fixture
def postman():
    postman = Postman()
    postman.start()
    yield postman
    postman.stop()


@pytest.fixture
def shop(tmp_path, postman):
    shop = RunningShop(
        tmp_path / "shop",
        EMAIL_URL=postman.url,
        MAIL_FROM="The Shop <orders@shop.example>",
        MAIL_RETRY_SECONDS="0.5",
        MAIL_SWEEP_SECONDS="0.5",
        # A mail whose yes comes later is sent twice, and rightly; a dead worker's waits for seventeen of these.
        MAIL_TIMEOUT_SECONDS="7",
        PAYMENT_LATENCY_MS="50",
    )
    shop.start()
    yield shop
    assert shop.stop() == 0


def order(shop, **body):
    """Place an order of a guest with an address for mails."""
    wanted = {"items": [{"sku": SKU, "quantity": 1}], "email": "ada@example.org", **body}
    headers = {"Idempotency-Key": f"test-{uuid4()}", "Accept-Language": body.pop("language", "en")}
    wanted.pop("language", None)
    reply = shop.http.post("/api/orders", json=wanted, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply.json()


def about(postman, placed):
    """The subjects of the mails about an order, without its number."""
    return [mail.subject.replace(placed["number"], "#") for mail in postman.taken if placed["number"] in mail.subject]


def comes(postman, placed, *subjects):
    eventually(lambda: set(subjects) <= set(about(postman, placed)))


def ends_in(shop, placed, *, seconds):
    """Let time pass for the reservation of an order, until it has only so long to go."""
    with psycopg.connect(shop.layout.database_url, autocommit=True) as connection:
        for move in (
            "UPDATE inventory_reservation SET expires_at = now() + %(left)s WHERE owner_id = %(order)s",
            "UPDATE orders_order SET reserved_until = now() + %(left)s WHERE id = %(order)s",
            "UPDATE sagas_sagainstance SET wait_until = now() + %(left)s, due_at = now() + %(left)s"
            " WHERE subject_id = %(order)s",
        ):
            moved = connection.execute(move, {"left": timedelta(seconds=seconds), "order": placed["id"]})
            assert moved.rowcount == 1


def all_once(postman):
    assert Counter(mail.message_id for mail in postman.taken).most_common(1)[0][1] == 1
    assert Counter((mail.recipient, mail.subject) for mail in postman.taken).most_common(1)[0][1] == 1


def test_every_mail_of_a_running_shop_comes_once(shop, postman):
    later = order(shop)
    bought = order(shop, paymentMethod="tok_visa", language="de")
    declined = order(shop, paymentMethod="tok_declined")
    short = order(shop, items=[{"sku": SKU, "quantity": 999}], paymentMethod="tok_visa")
    returned = order(shop, paymentMethod="tok_visa")
    shop.decided([bought, declined, short, returned])
    secret = {"X-Order-Secret": returned["clientSecret"]}
    assert shop.http.post(f"/api/orders/{returned['id']}/cancel", headers=secret).status_code == 202

    comes(postman, returned, "Your order # is cancelled", "Your refund for order #")
    comes(postman, bought, "Ihre Bestellung # ist bestätigt")
    comes(postman, declined, "The payment for your order # failed")
    comes(postman, short, "Out of stock: your order #")
    comes(postman, later, "Your order #")
    ends_in(shop, later, seconds=200)  # of which the buyer is told
    comes(postman, later, "Your reservation # ends soon")
    ends_in(shop, later, seconds=0)
    comes(postman, later, "Your order # is cancelled")

    all_once(postman)
    assert about(postman, bought)[-1] == "Ihre Bestellung # ist bestätigt"
    assert about(postman, declined)[-1] == "The payment for your order # failed"
    assert about(postman, short)[-1] == "Out of stock: your order #"
    assert about(postman, later) == ["Your order #", "Your reservation # ends soon", "Your order # is cancelled"]
    assert Counter(about(postman, returned)) >= Counter({"Your refund for order #": 1, "Your order # is cancelled": 1})
    confirmed = next(mail for mail in postman.taken if "bestätigt" in mail.subject)
    assert [part.get_content_type() for part in confirmed.mail.iter_attachments()] == ["application/pdf"]


def test_a_mail_server_that_is_away_while_everything_else_is_killed_loses_no_mail(shop, postman):
    postman.stop()
    placed = [order(shop, paymentMethod="tok_visa") for _ in range(3)]
    shop.decided(placed)
    shop.kill_service("relay")
    shop.kill_service("worker")
    shop.redis().flushall()
    placed += [order(shop, paymentMethod="tok_visa") for _ in range(2)]
    shop.decided(placed)

    postman.start()

    confirmed = "Your order # is confirmed"
    eventually(lambda: all(confirmed in about(postman, one) for one in placed))
    all_once(postman)
