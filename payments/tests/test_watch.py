"""An authorization that lands after its void: found, given back, and both books right; by a bank that forgets voids."""

from datetime import timedelta
from itertools import pairwise

import pytest

from payments import news, observations, selectors, services, watch
from payments.gateways.base import ChargeStatus, Outcome, Reply
from payments.models import Observation, WatchedKey
from payments.testing import SandboxServer
from payments.tests import cashier
from payments.tests.cashier import LATER, begin, call, hear, key_of, open_payment, record, refunds, send, status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.core]


@pytest.fixture
def bank(tmp_path, settings):
    """A bank that takes an authorization although a void of its key came first, as most real ones would."""
    server = SandboxServer(tmp_path / "bank")
    server.start(SANDBOX_FORGETS_VOIDS="yes")
    settings.SANDBOX_GATEWAY_URL, settings.SANDBOX_API_KEY = server.url, server.api_key
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch):
    monkeypatch.setattr(observations, "_listeners", [])


def given_up():
    """An order whose authorization is still on its way when all is undone; return it with that call."""
    order = open_payment()
    on_its_way = begin("AUTHORIZE", order)
    record(on_its_way, cashier.NOBODY_KNOWS)
    assert call("VOID", order).code == "nothing_to_void"
    assert status(order) == ("VOIDED", 0, 0)
    return order, on_its_way


def books_agree(bank):
    return selectors.ledger_discrepancies(bank.charges()) == []


def test_what_lands_after_its_void_is_found_and_given_back(bank):
    order, on_its_way = given_up()
    assert watch.look_due(now=LATER) == 1  # nothing there yet
    assert send(on_its_way).outcome is Outcome.DONE  # it lands, and its answer reaches nobody
    assert not books_agree(bank)  # and whoever compares the books sees it
    assert watch.look_due(now=LATER) == 0  # not so soon
    assert watch.look_due(now=LATER + timedelta(seconds=5)) == 1
    assert status(order) == ("AUTHORIZED", 0, 0)
    assert books_agree(bank)  # both say that the money is held
    news.pass_on(now=LATER + timedelta(seconds=5))
    assert status(order) == ("VOIDED", 0, 0)
    assert bank.charge(key_of(order, "AUTHORIZE")).status is ChargeStatus.VOIDED
    assert books_agree(bank)
    assert not WatchedKey.objects.exists()  # one charge a key: there will be no other
    assert list(Observation.objects.values_list("kind", "status")) == [("authorized", "UNDONE"), ("voided", "NEW")]


def test_what_was_even_captured_is_refunded(bank):
    order, on_its_way = given_up()
    send(on_its_way)
    key = key_of(order, "AUTHORIZE")
    bank.gateway().capture(key="late", authorization_key=key, reference="", amount_minor=1299)
    watch.look_due(now=LATER)
    assert status(order) == ("CAPTURED", 1299, 0)
    news.pass_on(now=LATER)
    assert (status(order), refunds(order)) == (("REFUNDED", 1299, 1299), [("DONE", 1299)])
    assert books_agree(bank)


def test_what_is_captured_while_it_is_given_back_is_refunded_in_the_end(bank):
    order, on_its_way = given_up()
    send(on_its_way)
    watch.look_due(now=LATER)  # seen as AUTHORIZED
    key = key_of(order, "AUTHORIZE")
    bank.gateway().capture(key="late", authorization_key=key, reference="", amount_minor=1299)
    for minutes in range(3):
        news.pass_on(now=LATER + timedelta(minutes=minutes))
    assert status(order) == ("REFUNDED", 1299, 1299)
    assert books_agree(bank)


def test_it_is_given_back_once_however_often_that_is_tried(bank, settings, nobody_listens):
    order, on_its_way = given_up()
    send(on_its_way)
    watch.look_due(now=LATER)
    there, settings.SANDBOX_GATEWAY_URL = settings.SANDBOX_GATEWAY_URL, nobody_listens
    news.pass_on(now=LATER)
    (row,) = Observation.objects.all()
    assert (row.status, row.tries, row.last_error) == ("UNDOING", 1, "VOID: The payment gateway could not be reached.")
    settings.SANDBOX_GATEWAY_URL = there
    assert news.pass_on(now=LATER) == 0  # a pause
    news.pass_on(now=LATER + timedelta(minutes=1))
    assert status(order) == ("VOIDED", 0, 0)
    assert bank.movements(key_of(order, "AUTHORIZE")) == [("AUTHORIZE", 1299), ("VOID", 1299)]


def test_late_money_that_could_not_go_back_for_a_day_goes_back_when_a_person_asks(bank, settings, nobody_listens):
    order, on_its_way = given_up()
    send(on_its_way)
    watch.look_due(now=LATER)
    there, settings.SANDBOX_GATEWAY_URL = settings.SANDBOX_GATEWAY_URL, nobody_listens
    news.pass_on(now=LATER)
    row = news.parked().first()
    assert row is None
    later = LATER + timedelta(hours=25)
    news.pass_on(now=later)
    (row,) = news.parked()
    assert (row.due_at, row.tries) == (None, 2)
    settings.SANDBOX_GATEWAY_URL = there
    assert news.pass_on(now=later) == 0  # nothing happens by itself any more
    assert [news.try_again(row.id, actor="ada", now=later) for _ in range(2)] == [True, False]
    news.pass_on(now=later)
    assert status(order) == ("VOIDED", 0, 0)
    assert bank.movements(key_of(order, "AUTHORIZE")) == [("AUTHORIZE", 1299), ("VOID", 1299)]
    assert not news.parked().exists()


def test_who_wants_the_money_keeps_it(bank):
    observations.listen(lambda observed: observed.detail["late"])
    order, on_its_way = given_up()
    send(on_its_way)
    watch.look_due(now=LATER)
    news.pass_on(now=LATER)
    assert hear("CAPTURE", order, Reply(Outcome.UNKNOWN)).status == "AUTHORIZED"
    assert Observation.objects.get().status == "TOLD"


def test_a_straggler_that_comes_home_with_money_is_looked_into_at_once(bank):
    """Its worker was thought dead; the answer it brings is recorded, and moves nothing by itself."""
    order, on_its_way = given_up()
    WatchedKey.objects.all().delete()
    assert record(on_its_way, send(on_its_way)).status == "VOIDED"
    assert watch.look_due(now=LATER) == 1
    assert status(order) == ("AUTHORIZED", 0, 0)


def test_nobody_watches_what_is_known_for_sure(bank):
    voided, declined = open_payment(), open_payment(method="tok_declined")
    call("AUTHORIZE", voided)
    call("VOID", voided)
    call("AUTHORIZE", declined)
    never_asked = open_payment()
    assert begin("VOID", never_asked) is None
    lost = open_payment()
    record(begin("AUTHORIZE", lost), cashier.NOBODY_KNOWS)
    send(begin("AUTHORIZE", lost, number=2))
    assert call("VOID", lost).code == ""  # there was a charge, and it is voided: there will be no other
    assert not WatchedKey.objects.exists()


def test_a_refusal_after_a_lost_answer_is_watched_too(bank):
    order = open_payment()
    record(begin("AUTHORIZE", order), cashier.NOBODY_KNOWS)
    record(begin("AUTHORIZE", order, number=2), cashier.DECLINED)
    assert WatchedKey.objects.count() == 1
    send(begin("AUTHORIZE", order, number=3))
    watch.look_due(now=LATER)
    news.pass_on(now=LATER)
    assert status(order) == ("VOIDED", 0, 0)
    assert books_agree(bank)


def test_it_is_looked_for_less_and_less_often_until_the_gateway_forgets_the_key_and_once_after(bank):
    given_up()
    now, looks = LATER, []
    end = LATER + services.key_window("sandbox")
    while WatchedKey.objects.exists() and len(looks) < 100:
        now = max(now, WatchedKey.objects.get().due_at)
        assert watch.look_due(now=now) == 1
        looks.append(now)
    pauses = [b - a for a, b in pairwise(looks)]
    assert (pauses[0], max(pauses)) == (timedelta(seconds=5), timedelta(hours=1))
    assert looks[-1] >= end
    assert looks[-2] < end
    assert len(looks) < 40


def test_a_bank_that_does_not_answer_at_the_end_is_asked_until_it_does(bank, settings, nobody_listens):
    order, on_its_way = given_up()
    after = LATER + services.key_window("sandbox") + timedelta(hours=1)
    there, settings.SANDBOX_GATEWAY_URL = settings.SANDBOX_GATEWAY_URL, nobody_listens
    watch.look_due(now=after)
    for _ in range(20):
        after = WatchedKey.objects.get().due_at
        assert watch.look_due(now=after) == 1
    assert WatchedKey.objects.get().due_at - after == timedelta(hours=1)  # and less and less often
    settings.SANDBOX_GATEWAY_URL = there
    send(on_its_way)
    after += timedelta(hours=1)
    watch.look_due(now=after)
    news.pass_on(now=after)
    assert status(order) == ("VOIDED", 0, 0)
    assert not WatchedKey.objects.exists()
