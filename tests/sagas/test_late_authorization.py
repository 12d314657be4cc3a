"""An authorization that is still on its way when its order has given up, and lands after the void: found, dealt with.

The network holds the requests; the bank is one that does not remember a void of what it has never seen, as most don't.
"""

from datetime import timedelta

import pytest

from marketplace.kernel.clock import database_now
from marketplace.operations.auditor import audit, gateway
from orders import services
from payments import news, selectors, watch
from payments.models import WatchedKey
from payments.testing import LossyProxy, SandboxServer
from tests.shop import Shop

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop(tmp_path, settings, monkeypatch):
    """A shop whose bank forgets voids, and has books of this test's own."""
    server = SandboxServer(tmp_path / "bank")
    server.start(SANDBOX_FORGETS_VOIDS="yes")
    settings.SANDBOX_GATEWAY_URL, settings.SANDBOX_API_KEY = server.url, server.api_key
    settings.SAGA_RETRY_DELAY_SECONDS = 0.0
    settings.SAGA_BREAKER_FAILURES = 1000
    monkeypatch.setattr(gateway, "PAUSE_SECONDS", 0.0)
    yield Shop(server)
    server.stop()


@pytest.fixture
def network(shop, settings):
    """The way to the bank, which holds requests when it is told to."""
    proxy = LossyProxy(shop.gateway.url)
    settings.SANDBOX_GATEWAY_URL = proxy.url
    yield proxy
    proxy.close()


def given_up(shop, network):
    """An order that has given up on its payment, whose requests are all still on their way."""
    shop.stocked("laptop", 1)
    network.hold_requests(3)
    order = shop.bought("laptop")
    assert (order.status, order.failure_code, order.payment.status) == ("FAILED", "payment_timeout", "VOIDED")
    assert shop.levels("laptop") == (1, 0)
    assert (shop.gateway.charges(), WatchedKey.objects.count()) == ([], 1)
    assert audit().findings == []
    return order


def look(shop):
    """The periodic task's look, and what follows from it."""
    now = database_now() + timedelta(minutes=1)
    assert watch.look_due(now=now) == 1
    news.pass_on(now=now)
    shop.work()


def test_money_that_lands_after_its_void_is_seen_by_the_auditor_until_it_is_dealt_with(shop, network):
    order = given_up(shop, network)
    assert network.deliver_held() == 3  # under one key: one charge
    (charge,) = shop.gateway.charges()
    assert (charge.status, charge.amount_minor) == ("AUTHORIZED", 1000)
    assert [finding.invariant for finding in audit().findings] == ["ledger_matches_gateway"]

    look(shop)

    assert audit().findings == []
    assert selectors.ledger_discrepancies(shop.gateway.charges()) == []
    assert not WatchedKey.objects.exists()
    assert shop.now(order).status == "CONFIRMED"  # only time had ended it, and the unit was still there
    assert shop.money(order) == [("AUTHORIZE", 1000), ("CAPTURE", 1000)]
    assert shop.levels("laptop") == (0, 0)


def test_it_goes_back_where_the_unit_is_gone(shop, network):
    order = given_up(shop, network)
    assert shop.bought("laptop").status == "CONFIRMED"
    network.deliver_held()

    look(shop)

    assert (shop.now(order).status, shop.money(order)) == ("FAILED", [("AUTHORIZE", 1000), ("VOID", 1000)])
    assert audit().findings == []
    assert shop.levels("laptop") == (0, 0)


def test_it_goes_back_where_the_buyer_had_cancelled(shop, network, settings):
    settings.SAGA_RETRY_DELAY_SECONDS = 60.0  # between two attempts there is time to cancel
    shop.stocked("laptop", 1)
    network.hold_requests(3)
    order = shop.bought("laptop")
    services.cancel(order.id, actor="user-1", now=database_now())
    network.hold_requests(0)
    shop.work()
    assert (shop.now(order).status, WatchedKey.objects.count()) == ("CANCELLED", 1)
    assert network.deliver_held() >= 1

    look(shop)

    assert (shop.now(order).status, shop.money(order)) == ("CANCELLED", [("AUTHORIZE", 1000), ("VOID", 1000)])
    assert audit().findings == []
    assert shop.levels("laptop") == (1, 0)
