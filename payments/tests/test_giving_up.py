"""An order that is paid by a second payment: one is alive, the first is given up for good, never are two captured."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction

from payments import news, observations, selectors, services, watch
from payments.gateways.base import ChargeStatus, Outcome
from payments.models import Attempt, Payment, WatchedKey
from payments.services import NewPayment
from payments.testing import SandboxServer
from payments.tests.cashier import (
    DECLINED,
    HELD,
    LATER,
    LET_GO,
    NOBODY_KNOWS,
    TAKEN,
    begin,
    call,
    hear,
    key_of,
    open_payment,
    record,
    send,
    status,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.core]


@pytest.fixture
def bank(tmp_path, settings):
    """A bank that lets an authorization land whatever was said of its key before."""
    server = SandboxServer(tmp_path / "bank")
    server.start(SANDBOX_FORGETS_VOIDS="yes")
    settings.SANDBOX_GATEWAY_URL, settings.SANDBOX_API_KEY = server.url, server.api_key
    yield server
    server.stop()


@pytest.fixture
def wanted(monkeypatch):
    """Somebody who listens, and takes all late money that he can get; the news that he heard."""
    heard = []
    monkeypatch.setattr(observations, "_listeners", [lambda observed: heard.append(observed.kind) or True])
    return heard


def give_up(order: UUID) -> selectors.PaymentView:
    with transaction.atomic():
        return services.give_up([order], now=LATER)[order]


def open_second(order: UUID, method: str = "tok_visa") -> None:
    with transaction.atomic():
        services.open([NewPayment(order, method, 1299, "EUR", sequence=2)], now=LATER)


def payment(order: UUID, sequence: int) -> Payment:
    return Payment.objects.get(reference_id=order, sequence=sequence)


def declined() -> UUID:
    order = open_payment()
    hear("AUTHORIZE", order, DECLINED)
    return order


def test_what_was_declined_is_given_up_once_and_its_key_is_watched():
    order = declined()
    view = give_up(order)
    assert (view.status, view.given_up_at) == ("FAILED", LATER)
    assert payment(order, 1).given_up_at == LATER
    assert WatchedKey.objects.filter(payment_id=view.id).exists()
    assert give_up(order).given_up_at == LATER


def test_what_the_bank_let_go_of_is_given_up_too():
    order = open_payment()
    hear("AUTHORIZE", order, HELD)
    hear("VOID", order, LET_GO)
    assert give_up(order).given_up_at is not None


@pytest.mark.parametrize("answer", [None, NOBODY_KNOWS, HELD])
def test_what_may_hold_money_is_never_given_up(answer):
    order = open_payment()
    if answer is not None:
        hear("AUTHORIZE", order, answer)
    assert give_up(order).given_up_at is None
    assert payment(order, 1).given_up_at is None


@pytest.mark.parametrize("answer", [None, NOBODY_KNOWS, HELD, DECLINED])
def test_there_is_no_second_payment_beside_a_living_one(answer):
    order = open_payment()
    if answer is not None:
        hear("AUTHORIZE", order, answer)
    with pytest.raises(IntegrityError, match="has to wait until the one before it is given up"):
        open_second(order)
    assert Payment.objects.filter(reference_id=order).count() == 1


def test_there_is_no_third_payment_without_a_second():
    order = declined()
    give_up(order)
    with pytest.raises(IntegrityError, match="has to wait"), transaction.atomic():
        services.open([NewPayment(order, "tok_visa", 1299, "EUR", sequence=3)], now=LATER)


def test_giving_up_is_for_good():
    order = declined()
    give_up(order)
    payments = Payment.objects.filter(reference_id=order)
    with pytest.raises(IntegrityError, match="for good"):
        payments.update(given_up_at=None)


def test_a_second_payment_is_opened_once_however_often():
    order = declined()
    give_up(order)

    def work() -> None:
        open_second(order)

    with ThreadPoolExecutor(4) as pool:
        [one.result() for one in [pool.submit(work) for _ in range(4)]]
    assert Payment.objects.filter(reference_id=order).count() == 2


@pytest.mark.parametrize("operation", ["AUTHORIZE", "CAPTURE", "VOID", "REFUND"])
def test_nothing_is_begun_of_a_payment_that_was_given_up(operation):
    order = declined()
    view = give_up(order)
    before = Attempt.objects.count()
    assert begin(operation, order, number=7) is None
    if operation in ("AUTHORIZE", "CAPTURE"):
        with transaction.atomic():
            assert services.begin_for(operation, view.id, key="another", number=1, now=LATER) is None
    assert Attempt.objects.count() == before


def test_the_first_payment_is_not_authorized_again_by_its_own_key():
    order = declined()
    give_up(order)
    open_second(order)
    assert begin("AUTHORIZE", order, key="second").payment_id == payment(order, 2).id
    with pytest.raises(services.KeyTaken), transaction.atomic():
        services.begin("CAPTURE", [order], keys=[key_of(order, "AUTHORIZE")], numbers=[1], now=LATER)


@pytest.mark.parametrize("paid_first", [True, False])
@pytest.mark.parametrize("second_is_captured", [True, False])
def test_two_payments_that_both_succeed_in_either_order(bank, wanted, paid_first, second_is_captured):
    """A first request that was slow lands after its key was declined: the second payment is the only one captured."""
    order = open_payment()
    on_its_way = begin("AUTHORIZE", order)
    record(on_its_way, NOBODY_KNOWS)
    hear("AUTHORIZE", order, DECLINED, number=2)
    give_up(order)
    open_second(order)

    def pay() -> None:
        begun = begin("AUTHORIZE", order, key="second")
        record(begun, send(begun))
        if second_is_captured:
            begun = begin("CAPTURE", order, key="second:capture")
            assert begun.payment_id == payment(order, 2).id
            record(begun, send(begun))

    def land() -> None:
        assert send(on_its_way).outcome is Outcome.DONE
        watch.look_due(now=LATER + timedelta(hours=1))
        assert payment(order, 1).status == "AUTHORIZED"

    for happens in (pay, land) if paid_first else (land, pay):
        happens()
    news.pass_on(now=LATER + timedelta(hours=1))

    assert "authorized" in wanted  # he was told, and wanted it, and did not get it
    assert (payment(order, 1).status, payment(order, 1).captured_minor) == ("VOIDED", 0)
    assert bank.charge(key_of(order, "AUTHORIZE")).status is ChargeStatus.VOIDED
    expected = ChargeStatus.CAPTURED if second_is_captured else ChargeStatus.AUTHORIZED
    assert bank.charge("second").status is expected
    assert selectors.ledger_discrepancies(bank.charges()) == []
    assert status(order)[0] == expected.name


def test_late_money_that_the_bank_has_taken_at_once_is_refunded(bank, wanted):
    order = open_payment()
    on_its_way = begin("AUTHORIZE", order)
    record(on_its_way, NOBODY_KNOWS)
    hear("AUTHORIZE", order, DECLINED, number=2)
    give_up(order)
    assert send(on_its_way).outcome is Outcome.DONE
    key = key_of(order, "AUTHORIZE")
    bank.gateway().capture(key="by-the-bank", authorization_key=key, reference="", amount_minor=1299)
    watch.look_due(now=LATER + timedelta(hours=1))
    news.pass_on(now=LATER + timedelta(hours=1))
    assert bank.movements(key) == [("AUTHORIZE", 1299), ("CAPTURE", 1299), ("REFUND", 1299)]
    assert (payment(order, 1).status, selectors.ledger_discrepancies(bank.charges())) == ("REFUNDED", [])


def test_who_looks_while_it_is_given_up_has_to_look_again(bank):
    """What was seen before says nothing of the payment as it is now."""
    order = open_payment()
    call("AUTHORIZE", order)
    sighting = observations.sight(payment(order, 1).id)
    hear("VOID", order, LET_GO)
    give_up(order)
    with pytest.raises(services.SightingOutdated), transaction.atomic():
        services.observe(sighting, event_id="evt_1", occurred_at=LATER, now=LATER)


def test_taken_money_is_no_reason_to_give_up():
    order = open_payment()
    hear("AUTHORIZE", order, HELD)
    hear("CAPTURE", order, TAKEN)
    assert give_up(order).given_up_at is None
