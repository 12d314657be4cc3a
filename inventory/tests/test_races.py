"""Threads with connections of their own. A staged race starts when everybody in it has been seen waiting."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from inventory.models import LedgerEntry, Reservation
from inventory.services import adjust, check, expire, extend, receive, release, reserve, restock
from inventory.tests.books import EXPIRY, later, ledger, levels, sell, states, wants
from marketplace.kernel.ids import new_id

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.core]

THREADS = 8


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool
        together = threading.Barrier(THREADS)  # every thread closes its own connection, so that the database can go
        for future in [pool.submit(lambda: (together.wait(60), connection.close())) for _ in range(THREADS)]:
            future.result()


def in_transaction(call: Callable, *args: object, **kwargs: object) -> object:
    with transaction.atomic():
        return call(*args, **kwargs)


@contextmanager
def locked(sku: str) -> Iterator[None]:
    """Keep a SKU's row locked, so that whoever needs it queues up; at the end they all go at once."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM inventory_stock WHERE sku = %s FOR UPDATE", [sku])
        yield


def wait_until_waiting(count: int) -> None:
    """Return when `count` backends of this database wait for a lock."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_stat_clear_snapshot(), count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND backend_type = 'client backend' AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[1] >= count:
                return
        time.sleep(0.01)
    pytest.fail(f"{count} transactions were expected to wait for a lock")


def is_free(sku: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM inventory_stock WHERE sku = %s FOR UPDATE SKIP LOCKED", [sku])
        return cursor.fetchone() is not None


def test_owners_that_hold_nothing_lock_nothing(stocked, now, threads):
    stocked("lamp", 3)
    released = wants(("lamp", 1))
    in_transaction(reserve, [released], now=now)
    in_transaction(release, [released.owner_id], now=now)
    with transaction.atomic():
        assert release([new_id(), released.owner_id], now=now) == {}
        assert restock([new_id()], now=now, reason="") == {}
        assert threads.submit(is_free, "lamp").result(60)


def test_two_hundred_buyers_of_fifty_units(stocked, now, threads):
    stocked("lamp", 50)
    requests = [wants(("lamp", 1)) for _ in range(200)]
    answers = list(threads.map(lambda request: in_transaction(reserve, [request], now=now), requests))
    held = [answer for (answer,) in answers if answer.held]
    assert len(held) == 50
    assert {answer.shortages[0].available for (answer,) in answers if not answer.held} == {0}
    assert levels("lamp") == (50, 0, 50)
    assert states() == {"HELD": 50}
    assert LedgerEntry.objects.filter(kind="RESERVE").count() == 50


def test_groups_of_buyers_share_what_there_is(stocked, now, threads):
    stocked("lamp", 50)
    stocked("mug", 70)
    groups = [[wants(("lamp", 1), ("mug", 1)) for _ in range(10)] for _ in range(20)]
    answers = threads.map(lambda group: in_transaction(reserve, group, now=now), groups)
    assert sum(answer.held for group in answers for answer in group) == 50
    assert levels("lamp") == (50, 0, 50)
    assert levels("mug") == (70, 20, 50)


def test_opposite_line_orders_queue_up_instead_of_deadlocking(stocked, now, threads):
    stocked("lamp", 5)
    stocked("mug", 5)
    with locked("lamp"):
        there = threads.submit(in_transaction, reserve, [wants(("lamp", 1), ("mug", 1))], now=now)
        back = threads.submit(in_transaction, reserve, [wants(("mug", 1), ("lamp", 1))], now=now)
        wait_until_waiting(2)
        assert is_free("mug")  # both wait for the first SKU, neither holds the second
    assert there.result(60)[0].held
    assert back.result(60)[0].held
    assert levels("lamp") == levels("mug") == (5, 3, 2)


def test_every_service_in_every_order_at_once_never_deadlocks(stocked, now, threads):
    for sku in ("lamp", "mug", "rug"):
        stocked(sku, 1000)
    requests = [wants(("rug", 1), ("lamp", 1), ("mug", 1)) for _ in range(40)]
    with transaction.atomic():
        reserve(requests, now=now)
    ids = [request.owner_id for request in requests]
    reverse = ids[::-1]
    calls: list[Future] = []
    for number in range(10):
        some = slice(number, number + 30)
        calls += [
            threads.submit(in_transaction, reserve, [wants(("mug", 1), ("rug", 1), ("lamp", 1))], now=now),
            threads.submit(in_transaction, extend, reverse[some], until=later(number)),
            threads.submit(in_transaction, release, reverse[number : number + 3], now=now),
            threads.submit(in_transaction, sell, ids[number : number + 3], now=now),
            threads.submit(in_transaction, extend, ids[some], until=later(number)),
            threads.submit(receive, sku="rug", quantity=1, now=now, actor="tests", reason=""),
        ]
    for call in calls:
        call.result(60)
    assert levels("lamp") == levels("mug") == (988, 950 + 12, 26)
    assert levels("rug") == (998, 960 + 12, 26)


@pytest.mark.parametrize("end", [release, expire])
def test_two_that_give_back_the_same_hold_move_it_once(stocked, now, threads, end):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    in_transaction(reserve, [request], now=now)
    with locked("lamp"):
        calls = [threads.submit(in_transaction, end, [request.owner_id], now=now) for _ in range(2)]
        wait_until_waiting(2)  # both have seen the hold as live
    assert sorted(len(call.result(60)) for call in calls) == [0, 1]
    assert levels("lamp") == (5, 5, 0)
    assert len(ledger("lamp")) == 3


def test_a_hold_is_sold_or_released_but_never_both(stocked, now, threads):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    in_transaction(reserve, [request], now=now)
    with locked("lamp"):
        selling = threads.submit(in_transaction, sell, [request.owner_id], now=now)
        releasing = threads.submit(in_transaction, release, [request.owner_id], now=now)
        wait_until_waiting(2)
    sold, released = selling.result(60), releasing.result(60)
    assert bool(sold) != bool(released)
    assert levels("lamp") == ((3, 3, 0) if sold else (5, 5, 0))
    assert len(ledger("lamp")) == 3


def test_the_same_owner_reserving_twice_at_once_holds_once(stocked, now, threads):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    with locked("lamp"):
        calls = [threads.submit(in_transaction, reserve, [request], now=now) for _ in range(3)]
        wait_until_waiting(3)
    assert all(call.result(60)[0].held for call in calls)
    assert levels("lamp") == (5, 3, 2)
    assert states() == {"HELD": 1}


def test_a_hold_that_lapses_while_it_is_extended_is_not_extended(stocked, now, threads):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    in_transaction(reserve, [request], now=now)
    with transaction.atomic():
        expire([request.owner_id], now=now)
        call = threads.submit(in_transaction, extend, [request.owner_id], until=later(5))
        wait_until_waiting(1)
    assert call.result(60) == set()
    assert Reservation.objects.get().expires_at == EXPIRY


def test_a_hold_that_is_extended_while_it_is_released_is_released(stocked, now, threads):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    in_transaction(reserve, [request], now=now)
    with transaction.atomic():
        assert extend([request.owner_id], until=later(5)) == {request.owner_id}
        call = threads.submit(in_transaction, release, [request.owner_id], now=now)
        wait_until_waiting(1)
    assert len(call.result(60)) == 1
    assert levels("lamp") == (5, 5, 0)
    assert Reservation.objects.get().state == "RELEASED"


def test_check_waits_for_nobody(stocked, threads):
    stocked("lamp", 5)
    with locked("lamp"):
        assert threads.submit(check, [wants(("lamp", 5))]).result(60)[0].held


def test_deliveries_and_corrections_at_once_all_count(stocked, now, threads):
    stocked("lamp")
    taking = [
        threads.submit(receive, sku="lamp", quantity=2, now=now, actor="tests", reason="delivery") for _ in range(20)
    ]
    for call in taking:
        call.result(60)
    losing = [threads.submit(adjust, sku="lamp", delta=-1, now=now, actor="tests", reason="count") for _ in range(10)]
    for call in losing:
        call.result(60)
    assert levels("lamp") == (30, 30, 0)
    assert len(ledger("lamp")) == 30


def test_receive_and_adjust_are_transactions_of_their_own(stocked, now, threads):
    stocked("lamp")
    threads.submit(receive, sku="lamp", quantity=2, now=now, actor="tests", reason="").result(60)
    threads.submit(adjust, sku="lamp", delta=-1, now=now, actor="tests", reason="").result(60)
    assert levels("lamp") == (1, 1, 0)


def test_undoing_what_is_still_being_done_finds_nothing_and_breaks_nothing(stocked, now, threads):
    stocked("lamp", 5)
    request = wants(("lamp", 2))
    with transaction.atomic():
        reserve([request], now=now)
        assert threads.submit(in_transaction, release, [request.owner_id, new_id()], now=now).result(60) == {}
    assert levels("lamp") == (5, 3, 2)
