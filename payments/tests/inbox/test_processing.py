"""Looking into webhooks, with the real bank: duplicates, any order, before the reply, and all that is in the way."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, connections

from marketplace.inbox import FIRST_PAUSE, KEPT
from marketplace.kernel.clock import database_now
from marketplace.sandbox.testing import wait_until
from payments import observations, services, tasks
from payments.gateways.base import Outcome, Reply
from payments.inbox import processing, receiving
from payments.inbox.errors import UnknownEvent
from payments.models import Observation, WebhookEvent
from payments.testing import answer_the_bank, signed_webhook
from payments.tests.cashier import LATER, begin, call, hear, key_of, open_payment, record, refunds, send, status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.core]


@pytest.fixture(autouse=True)
def _bank(sandbox_gateway, redis):
    """Every test here asks the real bank."""


@pytest.fixture
def heard(monkeypatch):
    told = []
    listener = told.append
    monkeypatch.setattr(observations, "_listeners", [])
    observations.listen(listener)
    return told


def arrives(order, *, event="evt_1"):
    headers, body = signed_webhook(key_of(order, "AUTHORIZE"), event_id=event)
    return receiving.receive("sandbox", body=body, headers=headers)


def came_of(event="evt_1"):
    row = WebhookEvent.objects.get(event_id=event)
    return row.status, row.outcome


def later(**by):
    """So much time passes for the webhooks that wait."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE payments_webhookevent SET due_at = due_at - %(by)s, given_up_at = given_up_at - %(by)s",
            {"by": timedelta(**by)},
        )


def rests(since):
    """Whether the webhook is let alone for a while, counted from that moment or later."""
    return WebhookEvent.objects.get().due_at >= since + FIRST_PAUSE


def asks_the_buyer():
    """An order whose buyer has to confirm; return it with the page on which they do."""
    order = open_payment(method="tok_requires_action")
    reply = call("AUTHORIZE", order)
    assert reply.outcome is Outcome.PENDING
    return order, reply.action_url


class TestWhatComesOfIt:
    @pytest.mark.parametrize(
        ("decision", "expected", "kind"),
        [("approve", "AUTHORIZED", "authorized"), ("decline", "FAILED", "declined")],
    )
    def test_the_payment_follows_what_the_bank_believes(self, heard, decision, expected, kind):
        order, page = asks_the_buyer()
        answer_the_bank(page, decision)
        arrives(order)
        assert processing.process_due() == 1
        assert status(order) == (expected, 0, 0)
        assert came_of() == ("DONE", f"The payment is {expected}.")
        assert [(one.kind, one.event_id, one.reference_id) for one in heard] == [(kind, "evt_1", order)]

    def test_what_it_says_is_not_believed(self, heard):
        order, _ = asks_the_buyer()
        arrives(order)  # "authorization.authorized", and genuine; but the bank says that it is pending
        processing.process_due()
        assert status(order) == ("PENDING", 0, 0)
        assert (came_of(), heard) == (("DONE", "No news."), [])

    def test_any_number_of_them_is_one_piece_of_news(self, heard):
        order, page = asks_the_buyer()
        answer_the_bank(page, "approve")
        for n in range(5):
            arrives(order, event=f"evt_{n}")
            arrives(order, event=f"evt_{n}")
        assert processing.process_due() == 5
        assert [one.kind for one in heard] == ["authorized"]
        assert {row.status for row in WebhookEvent.objects.all()} == {"DONE"}

    def test_two_that_look_into_the_same_at_once_tell_it_once(self, heard):
        orders = [asks_the_buyer() for _ in range(4)]
        for n, (order, page) in enumerate(orders):
            answer_the_bank(page, "approve")
            for copy in "ab":
                arrives(order, event=f"evt_{n}{copy}")

        def work(_):
            try:
                return processing.process_due(limit=3)
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            done = sum(pool.map(work, range(8)))
        processing.process_due()
        assert done == 8
        assert sorted(one.reference_id for one in heard) == sorted(order for order, _ in orders)

    def test_an_old_one_after_a_new_one_takes_nothing_back(self, heard):
        order = open_payment(method="tok_visa")
        call("AUTHORIZE", order)
        call("CAPTURE", order)
        arrives(order, event="of the authorization")
        processing.process_due()
        assert status(order) == ("CAPTURED", 1299, 0)
        assert heard == []

    def test_the_bank_takes_the_money_back(self, sandbox_gateway, heard):
        order = open_payment(method="tok_visa")
        call("AUTHORIZE", order)
        call("CAPTURE", order)
        sandbox_gateway.reverse(key_of(order, "AUTHORIZE"))
        arrives(order)
        processing.process_due()
        assert status(order) == ("FAILED", 1299, 0)
        assert [(one.kind, one.payment.reversed_minor) for one in heard] == [("reversed", 1299)]

    def test_a_refund_at_the_banks_own_counter_is_on_our_books(self, sandbox_gateway, heard):
        order = open_payment(method="tok_visa")
        call("AUTHORIZE", order)
        call("CAPTURE", order)
        by_hand = sandbox_gateway.gateway()
        by_hand.refund(key=str(uuid4()), authorization_key=key_of(order, "AUTHORIZE"), amount_minor=299)
        arrives(order)
        processing.process_due()
        assert status(order) == ("PARTIALLY_REFUNDED", 1299, 299)
        assert [(one.kind, one.detail["by_bank"]) for one in heard] == [("refunded", True)]


class TestBeforeTheReply:
    def test_the_webhook_wins_and_the_reply_changes_nothing(self, heard):
        order = open_payment(method="tok_requires_action")
        begun = begin("AUTHORIZE", order)
        reply = send(begun)
        answer_the_bank(reply.action_url, "approve")
        arrives(order)
        processing.process_due()
        assert status(order) == ("AUTHORIZED", 0, 0)
        assert record(begun, reply).status == "AUTHORIZED"
        assert [one.kind for one in heard] == ["authorized"]

    def test_the_reply_wins_and_the_webhook_is_no_news(self, heard):
        order = open_payment(method="tok_visa")
        call("AUTHORIZE", order)
        arrives(order)
        processing.process_due()
        assert (status(order), came_of(), heard) == (("AUTHORIZED", 0, 0), ("DONE", "No news."), [])

    @pytest.mark.parametrize("meanwhile", ["VOID", "CAPTURE"])
    def test_an_answer_that_comes_in_while_we_look_makes_us_look_again(self, monkeypatch, heard, meanwhile):
        """What was seen is older than the answer: without the second look, what was voided would be held again."""
        order = open_payment(method="tok_visa")
        call("AUTHORIZE", order)
        looks = []

        def look(payment_ids, look=observations.sights):
            seen = look(payment_ids)
            if not looks:
                call(meanwhile, order)
            looks.append(seen)
            return seen

        monkeypatch.setattr(processing, "sights", look)
        arrives(order)
        processing.process_due()
        assert len(looks) == 2
        assert status(order)[0] == {"VOID": "VOIDED", "CAPTURE": "CAPTURED"}[meanwhile]
        assert (came_of(), heard) == (("DONE", "No news."), [])


class TestWhatIsInTheWay:
    def test_one_about_nothing_that_we_know_is_parked_and_looked_for_again(self, heard):
        order = uuid4()
        arrives(order)
        before = database_now()
        assert processing.process_due() == 1
        assert came_of() == ("PARKED", "Nobody here knows this charge.")
        assert rests(before)
        open_payment(order, method="tok_visa")
        send(begin("AUTHORIZE", order))  # and its answer is lost
        later(seconds=3)
        assert processing.process_due() == 1
        assert (came_of()[0], status(order)) == ("DONE", ("AUTHORIZED", 0, 0))

    def test_it_is_looked_for_less_and_less_often_for_a_day(self):
        arrives(uuid4())
        pauses = []
        for _ in range(200):
            processing.process_due()
            row = WebhookEvent.objects.get()
            if row.due_at is None:
                break
            with connection.cursor() as cursor:
                cursor.execute("SELECT due_at - clock_timestamp() FROM payments_webhookevent")
                pauses.append(cursor.fetchone()[0])
            later(seconds=pauses[-1].total_seconds() + 0.01)
        assert row.status == "FAILED"
        assert pauses[0] < timedelta(seconds=3)
        assert max(pauses) <= timedelta(minutes=15)
        assert timedelta(hours=23) < sum(pauses, timedelta()) <= timedelta(hours=24, minutes=1)

    def test_a_bank_that_does_not_answer_is_asked_again(self, settings, nobody_listens, heard):
        order, page = asks_the_buyer()
        answer_the_bank(page, "approve")
        arrives(order)
        bank, settings.SANDBOX_GATEWAY_URL = settings.SANDBOX_GATEWAY_URL, nobody_listens
        before = database_now()
        processing.process_due()
        assert came_of() == ("RECEIVED", "The payment gateway is not answering.")
        settings.SANDBOX_GATEWAY_URL = bank
        assert rests(before)
        later(seconds=3)
        processing.process_due()
        assert (came_of()[0], status(order)) == ("DONE", ("AUTHORIZED", 0, 0))

    def test_a_refund_of_ours_is_recognised_before_its_answer_is_here(self, heard):
        order = open_payment(method="tok_visa")
        call("AUTHORIZE", order)
        call("CAPTURE", order)
        begun = begin("REFUND", order)
        reply = send(begun)
        arrives(order)
        processing.process_due()
        assert (came_of()[0], status(order)) == ("DONE", ("REFUNDED", 1299, 1299))
        record(begun, reply)
        assert (status(order), refunds(order)) == (("REFUNDED", 1299, 1299), [("DONE", 1299)])
        assert [(one.kind, one.detail["by_bank"]) for one in heard] == [("refunded", False)]

    def test_one_that_fails_stops_no_other(self, monkeypatch, heard):
        (bad, page), (good, other_page) = asks_the_buyer(), asks_the_buyer()
        answer_the_bank(page, "approve")
        answer_the_bank(other_page, "approve")
        arrives(bad, event="evt_bad")
        arrives(good, event="evt_good")

        def observe(sighting, observe=services.observe, **rest):
            if sighting.payment.reference_id == bad:
                raise ZeroDivisionError("unforeseen")
            return observe(sighting, **rest)

        monkeypatch.setattr(services, "observe", observe)
        processing.process_due()
        assert came_of("evt_bad") == ("RECEIVED", "ZeroDivisionError: unforeseen")
        assert (came_of("evt_good")[0], status(good)) == ("DONE", ("AUTHORIZED", 0, 0))
        assert status(bad) == ("PENDING", 0, 0)

    def test_a_worker_that_dies_only_delays(self, settings, heard):
        order, page = asks_the_buyer()
        answer_the_bank(page, "approve")
        arrives(order)
        claimed = processing.INBOX.claim(10)  # and it is never heard of again
        assert len(claimed) == 1
        assert processing.process_due() == 0
        later(seconds=settings.WEBHOOK_LEASE_SECONDS + 1)
        assert processing.process_due() == 1
        assert (came_of()[0], status(order)) == ("DONE", ("AUTHORIZED", 0, 0))

    def test_a_worker_that_was_thought_dead_writes_nothing_over_it(self, settings):
        arrives(uuid4())
        (stale,) = processing.INBOX.claim(10)
        later(seconds=settings.WEBHOOK_LEASE_SECONDS + 1)
        processing.process_due()
        before = WebhookEvent.objects.values().get()
        processing.INBOX.done(stale, "too late", now=LATER)
        assert WebhookEvent.objects.values().get() == before


class TestReplay:
    def test_one_that_somebody_has_in_hand_is_left_to_who_has_it_next(self):
        arrives(uuid4())
        (stale,) = processing.INBOX.claim(10)
        processing.replay(stale.pk, actor="staff", now=database_now())
        processing.INBOX.claim(10)  # by the next worker
        before = WebhookEvent.objects.values().get()
        processing.INBOX.again(stale, "PARKED", "too late")
        assert WebhookEvent.objects.values().get() == before

    def test_looks_at_how_things_stand_now(self, sandbox_gateway, heard):
        order, page = asks_the_buyer()
        answer_the_bank(page, "approve")
        arrives(order)
        processing.process_due()
        sandbox_gateway.reverse(key_of(order, "AUTHORIZE"))  # and nobody tells us
        event = WebhookEvent.objects.get()
        processing.replay(event.pk, actor="staff", now=LATER)
        processing.process_due()
        event.refresh_from_db()
        assert (event.status, event.outcome, event.replayed_by) == ("DONE", "The payment is VOIDED.", "staff")
        assert [(one.kind, one.event_id) for one in heard] == [("authorized", "evt_1"), ("voided", "evt_1#2")]

    def test_gives_one_that_was_given_up_another_day(self, heard):
        order = uuid4()
        arrives(order)
        later(hours=25)
        processing.process_due()
        assert came_of()[0] == "FAILED"
        hear("AUTHORIZE", open_payment(order), Reply(Outcome.UNKNOWN))
        processing.replay(WebhookEvent.objects.get().pk, actor="staff", now=LATER)
        processing.process_due()
        assert came_of() == ("DONE", "No news.")

    def test_knows_what_it_does_not_know(self):
        with pytest.raises(UnknownEvent):
            processing.replay(7, actor="staff", now=LATER)


def test_what_is_done_with_for_a_month_is_forgotten_and_nothing_else(heard):
    known, waiting = open_payment(method="tok_visa"), uuid4()
    call("AUTHORIZE", known)
    arrives(known, event="evt_done")
    arrives(waiting, event="evt_waiting")
    processing.process_due()
    now = WebhookEvent.objects.get(event_id="evt_done").processed_at
    assert processing.forget(now=now + KEPT, limit=10) == 0
    assert tasks.forget_webhooks() == 0
    assert processing.forget(now=now + KEPT + timedelta(seconds=1), limit=10) == 1
    assert WebhookEvent.objects.get().event_id == "evt_waiting"


@pytest.fixture
def short_connections(monkeypatch):
    """The server's threads close their connections after each request: nobody else would, and the test is over soon."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)


def test_the_bank_tells_the_shop_at_its_own_address(sandbox_server, short_connections, live_server, settings, heard):
    """All of it, twice each: signed and sent by the bank, taken in by the shop, and looked into."""
    settings.ALLOWED_HOSTS = ["*"]
    sandbox_server.tell(f"{live_server.url}/api/payments/webhooks/sandbox", SANDBOX_WEBHOOK_DUPLICATES="1")
    order, page = asks_the_buyer()
    answer_the_bank(page, "approve")
    call("CAPTURE", order)
    key = key_of(order, "AUTHORIZE")
    wait_until(lambda: [e["copies"] for e in sandbox_server.events(key)] == [0, 0])
    assert WebhookEvent.objects.count() == 2
    processing.process_due()
    assert status(order) == ("CAPTURED", 1299, 0)
    assert Observation.objects.count() == len(heard)
