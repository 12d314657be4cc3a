"""Many requests in one transaction, each with its own fate."""

import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction

from marketplace.idempotency import front, records
from marketplace.idempotency.attempts import Request
from marketplace.idempotency.models import IdempotencyRecord
from marketplace.idempotency.records import Record
from marketplace.idempotency.services import Answer, Together
from marketplace.idempotency.tests.conftest import SCOPE, things
from marketplace.kernel.clock import database_now
from marketplace.kernel.errors import Refusal

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["with Redis", "without Redis"])
def either_way(request):
    if request.param == "without Redis":
        request.getfixturevalue("redis_is_gone")


class Making:
    """Work that makes a thing of each name, and can be held up. The names `no` and `bug` are refused, and a bug."""

    def __init__(self):
        self.groups, self.begun, self.may_go_on = [], threading.Event(), threading.Event()
        self.may_go_on.set()
        self.in_between = lambda names: None  # what else happens while it is at work

    def __call__(self, names, now):
        self.groups.append(list(names))
        self.begun.set()
        assert self.may_go_on.wait(60)
        answers = [self.make(name) for name in names]
        self.in_between(names)
        return answers

    def make(self, name):
        if name == "no":
            return Refusal("no")
        if name == "bug":
            raise ZeroDivisionError
        Group.objects.create(name=name)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::text")
            return Answer(201, {"name": name, "transaction": cursor.fetchone()[0]})


class Caller(threading.Thread):
    """Asks for one thing, under the key of its name or another."""

    def __init__(self, together, name, key):
        super().__init__()
        self.together, self.asked, self.key, self.response, self.error = together, name, key, None, None
        self.start()

    def run(self):
        try:
            self.response = ask(self.together, self.asked, key=self.key)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error
        finally:
            connection.close()

    @property
    def outcome(self):
        """What it got: the thing and whether it is a replay, or the class of what was raised."""
        return (self.response.body["name"], self.response.replayed) if self.response else type(self.error)


def ask(together, name, *, key=None):
    return together.run_once(replace(SCOPE, key=key or f"key of {name}"), fingerprint=name, asked=name)


def all_at_once(work, first, *others, keys=()):
    """Have `others` asked for, in this order, while `first` is being made; return all the callers when done."""
    together = Together(work)
    work.may_go_on.clear()
    callers = [Caller(together, first, None)]
    assert work.begun.wait(60)
    for count, name in enumerate(others, 1):
        callers.append(Caller(together, name, keys[count - 1] if keys else None))
        until = time.monotonic() + 60
        while len(together._gathering._waiting) != count:
            assert time.monotonic() < until
            time.sleep(0.001)
    work.may_go_on.set()
    for caller in callers:
        caller.join(60)
        assert not caller.is_alive()
    return callers


def test_who_asks_at_the_same_time_shares_a_transaction(either_way):
    work = Making()

    callers = all_at_once(work, "a", "b", "c", "d")

    assert work.groups == [["a"], ["b", "c", "d"]]
    assert [caller.outcome for caller in callers] == [("a", False), ("b", False), ("c", False), ("d", False)]
    transactions = [caller.response.body["transaction"] for caller in callers]
    assert transactions[0] != transactions[1] == transactions[2] == transactions[3]
    assert things() == IdempotencyRecord.objects.count() == 4
    again = ask(Together(work), "c")
    assert (again.replayed, again.body) == (True, callers[2].response.body)


def test_a_group_costs_as_many_statements_as_one(django_assert_num_queries):
    """Clock, begin, look, insert, commit: what the work itself does comes on top."""

    def answer(names, now):
        return [Answer(201, {"name": name}) for name in names]

    requests = [Request(replace(SCOPE, key=name), name, name) for name in "abcdefgh"]
    with django_assert_num_queries(5):
        findings = Together(answer)._attempt(requests)

    assert [finding.fresh for finding in findings] == [True] * 8


def test_a_refusal_is_one_request_s_alone(either_way, redis):
    work = Making()

    callers = all_at_once(work, "a", "b", "no", "d")

    assert work.groups == [["a"], ["b", "no", "d"]]
    assert [caller.outcome for caller in callers] == [("a", False), ("b", False), Refusal, ("d", False)]
    assert things() == IdempotencyRecord.objects.count() == 3
    work.make = lambda name: Answer(201, {"name": name})
    assert not ask(Together(work), "no").replayed  # nothing was stored, and no flag is in the way


def test_a_bug_met_by_one_harms_no_other(either_way):
    work = Making()

    callers = all_at_once(work, "a", "b", "bug", "d")

    assert work.groups[:2] == [["a"], ["b", "bug", "d"]]
    assert sorted(work.groups[2:]) == [["b"], ["bug"], ["d"]]
    assert [caller.outcome for caller in callers] == [("a", False), ("b", False), ZeroDivisionError, ("d", False)]
    assert things() == IdempotencyRecord.objects.count() == 3


def test_one_key_twice_in_a_group_is_one_thing(either_way):
    work = Making()

    callers = all_at_once(work, "a", "b", "b", "c")

    assert sorted(name for group in work.groups for name in group) == ["a", "b", "c"]
    assert [caller.outcome for caller in callers] == [("a", False), ("b", False), ("b", True), ("c", False)]
    assert things() == IdempotencyRecord.objects.count() == 3


def test_fifty_at_once_with_one_key_are_one(either_way):
    work = Making()

    callers = all_at_once(work, "a", *["a"] * 49)

    assert Counter(caller.outcome for caller in callers) == {("a", False): 1, ("a", True): 49}
    assert work.groups == [["a"]]
    assert things() == 1


def test_another_process_that_was_first_with_one_of_the_keys_is_replayed_and_the_others_are_done(either_way):
    """It commits after we looked and before we write: a conflict that only the primary key can see."""
    work = Making()
    stolen = []

    def steal(names):
        if "c" in names and not stolen:
            stolen.append(names)
            theirs = Record("c", 201, {}, '{"name": "theirs"}')
            elsewhere(lambda: records.insert([(replace(SCOPE, key="key of c"), theirs)], now=database_now()))

    work.in_between = steal
    callers = all_at_once(work, "a", "b", "c", "d")

    assert stolen == [["b", "c", "d"]]
    assert [caller.outcome for caller in callers] == [("a", False), ("b", False), ("theirs", True), ("d", False)]
    assert set(Group.objects.values_list("name", flat=True)) == {"a", "b", "d"}
    assert IdempotencyRecord.objects.count() == 4


def test_a_connection_that_breaks_under_a_group_costs_nobody_their_thing(either_way):
    work = Making()
    broken = []

    def cut(names):
        if len(names) > 1 and not broken:
            broken.append(names)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                [pid] = cursor.fetchone()
            elsewhere(lambda: kill(pid))

    work.in_between = cut
    callers = all_at_once(work, "a", "b", "c", "d")

    assert broken == [["b", "c", "d"]]
    assert sorted(work.groups[2:]) == [["b"], ["c"], ["d"]]
    assert [caller.outcome for caller in callers] == [("a", False), ("b", False), ("c", False), ("d", False)]
    assert things() == IdempotencyRecord.objects.count() == 4


def test_a_crash_right_after_the_commit_of_a_group_loses_nothing(monkeypatch):
    work = Making()
    keep, crashed = front.keep, []

    def crash(found):
        if len(found) > 1 and not crashed:
            crashed.append(found)
            _ = 1 / 0
        keep(found)

    monkeypatch.setattr(front, "keep", crash)
    callers = all_at_once(work, "a", "b", "c", "d")

    assert crashed
    assert [caller.outcome for caller in callers] == [("a", False), ("b", True), ("c", True), ("d", True)]
    assert things() == 4


def test_inside_of_a_transaction_it_is_done_alone_and_undone_with_it():
    work = Making()
    together = Together(work)

    with suppress(ZeroDivisionError), transaction.atomic():
        assert not ask(together, "a").replayed
        _ = 1 / 0

    assert things() == IdempotencyRecord.objects.count() == 0


def elsewhere(call):
    """Run `call` in another thread, that is, on another connection, and wait for it."""

    def run():
        try:
            call()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def kill(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
