"""Returns, measured: what waits for whom, what is late, and their share of what was delivered."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.utils.html import strip_tags

from fulfillment.testing import carrier_server, sandbox_carrier  # noqa: F401
from marketplace.kernel.clock import database_now
from marketplace.operations import returns
from marketplace.operations.metrics import kept
from marketplace.operations.returns import ReturnRate
from marketplace.operations.tests.test_metrics import scrape
from orders.models import Return
from orders.returns import services
from orders.returns.services import Back
from tests.shop import delivered

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = {"name": "Ada", "line1": "Hauptstraße 1", "postal_code": "10115", "city": "Berlin", "country": "DE"}


@pytest.fixture
def order(shop, sandbox_carrier):  # noqa: F811
    """A delivered order, of two laptops."""
    shop.stocked("laptop-9", 4)
    return delivered(shop, shop.order("laptop-9", 2, address=ADDRESS), sandbox_carrier)


@pytest.fixture
def read(client, staff):
    """The dashboard's words, and what Prometheus reads."""

    def now():
        kept.forget()
        main = staff.get("/admin/").content.decode().partition('id="content"')[2]
        return re.sub(r"\s+", " ", unescape(strip_tags(main.replace("<", " <")))), scrape(client)

    return now


def ask(order):
    return services.request(order.id, lines={"laptop-9": 1}, reason="Too loud.", actor="", now=database_now())


def decide(wish, verdict="APPROVED"):
    services.decide(wish.id, verdict, actor="ada", reason="Fine.", now=database_now())


def receive(wish):
    services.receive(wish.id, back={"laptop-9": Back(restocked=1)}, reason="As new.", actor="ada", now=database_now())


def test_without_any(read):
    words, samples = read()
    assert "Returns, now none to decide 0 approved and on the way; 0 here Come back, 30 d \N{EN DASH} 0 of 0" in words
    assert (samples["returns_open", "decision"], samples["returns_coming_long",]) == (0, 0)
    assert not samples.keys() & {("returns_time_left_seconds",), ("returns_unpaid_seconds",), ("return_ratio",)}


def test_from_the_wish_to_the_money(shop, order, read, settings, sandbox_server):
    wish = ask(order)
    words, samples = read()
    assert "Returns, now 1 to decide the first ends in 14 d if nobody does; 0 approved" in words
    assert "Come back, 30 d 100.0 % 1 of 1 parcel delivered" in words
    assert samples["returns_open", "decision"] == samples["return_ratio",] == 1
    assert samples["returns_time_left_seconds",] == pytest.approx(14 * 86400, abs=120)

    decide(wish)
    assert read()[1]["returns_open", "parcel"] == 1, "also before the saga has heard of it"
    shop.work()
    words, samples = read()
    assert "Returns, now none to decide 1 approved and on the way; 0 here" in words
    assert (samples["returns_open", "decision"], samples["returns_open", "parcel"]) == (0, 1)

    sandbox_server.stop()
    receive(wish)
    shop.work()
    words, samples = read()
    assert re.search(
        r"0 approved and on the way; 1 here, the first came (\d+ s ago|now) and its money is not back ", words
    )
    assert (samples["returns_open", "parcel"], samples["returns_open", "money"]) == (0, 1)
    assert 0 <= samples["returns_unpaid_seconds",] < 120


def test_what_is_late_is_seen(shop, order, read, staff, settings):
    wish = ask(order)
    Return.objects.update(answer_by=database_now() + timedelta(days=settings.RETURN_ANSWER_DAYS / 5))
    assert re.search(r"ops-warning-text[^>]*>1 to decide", staff.get("/admin/").content.decode())

    decide(wish)
    shop.work()
    Return.objects.update(arrive_by=database_now() + timedelta(days=settings.RETURN_PARCEL_DAYS * 0.4))
    words, samples = read()
    assert "1 approved and on the way, 1 for long" in words
    assert samples["returns_coming_long",] == 1

    receive(wish)
    Return.objects.update(received_at=database_now() - timedelta(hours=2))
    html = staff.get("/admin/").content.decode()
    assert "?state=RECEIVED" in html
    assert "came 2 h ago and its money is not back: does the bank answer" in re.sub(r"<[^>]+>", "", html)
    assert re.search(r"ops-danger-text[^>]*>none to decide", html)


def test_what_was_withdrawn_or_is_long_ago_is_no_part_of_the_rate(shop, order):
    services.withdraw(ask(order).id, actor="", now=database_now())
    shop.work()
    assert returns.return_rate() == ReturnRate(delivered=1, returned=0)

    decide(ask(order), "REJECTED")
    shop.work()
    assert returns.return_rate() == ReturnRate(delivered=1, returned=1)
    assert returns.return_rate(window=timedelta(0)) == ReturnRate(delivered=0, returned=0)


def test_each_measure_is_one_query(order, django_assert_num_queries):
    ask(order)
    now = database_now()
    with django_assert_num_queries(2):
        returns.open_returns(now=now)
        returns.return_rate()
