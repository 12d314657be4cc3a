"""What the sandbox gateway does by itself, and how it tells of it."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from marketplace.sandbox.testing import http, wait_until
from payments.gateways.base import ChargeStatus, NotGenuine, Outcome
from payments.testing import SandboxServer, answer_the_bank

QUICK = {"SANDBOX_DECISION_SECONDS": "0.2", "SANDBOX_REVERSAL_SECONDS": "0.2"}
LATER = {"SANDBOX_DECISION_SECONDS": "3600", "SANDBOX_REVERSAL_SECONDS": "3600"}  # until `let_plans_come_due`


class Shopper:
    def __init__(self, server):
        self.server = server
        self.gateway = server.gateway()
        self.key = f"{uuid4()}:authorize_payment"

    def authorize(self, method, return_url=""):
        return self.gateway.authorize(
            key=self.key, amount_minor=1299, currency="EUR", method=method, metadata={}, return_url=return_url
        )

    def capture(self):
        return self.gateway.capture(key=f"{self.key}:c", authorization_key=self.key, reference="", amount_minor=1299)

    @property
    def money(self):
        charge = self.server.charge(self.key)
        return (charge.status, charge.captured_minor, charge.reversed_minor)

    def becomes(self, status):
        wait_until(lambda: self.server.charge(self.key).status is status)


@pytest.fixture
def sandbox(tmp_path):
    """A gateway with books of its own: whatever it still has to tell was told by this test."""
    server = SandboxServer(tmp_path / "sandbox")
    yield server
    server.stop()


@pytest.fixture
def start(sandbox, webhook_sink):
    """Start the gateway with these settings, telling the sink; return a shopper there."""

    def start(**environment):
        sandbox.tell(webhook_sink.url, **{**QUICK, **environment})
        return Shopper(sandbox)

    return start


def kinds(told):
    return [one["type"] for one in told]


class TestByItself:
    @pytest.mark.parametrize(
        ("token", "status", "event"),
        [
            ("tok_delayed_success", ChargeStatus.AUTHORIZED, "authorization.authorized"),
            ("tok_delayed_decline", ChargeStatus.DECLINED, "authorization.declined"),
        ],
    )
    def test_decides_later(self, start, webhook_sink, token, status, event):
        shopper = start(SANDBOX_WEBHOOKS="late")
        reply = shopper.authorize(token)
        assert (reply.outcome, reply.code, reply.action_url) == (Outcome.PENDING, "processing", "")
        (told,) = webhook_sink.wait_for(1)
        assert (told["type"], told["data"]) == (event, {"key": shopper.key, "reference": reply.reference})
        shopper.becomes(status)

    def test_decides_nothing_before_it_is_time(self, start, sandbox):
        shopper = start(**LATER)
        shopper.authorize("tok_delayed_success")
        assert shopper.money == (ChargeStatus.PENDING, 0, 0)
        sandbox.let_plans_come_due()
        shopper.becomes(ChargeStatus.AUTHORIZED)

    def test_decides_nothing_about_what_was_voided(self, start, sandbox):
        shopper = start(**LATER)
        shopper.authorize("tok_delayed_success")
        shopper.gateway.void(key=f"{shopper.key}:v", authorization_key=shopper.key)
        sandbox.let_plans_come_due()
        time.sleep(0.5)
        assert shopper.money == (ChargeStatus.VOIDED, 0, 0)
        assert sandbox.movements(shopper.key) == [("VOID", 0)]

    def test_takes_back_what_was_captured(self, start, webhook_sink):
        shopper = start(SANDBOX_WEBHOOKS="late")
        shopper.authorize("tok_late_rejection")
        assert shopper.capture().outcome is Outcome.DONE
        assert kinds(webhook_sink.wait_for(1)) == ["authorization.reversed"]
        assert shopper.money == (ChargeStatus.REVERSED, 1299, 1299)

    def test_takes_nothing_back_that_was_refunded(self, start, sandbox):
        shopper = start(**LATER)
        shopper.authorize("tok_late_rejection")
        shopper.capture()
        shopper.gateway.refund(key=f"{shopper.key}:r", authorization_key=shopper.key, amount_minor=None)
        sandbox.let_plans_come_due()
        time.sleep(0.5)
        assert shopper.money == (ChargeStatus.REFUNDED, 1299, 0)

    def test_goes_on_with_its_plans_after_a_crash(self, start, sandbox, webhook_sink):
        shopper = start(**LATER)
        shopper.authorize("tok_delayed_success")
        sandbox.let_plans_come_due()
        assert kinds(webhook_sink.wait_for(1)) == ["authorization.authorized"]
        shopper.becomes(ChargeStatus.AUTHORIZED)

    def test_lets_go_of_what_nobody_captures(self, start, webhook_sink):
        shopper = start(SANDBOX_AUTHORIZATION_SECONDS="0.3")
        shopper.authorize("tok_visa")
        told = webhook_sink.wait_for(2)
        assert sorted(kinds(told)) == ["authorization.authorized", "authorization.voided"]
        assert shopper.money == (ChargeStatus.VOIDED, 0, 0)
        assert shopper.capture().code == "authorization_voided"

    def test_is_disputed_and_wins(self, start, sandbox, webhook_sink):
        shopper = start(SANDBOX_WEBHOOKS="late")
        shopper.authorize("tok_visa")
        shopper.capture()
        sandbox.dispute(shopper.key, "OPEN")
        assert sandbox.charge(shopper.key).dispute == "OPEN"
        sandbox.dispute(shopper.key, "WON")
        assert sorted(kinds(webhook_sink.wait_for(2))) == ["dispute.opened", "dispute.won"]
        assert shopper.money == (ChargeStatus.CAPTURED, 1299, 0)

    def test_is_disputed_and_loses(self, start, sandbox):
        shopper = start()
        shopper.authorize("tok_visa")
        shopper.capture()
        sandbox.dispute(shopper.key, "OPEN")
        sandbox.dispute(shopper.key, "LOST")
        assert sandbox.charge(shopper.key).dispute == "LOST"
        assert shopper.money == (ChargeStatus.REVERSED, 1299, 1299)

    def test_disputes_nothing_that_was_not_captured_or_is_disputed_already(self, start, sandbox):
        shopper = start()
        shopper.authorize("tok_visa")
        for status in ("OPEN", "WON", "LOST"):
            with pytest.raises(httpx.HTTPStatusError, match="409"):
                sandbox.dispute(shopper.key, status)
        shopper.capture()
        sandbox.dispute(shopper.key, "OPEN")
        with pytest.raises(httpx.HTTPStatusError, match="409"):
            sandbox.dispute(shopper.key, "OPEN")

    def test_forgets_a_void_for_what_never_came_where_it_is_told_to(self, start):
        shopper = start(SANDBOX_FORGETS_VOIDS="yes")
        assert shopper.gateway.void(key="v", authorization_key=shopper.key).code == "nothing_to_void"
        assert shopper.authorize("tok_visa").outcome is Outcome.DONE  # it lands late
        assert shopper.money == (ChargeStatus.AUTHORIZED, 0, 0)


class TestTelling:
    def test_every_change_where_it_is_told_to_signed(self, start, sandbox, webhook_sink):
        shopper = start()
        shopper.authorize("tok_visa")
        shopper.capture()
        told = webhook_sink.wait_for(2)
        assert sorted(kinds(told)) == ["authorization.authorized", "authorization.captured"]
        for headers, body in webhook_sink.taken:
            notice = shopper.gateway.verify(body=body, headers=headers)
            assert notice.authorization_key == shopper.key
            with pytest.raises(NotGenuine):
                shopper.gateway.verify(body=body.replace(b"authorization", b"authorisation"), headers=headers)

    def test_nothing_that_an_answer_has_told_where_it_is_not(self, start, sandbox):
        shopper = start(SANDBOX_WEBHOOKS="late")
        shopper.authorize("tok_visa")
        shopper.capture()
        assert sandbox.events(shopper.key) == []

    def test_again_until_it_is_taken(self, start, sandbox, webhook_sink):
        webhook_sink.refusals = 2
        shopper = start()
        shopper.authorize("tok_visa")
        webhook_sink.wait_for(1)
        wait_until(lambda: [event["copies"] for event in sandbox.events(shopper.key)] == [0])
        (event,) = sandbox.events(shopper.key)
        assert (webhook_sink.turned_away, event["tries"], event["last_status"]) == (2, 3, "202")

    def test_when_the_shop_is_back(self, start, sandbox, webhook_sink, nobody_listens):
        shopper = start()
        sandbox.tell(nobody_listens)
        shopper.authorize("tok_visa")
        sandbox.kill()
        sandbox.tell(webhook_sink.url)
        assert kinds(webhook_sink.wait_for(1)) == ["authorization.authorized"]

    def test_twice_on_demand_under_one_id(self, start, webhook_sink):
        shopper = start(SANDBOX_WEBHOOK_DUPLICATES="1")
        shopper.authorize("tok_visa")
        first, second = webhook_sink.wait_for(2)
        assert first == second

    def test_in_any_order_on_demand(self, start, webhook_sink):
        server = start(SANDBOX_WEBHOOK_DISORDER_SECONDS="1").server
        shoppers = [Shopper(server) for _ in range(20)]
        with ThreadPoolExecutor(20) as pool:  # at once: all within the second by which each may be late
            list(pool.map(lambda shopper: shopper.authorize("tok_visa"), shoppers))
        arrived = [one["data"]["key"] for one in webhook_sink.wait_for(20)]
        made = [charge.key for charge in server.charges()]
        assert sorted(arrived) == sorted(made) == sorted(shopper.key for shopper in shoppers)
        assert arrived != made


class TestPages:
    def test_a_buyer_sees_what_they_confirm_and_comes_back(self, start):
        shopper = start()
        url = shopper.authorize("tok_requires_action", "https://shop.example/orders/1").action_url
        page = http().get(url)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "12.99 EUR" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        answer = answer_the_bank(url, "approve")
        assert (answer.status_code, answer.headers["location"]) == (303, "https://shop.example/orders/1")
        assert shopper.money == (ChargeStatus.AUTHORIZED, 0, 0)

    def test_what_is_decided_stays_so(self, start):
        shopper = start()
        url = shopper.authorize("tok_requires_action").action_url
        assert "declined" in answer_the_bank(url, "decline").text
        answer_the_bank(url, "approve")
        assert shopper.money == (ChargeStatus.DECLINED, 0, 0)
        assert "<button" not in http().get(url).text

    def test_nobody_confirms_by_guessing(self, start):
        shopper = start()
        url = shopper.authorize("tok_requires_action").action_url
        assert answer_the_bank(url[:-1] + ("0" if url[-1] != "0" else "1"), "approve").status_code == 404
        assert answer_the_bank(url, "maybe").status_code == 400
        assert http().post(url, json={"decision": "approve"}).status_code == 415
        assert shopper.money == (ChargeStatus.PENDING, 0, 0)

    @pytest.mark.parametrize("url", ["javascript:alert(1)", "/orders/1", "https://", "https://a b", 7])
    def test_a_buyer_is_sent_to_a_web_address_or_nowhere(self, start, url):
        reply = start().authorize("tok_requires_action", url)
        assert (reply.outcome, reply.code) == (Outcome.REFUSED, "invalid_request")

    def test_the_books_are_there_to_be_read(self, start):
        shopper = start()
        shopper.authorize("tok_visa")
        shopper.capture()
        books = http().get(f"{shopper.server.url}/").text
        assert shopper.key in books
        assert "CAPTURED" in books
        story = http().get(f"{shopper.server.url}/books/{shopper.key}").text
        assert "AUTHORIZE" in story
        assert "authorization.captured" in story
        assert http().get(f"{shopper.server.url}/books/nothing").status_code == 404

    def test_what_a_shop_sends_is_shown_as_text(self, start):
        shopper = start()
        shopper.key = "<script>alert(1)</script>"
        shopper.authorize("tok_visa")
        for path in ("/", f"/books/{shopper.key.replace('/', '%2F')}"):
            page = http().get(f"{shopper.server.url}{path}")
            assert page.status_code == 200
            assert "<script" not in page.text
            assert "&lt;script&gt;" in page.text

    def test_the_books_are_closed_where_it_is_told_to(self, start):
        server = start(SANDBOX_BOOKS="nobody").server
        assert http().get(f"{server.url}/").status_code == 401
