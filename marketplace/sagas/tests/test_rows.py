"""The claim, the hold and the renewal, with two connections where it takes two."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from marketplace.kernel.clock import database_now
from marketplace.sagas import rows
from marketplace.sagas.models import SagaInstance, Status
from marketplace.sagas.tests.driving import (
    QUEUES,
    begin,
    begin_one,
    change,
    claimed_ids,
    committing,
    run_sql,
    saga,
    until_true,
    waiting_for_locks,
)
from marketplace.sagas.tests.trip import SplitTrip

Beside = Callable[..., "Future[Any]"]
LEASE = timedelta(seconds=15)


def in_transaction(function: Callable[..., Any], *arguments: Any) -> Any:
    with transaction.atomic():
        return function(*arguments)


@pytest.mark.django_db
def test_a_claim_takes_what_is_due_in_its_queues_oldest_due_first() -> None:
    first, second, third, later, _theirs = begin(times=5)
    theirs = begin_one(SplitTrip)
    now = database_now()
    for saga_id, due_at in ((second, 2), (first, 3), (third, 1), (later, -60), (_theirs, 5)):
        change(saga_id, due_at=now - timedelta(seconds=due_at))
    change(_theirs, due_at=None, status=Status.COMPLETED, completed_at=now)
    assert claimed_ids(["orders"]) == [first, second, third]
    assert claimed_ids(["orders"], limit=2) == [first, second]
    assert claimed_ids(["inventory"]) == [theirs]
    assert claimed_ids(["payments"]) == []
    assert set(claimed_ids(["payments", "inventory", "orders"])) == {first, second, third, theirs}


@pytest.mark.django_db
def test_one_saga_can_be_claimed_alone_if_it_is_due() -> None:
    due, not_due = begin(times=2)
    change(not_due, due_at=database_now() + LEASE)
    assert [run.ticket.id for run in rows.claim_one(due)[0]] == [due]
    assert rows.claim_one(not_due) == ([], None)


@pytest.mark.core
@committing
def test_two_claims_never_hand_out_the_same_saga(beside: Beside) -> None:
    begin(times=10)
    with transaction.atomic():
        ours = claimed_ids(limit=4)
        theirs = beside(in_transaction, claimed_ids, QUEUES, 4).result()
        the_rest = beside(in_transaction, claimed_ids).result()
    assert (len(ours), len(theirs), len(the_rest)) == (4, 4, 6)  # theirs were free again
    assert not set(ours) & set(theirs)
    assert set(theirs) <= set(the_rest)
    assert set(the_rest) | set(ours) == set(SagaInstance.objects.values_list("id", flat=True))


@committing
def test_the_hold_of_a_row_that_is_moved_meanwhile_comes_back_empty(beside: Beside) -> None:
    """The holder of an old token waits for the row's lock; when it gets it, the fence has moved."""
    ours, overtaken = begin(times=2)
    for saga_id in (ours, overtaken):
        change(saga_id, in_flight=True, fence=7)
    with transaction.atomic():
        run_sql("SELECT 1 FROM sagas_sagainstance WHERE id = %s FOR UPDATE", [overtaken])
        holding = beside(in_transaction, rows.hold, [ours, overtaken], [7, 7])
        until_true(lambda: waiting_for_locks() == 1)
        change(overtaken, fence=8)
    runs, now = holding.result()
    assert [run.ticket.id for run in runs] == [ours]
    assert now is not None


@committing
def test_the_hold_of_a_row_that_got_a_signal_meanwhile_sees_it(beside: Beside) -> None:
    trip = begin_one()
    change(trip, in_flight=True, fence=1)
    with transaction.atomic():
        run_sql("SELECT 1 FROM sagas_sagainstance WHERE id = %s FOR UPDATE", [trip])
        holding = beside(in_transaction, rows.hold, [trip], [1])
        until_true(lambda: waiting_for_locks() == 1)
        change(trip, pending_signals=1)
    assert [run.pending_signals for run in holding.result()[0]] == [1]


@committing
def test_a_claim_skips_what_a_signal_has_locked_and_finds_it_afterwards(beside: Beside) -> None:
    trip = begin_one()
    with transaction.atomic():
        run_sql("SELECT 1 FROM sagas_sagainstance WHERE id = %s FOR UPDATE", [trip])
        assert beside(in_transaction, claimed_ids).result() == []
    assert beside(in_transaction, claimed_ids).result() == [trip]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "held"),
    [
        ({"in_flight": True, "fence": 3}, True),
        ({"in_flight": True, "fence": 4}, False),
        ({"in_flight": False, "fence": 3}, False),
        ({"in_flight": True, "fence": 3, "due_at": None, "status": Status.NEEDS_ATTENTION}, True),
    ],
    ids=["ours", "another's", "answered", "parked"],
)
def test_only_the_holder_of_the_latest_token_may_write_and_renew(state: dict[str, Any], held: bool) -> None:
    trip = begin_one()
    change(trip, **state)
    assert bool(rows.hold([trip], [3])[0]) is held
    assert rows.renew([trip], [3], LEASE) == ({trip} if held else set())


@pytest.mark.django_db
def test_a_run_in_hand_goes_on_as_it_is_once() -> None:
    """What a transaction that came to nothing has left in memory is worth nothing: the second time all is read anew."""
    ours, overtaken = begin(times=2)
    for trip in (ours, overtaken):
        change(trip, in_flight=True, fence=3)
    runs, _ = rows.hold([ours, overtaken], [3, 3])
    for run in runs:
        run.in_hand = True
        run.ticket.subject, run.ticket.context = "at hand", {"remembered": True}
    change(ours, pending_signals=2)
    change(overtaken, fence=4)
    (held,), now = rows.hold_landed(runs, [3, 3])
    assert held is next(run for run in runs if run.ticket.id == ours)
    assert (held.pending_signals, held.ticket.subject) == (2, "at hand")
    assert now is not None
    held.fence = 9  # the transaction starts another call, and is rolled back
    (again,), _ = rows.hold_landed(runs, [3, 3])
    assert (again.ticket.id, again.fence, again.pending_signals) == (ours, 3, 2)
    assert (again.ticket.subject, again.ticket.context) == (None, {})


@pytest.mark.django_db
def test_a_renewed_lease_counts_from_now() -> None:
    ours, theirs = begin(times=2)
    for saga_id, fence in ((ours, 1), (theirs, 2)):
        change(saga_id, in_flight=True, fence=fence)
    before, due_before = database_now(), saga(theirs).due_at
    assert rows.renew([ours, theirs], [1, 1], LEASE) == {ours}
    assert before + LEASE <= saga(ours).due_at <= database_now() + LEASE
    assert saga(theirs).due_at == due_before


@committing
def test_renewing_leases_waits_for_nobody(beside: Beside) -> None:
    """Whoever leaves signals for several sagas locks one after the other: they could wait for each other for ever."""
    first, second = begin(times=2)
    for trip in (first, second):
        change(trip, in_flight=True, fence=1)
    with transaction.atomic():
        rows.lock(first)
        assert beside(rows.renew, [second, first], [1, 1], LEASE).result(timeout=60) == {second}
        rows.lock(second)
    assert rows.renew([second, first], [1, 1], LEASE) == {first, second}


@pytest.mark.django_db
def test_only_sagas_with_pending_signals_are_read_for_signals(django_assert_num_queries: Any) -> None:
    begin(times=3)
    runs, _ = rows.claim(QUEUES, 10)
    with django_assert_num_queries(0):
        rows.read_signals(runs)


@pytest.mark.django_db
def test_what_is_saved_is_what_is_read_again() -> None:
    trip = begin_one(seat="1A", nested={"list": [1, None, "ü"]})
    (run,), now = rows.claim(QUEUES, 10)
    assert now is not None
    run.ticket.context["more"] = {"at": "sea"}
    run.attempt, run.fence, run.in_flight, run.due_at, run.wait_until = 3, 9, True, now, now + LEASE
    rows.save([run], now=now)
    (again,), _ = rows.hold([trip], [9])
    for name in rows.Run.__slots__:
        if name not in {"ticket", "due_at", "inbox", "saga", "stop"}:
            assert getattr(again, name) == getattr(run, name), name
    assert again.ticket.context == {"seat": "1A", "nested": {"list": [1, None, "ü"]}, "more": {"at": "sea"}}
    assert connection.in_atomic_block
