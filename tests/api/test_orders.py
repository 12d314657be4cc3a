"""The orders API as an integrator meets it: what is accepted, what is refused, and that a no changes nothing."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import pytest
from django.db import connection
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from marketplace.accounts.models import User
from marketplace.outbox.models import OutboxEvent
from marketplace.sagas import services as sagas
from marketplace.sagas.models import SagaInstance
from orders.models import Order
from payments.models import Payment

pytestmark = pytest.mark.django_db


@pytest.fixture
def laptop(shop):
    return shop.stocked("laptop-1", 5, price_minor=129_900)


def signed_in(username="user-1", **attributes):
    user, _ = User.objects.get_or_create(username=username, defaults=attributes)
    token, _ = Token.objects.get_or_create(user=user)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
    return client


def body(**changes):
    return {"items": [{"sku": "laptop-1", "quantity": 1}], "paymentMethod": "tok_visa", **changes}


def post(client, data=None, *, key=None, **headers):
    headers.setdefault("HTTP_IDEMPOTENCY_KEY", key or f"key-{uuid4()}")
    return client.post("/api/orders", body() if data is None else data, format="json", **headers)


def nothing_was_written():
    return not (Order.objects.exists() or SagaInstance.objects.exists() or OutboxEvent.objects.exists())


@pytest.mark.core
def test_a_guest_places_an_order_and_follows_it(shop, laptop):
    client = APIClient()

    reply = post(client, body(email="guest@example.com"))

    assert reply.status_code == 201
    order = reply.json()
    assert reply["Location"].endswith(f"/api/orders/{order['id']}")
    assert set(order) == {
        "id", "number", "status", "failureCode", "failureMessage", "reviewStatus", "refundStatus", "items",
        "totalAmount", "currency", "userId", "email", "shippingAddress", "createdAt", "updatedAt", "reservedUntil",
        "payment", "paymentAttempt", "shipment", "sagaId", "links", "clientSecret",
    }  # fmt: skip
    assert order["status"] == "CREATED"
    assert order["totalAmount"] == "1299.00"
    assert order["items"] == [
        {"sku": "laptop-1", "productName": "The laptop-1", "quantity": 1, "price": "1299.00"}
    ]  # fmt: skip
    shop.work()
    secret = {"HTTP_X_ORDER_SECRET": order["clientSecret"]}
    now = client.get(order["links"]["self"], **secret).json()
    assert now["status"] == "CONFIRMED"
    assert now["payment"]["status"] == "CAPTURED"
    assert "clientSecret" not in now
    saga = client.get(order["links"]["saga"], **secret).json()
    assert set(saga) == {"id", "orderId", "status", "currentStep", "startedAt", "completedAt", "history"}
    assert set(saga["history"][0]) == {
        "step", "direction", "status", "attempt", "message", "timestamp", "durationMs",
    }  # fmt: skip
    assert (saga["status"], saga["currentStep"]) == ("COMPLETED", None)
    assert [entry["step"] for entry in saga["history"]][-1] == "confirm_order"


def test_lines_of_one_sku_are_summed(shop, laptop):
    items = [{"sku": "laptop-1", "quantity": 2}, {"productId": str(laptop.id), "quantity": 1}]

    order = post(APIClient(), body(items=items)).json()

    assert [(item["sku"], item["quantity"]) for item in order["items"]] == [("laptop-1", 3)]
    assert order["totalAmount"] == "3897.00"


BAD = [
    ({"items": [{"sku": "no-such-thing", "quantity": 1}]}, 422, "unknown_sku"),
    ({"items": [{"productId": str(uuid4()), "quantity": 1}]}, 422, "unknown_sku"),
    ({"items": [{"sku": "laptop-1", "quantity": 0}]}, 400, "validation_error"),
    ({"items": [{"sku": "laptop-1", "quantity": -1}]}, 400, "validation_error"),
    ({"items": [{"sku": "laptop-1", "quantity": 1e9}]}, 400, "validation_error"),
    ({"items": [{"sku": "laptop-1", "quantity": 10**30}]}, 400, "validation_error"),
    ({"items": [{"sku": "laptop-1", "quantity": "two"}]}, 400, "validation_error"),
    ({"items": [{"sku": "laptop-1", "quantity": True}]}, 400, "validation_error"),
    ({"items": [{"sku": "laptop-1", "quantity": 1.5}]}, 400, "validation_error"),
    ({"items": [{"sku": "laptop-1"}]}, 400, "validation_error"),
    ({"items": [{"quantity": 1}]}, 400, "validation_error"),
    ({"items": []}, 400, "validation_error"),
    ({"items": "laptop-1"}, 400, "validation_error"),
    ({"items": [{"sku": "laptop-1", "quantity": 1}] * 51}, 400, "validation_error"),
    ({"items": [{"sku": "laptop-1\x00", "quantity": 1}]}, 400, "validation_error"),
    ({"items": [{"sku": "laptop-1", "quantity": 1, "price": "1298.99"}]}, 409, "price_changed"),
    ({"items": [{"sku": "laptop-1", "quantity": 1, "price": "cheap"}]}, 400, "validation_error"),
    ({"items": [{"sku": "laptop-1", "quantity": 1, "price": "1299.001"}]}, 400, "invalid_amount"),
    ({"items": [{"sku": "laptop-1", "quantity": 1, "colour": "red"}]}, 400, "validation_error"),
    ({"coupon": "FREE"}, 400, "validation_error"),
    ({"currency": "USD"}, 422, "currency_mismatch"),
    ({"currency": "euro"}, 400, "validation_error"),
    ({"email": "not an address"}, 400, "validation_error"),
    ({"paymentMethod": "tok visa; drop table"}, 400, "validation_error"),
    ({"paymentMethod": "vault:8kk8451t"}, 400, "validation_error"),  # somebody's PayPal account, perhaps another's
    ({"shippingAddress": {"name": "x"}}, 400, "validation_error"),
    ({"userId": "user-1"}, 401, "not_authenticated"),
]


@pytest.mark.parametrize("number", ["4242424242424242", "4242-4242-4242-4242", "tok_4242424242424242", "501800000912"])
def test_the_number_of_a_card_is_refused_and_told_to_nobody(shop, laptop, caplog, number):
    reply = post(APIClient(), body(paymentMethod=number))

    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (400, "card_data")
    assert number not in reply.content.decode() + caplog.text
    assert nothing_was_written()
    reserved = post(APIClient(), {"items": [{"sku": "laptop-1", "quantity": 1}]}, key="press-of-somebody-else").json()
    client = APIClient(headers={"X-Order-Secret": reserved["clientSecret"]})
    paid = client.post(f"/api/orders/{reserved['id']}/pay", {"paymentMethod": number}, format="json")
    assert (paid.status_code, paid.json()["errors"][0]["code"]) == (400, "card_data")


@pytest.mark.core
@pytest.mark.parametrize(("changes", "status", "code"), BAD)
def test_bad_input_gets_the_right_answer_and_changes_nothing(shop, laptop, changes, status, code):
    reply = post(APIClient(), body(**changes))

    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.content
    assert reply["Content-Type"].startswith("application/problem+json")
    assert set(reply.json()) >= {"type", "title", "status", "detail", "instance", "code", "retryable", "requestId"}
    assert nothing_was_written()
    assert shop.levels("laptop-1") == (5, 0)


def test_an_unknown_field_is_named(shop, laptop):
    [error] = post(APIClient(), body(coupon="FREE")).json()["errors"]
    assert (error["pointer"], error["code"]) == ("/coupon", "unknown_field")


def test_malformed_json(shop):
    reply = APIClient().post("/api/orders", '{"items": [', content_type="application/json")
    assert (reply.status_code, reply.json()["code"]) == (400, "malformed_json")


def test_another_media_type(shop):
    reply = APIClient().post("/api/orders", "items=1", content_type="application/x-www-form-urlencoded")
    assert reply.status_code == 415


def test_ten_megabytes(shop):
    data = json.dumps(body(email="x" * 10_000_000))
    reply = APIClient().post("/api/orders", data, content_type="application/json", HTTP_IDEMPOTENCY_KEY="k" * 20)
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    assert nothing_was_written()


@pytest.mark.parametrize(
    ("key", "code"),
    [("", "idempotency_key_missing"), ("x" * 256, "idempotency_key_malformed"), ("short", "idempotency_key_malformed")],
)
def test_a_key_that_is_none(shop, laptop, key, code):
    reply = APIClient().post("/api/orders", body(), format="json", **({"HTTP_IDEMPOTENCY_KEY": key} if key else {}))
    assert (reply.status_code, reply.json()["code"]) == (400, code)
    assert nothing_was_written()


@pytest.mark.core
def test_the_same_key_again_replays_and_another_body_is_refused(shop, laptop):
    client = signed_in()

    first = post(client, key="press-1")
    again = post(client, key="press-1")
    other = post(client, body(paymentMethod="tok_declined"), key="press-1")
    somebody_else = post(signed_in("user-2"), key="press-1")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again["Idempotency-Replayed"] == "true"
    assert again["Location"] == first["Location"]
    assert not first.has_header("Idempotency-Replayed")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert somebody_else.json()["id"] != first.json()["id"]
    assert Order.objects.count() == 2


@pytest.mark.core
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("redis_is_there", [True, False])
def test_fifty_requests_with_one_key(shop, laptop, settings, monkeypatch, redis_is_there):
    monkeypatch.setattr("marketplace.idempotency.services.WAIT_SECONDS", 60.0)  # the machine may be busy
    if not redis_is_there:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"

    def press(_):
        try:
            return post(APIClient(), key="one-key-for-all-of-them")
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(press, range(50)))

    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.content for reply in replies}) == 1
    assert Order.objects.count() == 1
    shop.work()
    assert len(shop.gateway.charges()) == 1


@pytest.mark.django_db(transaction=True)
def test_many_at_once_and_each_gets_its_own_answer(shop, laptop):
    """They are written together, in one transaction for all that come at a time; that is nobody's concern."""
    asked = [
        (body(), 201, None),
        (body(items=[{"sku": "no-such-thing", "quantity": 1}]), 422, "unknown_sku"),
        (body(items=[{"sku": "laptop-1", "quantity": 1, "price": "1298.99"}]), 409, "price_changed"),
        (body(currency="USD"), 422, "currency_mismatch"),
    ] * 10

    def press(given):
        try:
            return post(APIClient(), given[0])
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(press, asked))

    assert [(reply.status_code, reply.json().get("code")) for reply in replies] == [given[1:] for given in asked]
    placed = [reply.json()["id"] for reply in replies if reply.status_code == 201]
    assert len(set(placed)) == Order.objects.count() == SagaInstance.objects.count() == 10
    assert len({reply.json()["number"] for reply in replies if reply.status_code == 201}) == 10


def test_an_order_is_its_buyers_business(shop, laptop):
    mine, theirs = signed_in("user-1"), signed_in("user-2")
    order = post(mine).json()
    path = f"/api/orders/{order['id']}"

    for client in (theirs, APIClient()):
        for reply in (
            client.get(path),
            client.get(f"{path}/saga"),
            client.post(f"{path}/cancel"),
            client.post(f"{path}/pay", {"paymentMethod": "tok_visa"}, format="json"),
            client.get(path, HTTP_X_ORDER_SECRET="os_wrong"),
        ):
            assert (reply.status_code, reply.json()["code"]) == (404, "unknown_order")
    assert Order.objects.get().status == "CREATED"
    assert mine.get(path).status_code == 200
    assert signed_in("boss", is_staff=True).get(path).status_code == 200


def test_lists_show_ones_own_orders_page_by_page(shop, laptop):
    mine, boss = signed_in("user-1"), signed_in("boss", is_staff=True)
    placed = [post(mine).json()["id"] for _ in range(3)]
    post(signed_in("user-2"))

    first = mine.get("/api/orders?limit=2").json()
    second = mine.get(first["next"]).json()

    assert [row["id"] for row in first["results"] + second["results"]] == placed[::-1]
    assert second["next"] is None
    assert len(boss.get("/api/orders").json()["results"]) == 4
    assert len(boss.get("/api/orders/user/user-1").json()["results"]) == 3
    assert mine.get("/api/orders/user/user-2").status_code == 403
    assert APIClient().get("/api/orders").status_code == 401
    assert APIClient().get("/api/orders/user/user-1").status_code == 401


def test_staff_order_for_others_and_nobody_else_does(shop, laptop):
    assert post(signed_in("boss", is_staff=True), body(userId="user-1")).json()["userId"] == "user-1"
    assert post(signed_in("user-2"), body(userId="user-1")).status_code == 403
    assert post(signed_in("user-1"), body(userId="user-1")).status_code == 201


def test_guests_can_be_asked_to_sign_in(shop, laptop, settings):
    settings.GUEST_CHECKOUT = False
    reply = post(APIClient())
    assert (reply.status_code, reply.json()["code"]) == (401, "sign_in_required")
    assert nothing_was_written()


@pytest.mark.core
def test_pay_and_cancel(shop, laptop):
    client = signed_in()
    data = body()
    del data["paymentMethod"]
    order, other = post(client, data).json(), post(client, data).json()
    shop.work()
    reserved = client.get(order["links"]["self"]).json()
    assert (reserved["status"], reserved["links"].keys()) == ("RESERVED", {"self", "saga", "cancel", "pay"})

    paid = client.post(reserved["links"]["pay"], {"paymentMethod": "tok_visa"}, format="json")
    cancelled = client.post(f"/api/orders/{other['id']}/cancel", {"reason": "Found it cheaper."}, format="json")
    shop.work()

    assert (paid.status_code, cancelled.status_code) == (202, 202)
    assert client.get(order["links"]["self"]).json()["status"] == "CONFIRMED"
    after = client.post(f"/api/orders/{other['id']}/cancel")
    assert (after.status_code, after.json()["status"]) == (200, "CANCELLED")
    again = client.post(reserved["links"]["pay"], {"paymentMethod": "tok_declined"}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "not_payable")
    assert shop.levels("laptop-1") == (4, 0)


def test_a_request_to_pay_that_is_repeated_pays_no_other_attempt(shop, laptop, settings):
    """Its reply was lost, and the bank has declined meanwhile: the buyer has not been asked about another attempt."""
    settings.PAYMENT_ATTEMPTS = 2
    client = signed_in()
    order = post(client, body(paymentMethod="tok_declined")).json()
    assert order["paymentAttempt"] == 1
    shop.work()
    declined = client.get(order["links"]["self"]).json()
    assert (declined["status"], declined["paymentAttempt"]) == ("RESERVED", 2)
    pay = partial(client.post, declined["links"]["pay"], format="json")

    for repeated in ({"paymentMethod": "tok_visa"}, {"paymentMethod": "tok_visa", "attempt": 1}):
        reply = pay(repeated)
        assert (reply.status_code, reply.json()["code"], reply.json()["paymentAttempt"]) == (409, "not_payable", 2)
    shop.work()
    assert client.get(order["links"]["self"]).json()["status"] == "RESERVED"

    assert pay({"paymentMethod": "tok_visa", "attempt": 2}).status_code == 202
    assert pay({"paymentMethod": "tok_visa", "attempt": 2}).status_code == 202
    shop.work()
    assert client.get(order["links"]["self"]).json()["status"] == "CONFIRMED"
    assert Payment.objects.filter(reference_id=order["id"], status="CAPTURED").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_repeated_request_that_meets_the_decline_pays_nothing(shop, laptop, settings, monkeypatch):
    """It has read the order before the decline was recorded, and its signal comes after that."""
    settings.PAYMENT_ATTEMPTS = 2
    client = signed_in()
    data = body()
    del data["paymentMethod"]
    order = post(client, data).json()
    shop.work()
    pay = partial(client.post, f"/api/orders/{order['id']}/pay", {"paymentMethod": "tok_declined"}, format="json")
    signal = sagas.signal

    def after_the_decline(*args, **kwargs):
        monkeypatch.setattr(sagas, "signal", signal)
        assert pay().status_code == 202
        shop.work()
        return signal(*args, **kwargs)

    monkeypatch.setattr(sagas, "signal", after_the_decline)
    assert pay().status_code == 202
    shop.work()

    now = client.get(order["links"]["self"]).json()
    assert (now["status"], now["paymentAttempt"]) == ("RESERVED", 2)
    assert [row.status for row in Payment.objects.filter(reference_id=order["id"])] == ["FAILED"]


@pytest.mark.core
def test_cancelling_a_confirmed_order_refunds_it(shop, laptop):
    client = signed_in()
    order = post(client).json()
    shop.work()
    confirmed = client.get(order["links"]["self"]).json()
    assert (confirmed["status"], confirmed["refundStatus"]) == ("CONFIRMED", None)
    assert confirmed["links"].keys() == {"self", "saga", "cancel", "invoice"}

    replies = [client.post(confirmed["links"]["cancel"]) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [202, 202]
    assert {(r.json()["status"], r.json()["refundStatus"]) for r in replies} == {("CONFIRMED", "PENDING")}
    shop.work()

    done = client.post(confirmed["links"]["cancel"])
    assert (done.status_code, done.json()["status"], done.json()["refundStatus"]) == (200, "CANCELLED", "REFUNDED")
    assert done.json()["failureMessage"] == "You cancelled this order. Your money has been sent back."
    assert done.json()["payment"]["status"] == "REFUNDED"
    assert done.json()["links"].keys() == {"self", "saga", "invoice", "creditNotes"}
    assert done.json()["sagaId"] == order["sagaId"]
    saga = client.get(order["links"]["saga"]).json()
    assert (saga["status"], saga["currentStep"]) == ("COMPLETED", None)
    assert saga["id"] != order["sagaId"]
    assert [entry["step"] for entry in saga["history"]][-5:] == [
        "confirm_order", "shipment_stopped", "refund_payment", "restock_inventory", "close_order",
    ]  # fmt: skip
    assert shop.levels("laptop-1") == (5, 0)


def test_what_has_failed_can_not_be_cancelled(shop, laptop):
    client = signed_in()
    order = post(client, body(paymentMethod="tok_declined")).json()
    shop.work()
    assert "cancel" not in client.get(order["links"]["self"]).json()["links"]
    late = client.post(f"/api/orders/{order['id']}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "not_cancellable")


def test_an_order_that_is_none(shop):
    client = signed_in()
    assert client.get(f"/api/orders/{uuid4()}").json()["code"] == "unknown_order"
    assert client.get("/api/orders/not-a-uuid").status_code == 404
    assert client.delete("/api/orders").json()["code"] == "method_not_allowed"
