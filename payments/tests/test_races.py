"""Two hands on one payment at the same moment."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection, transaction

from payments import news, observations, rows, selectors, services
from payments.models import Attempt, Observation, Payment, Refund
from payments.services import NewPayment
from payments.tests.cashier import (
    GIVEN_BACK,
    HELD,
    LATER,
    LET_GO,
    NOW,
    TAKEN,
    attempts,
    begin,
    call,
    hear,
    key_of,
    open_payment,
    record,
    refunds,
    status,
)
from payments.tests.test_observations import see

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.core]


def at_once(*works):
    """Run the works in threads that start together; return what each returned, or the exception it raised."""
    start = threading.Barrier(len(works))

    def run(work):
        try:
            start.wait()
            return work()
        except Exception as error:  # noqa: BLE001 handed back to the test
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result() for future in [pool.submit(run, work) for work in works]]


def somebody_waits_for_us():
    """Return once another connection waits for a lock that this one holds."""
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            if cursor.fetchone()[0]:
                return


def test_ten_open_the_same_payment():
    request = NewPayment(uuid4(), "tok_visa", 1299, "EUR")

    def work():
        with transaction.atomic():
            return services.open([request], now=NOW)[0].id

    assert len(set(at_once(*[work] * 10))) == 1
    assert Payment.objects.count() == 1


def test_ten_open_the_same_payment_and_begin_its_first_call():
    request = NewPayment(uuid4(), "tok_visa", 1299, "EUR")

    def work(key):
        def run():
            with transaction.atomic():
                return services.begin_first([request], keys=[key], numbers=[1], now=NOW)[0]

        return run

    (first,) = [call for call in at_once(*[work(key) for key in "abcdefghij"]) if call is not None]
    assert Payment.objects.get().authorization_key == first.key
    assert Attempt.objects.get().idempotency_key == first.key


def test_who_waits_for_another_to_open_a_payment_begins_nothing():
    request = NewPayment(uuid4(), "tok_visa", 1299, "EUR")

    def work():
        with transaction.atomic():
            return services.begin_first([request], keys=["b"], numbers=[1], now=NOW)

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            services.begin_first([request], keys=["a"], numbers=[1], now=NOW)
            second = pool.submit(lambda: at_once(work)[0])
            somebody_waits_for_us()
        assert second.result() == [None]
    assert Payment.objects.get().authorization_key == Attempt.objects.get().idempotency_key == "a"


def test_ten_begin_the_same_call():
    order = open_payment()
    calls = at_once(*[lambda: begin("AUTHORIZE", order)] * 10)
    assert len({begun.attempt_id for begun in calls}) == 1
    assert attempts(order) == [("AUTHORIZE", 1, "", "")]


def test_two_keys_for_one_payment_and_only_one_is_begun():
    order = open_payment()
    results = at_once(*[lambda key=key: begin("AUTHORIZE", order, key=key) for key in "abcde"])
    begun = [result for result in results if not isinstance(result, Exception)]
    assert len(begun) == 1
    assert {type(result).__name__ for result in results if isinstance(result, Exception)} == {"KeyTaken"}
    assert Payment.objects.get().authorization_key == begun[0].key
    assert Attempt.objects.count() == 1


def test_a_void_that_waits_for_the_authorization_to_be_begun_sees_it():
    order = open_payment()
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            services.begin("AUTHORIZE", [order], keys=["k"], numbers=[1], now=NOW)
            void = pool.submit(lambda: at_once(lambda: begin("VOID", order))[0])
            somebody_waits_for_us()
        assert void.result().authorization_key == "k"
    assert status(order) == ("PENDING", 0, 0)


def test_an_authorization_that_waits_for_the_void_is_not_begun():
    order = open_payment()
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert services.begin("VOID", [order], keys=["v"], numbers=[1], now=NOW) == [None]
            authorization = pool.submit(lambda: at_once(lambda: begin("AUTHORIZE", order))[0])
            somebody_waits_for_us()
        assert authorization.result() is None
    assert status(order) == ("VOIDED", 0, 0)
    assert Attempt.objects.count() == 0


def test_ten_record_the_same_refund():
    order = open_payment()
    hear("AUTHORIZE", order, HELD)
    hear("CAPTURE", order, TAKEN)
    refund = begin("REFUND", order)
    views = at_once(*[lambda: record(refund, GIVEN_BACK)] * 10)
    assert {(view.status, view.refunded_minor) for view in views} == {("REFUNDED", 1299)}
    assert refunds(order) == [("DONE", 1299)]


def test_two_refunds_that_are_recorded_at_once_both_count():
    order = open_payment()
    hear("AUTHORIZE", order, HELD)
    hear("CAPTURE", order, TAKEN)
    parts = [(begin("REFUND", order, key=key), amount) for key, amount in (("a", 300), ("b", 999))]

    def work(refund, amount):
        reply = services.Reply(GIVEN_BACK.outcome, reference=f"re_{amount}", amount_minor=amount)
        return lambda: record(refund, reply)

    at_once(*[work(*part) for part in parts])
    assert status(order) == ("REFUNDED", 1299, 1299)
    assert sorted(refunds(order)) == [("DONE", 300), ("DONE", 999)]


def test_groups_that_overlap_in_different_order_do_not_deadlock():
    orders = [open_payment() for _ in range(20)]

    def work(mine):
        def run():
            with transaction.atomic():
                keys = [key_of(order, "AUTHORIZE") for order in mine]
                calls = services.begin("AUTHORIZE", mine, keys=keys, numbers=[1] * len(mine), now=NOW)
            answers = [(c, services.Reply(HELD.outcome, reference=f"ch_{c.reference_id}")) for c in calls]
            with transaction.atomic():
                return len(services.record(answers, now=LATER))

        return run

    assert at_once(*[work(orders), work(orders[::-1])] * 3) == [20] * 6
    assert {status(order) for order in orders} == {("AUTHORIZED", 0, 0)}
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"DONE"}
    assert Attempt.objects.values("idempotency_key").distinct().count() == 20


def test_workers_that_all_believe_the_payment_is_theirs_charge_once(sandbox_gateway):
    order = open_payment()
    replies = at_once(*[lambda: call("AUTHORIZE", order)] * 10)
    assert len({reply.reference for reply in replies}) == 1
    assert status(order) == ("AUTHORIZED", 0, 0)
    assert sandbox_gateway.movements(key_of(order, "AUTHORIZE")) == [("AUTHORIZE", 1299)]


@pytest.mark.parametrize("attempt", range(5))
def test_capture_against_undoing_ends_without_money_held(sandbox_gateway, attempt):
    """A worker that is slow with its capture, while another undoes the order: refund first, then void."""
    order = open_payment()
    call("AUTHORIZE", order)

    def undo():
        call("REFUND", order)
        if begin("VOID", order) and call("VOID", order).code == "already_captured":
            call("REFUND", order, number=2)

    at_once(lambda: call("CAPTURE", order), undo)
    (charge,) = sandbox_gateway.charges()
    assert charge.captured_minor == charge.refunded_minor
    assert charge.status in {"VOIDED", "REFUNDED"}
    assert status(order) in {("VOIDED", 0, 0), ("REFUNDED", 1299, 1299)}
    assert selectors.ledger_discrepancies(sandbox_gateway.charges()) == []
    assert Refund.objects.count() == 1


def test_late_money_is_given_back_by_two_without_a_deadlock(monkeypatch):
    """The news is locked before the payment: by who begins to give it back, and by who records that it was."""
    monkeypatch.setattr(observations, "_listeners", [])
    order = open_payment()
    begin("AUTHORIZE", order)
    hear("VOID", order, LET_GO)
    late = see(order, "AUTHORIZED")
    has_begun = threading.Event()

    def begins_too():
        with transaction.atomic():
            Observation.objects.select_for_update().get()
            has_begun.set()
            somebody_waits_for_us()
            rows.lock([late.payment_id])

    with ThreadPoolExecutor(1) as pool:
        others = []

        def send(_):
            others.append(pool.submit(at_once, begins_too))
            assert has_begun.wait(60)
            return LET_GO

        monkeypatch.setattr(services, "send", send)
        news.pass_on(now=LATER)
        assert others[0].result() == [None]
    assert status(order) == ("VOIDED", 0, 0)
    assert Observation.objects.earliest("id").status == "UNDONE"
