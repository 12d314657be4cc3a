import contextlib
import json
import threading
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, transaction

from marketplace.idempotency import front, records, services
from marketplace.idempotency.errors import InProgress, KeyReused
from marketplace.idempotency.front import Front, Look
from marketplace.idempotency.models import IdempotencyRecord
from marketplace.idempotency.services import Answer, Scope, fingerprint
from marketplace.idempotency.tests.conftest import NOON, SCOPE, once, things, work
from marketplace.kernel.errors import Refusal

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["with Redis", "without Redis"])
def either_way(request):
    """Run the test twice: what Redis answers quickly, PostgreSQL answers as well."""
    if request.param == "without Redis":
        request.getfixturevalue("redis_is_gone")


@pytest.fixture
def patient(monkeypatch):
    """Whoever waits for the first request waits until it is done, however slow the machine is."""
    monkeypatch.setattr(services, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(front, "FLAG_SECONDS", 600)


def in_threads(count, call):
    """Call `call` at once in `count` threads; return what each answered or raised."""
    start, results = threading.Barrier(count), []

    def run():
        start.wait(60)
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


class Slow:
    """Work that counts how often it was begun, and takes its time."""

    def __init__(self, seconds):
        self.begun, self.seconds, self._lock = 0, seconds, threading.Lock()
        self.started = threading.Event()

    def __call__(self):
        with self._lock:
            self.begun += 1
        self.started.set()
        answer = work()
        time.sleep(self.seconds)
        return answer


def test_the_first_request_is_worked_on_and_the_second_replayed(either_way):
    first = once()
    second = once()

    assert (first.status, first.replayed, second.replayed) == (201, False, True)
    assert things() == 1
    assert (second.status, second.headers) == (first.status, first.headers)
    assert json.dumps(second.body) == json.dumps(first.body)
    assert list(second.body) == ["zebra", "apple"]


def test_fifty_at_once_are_one(either_way, patient):
    slow = Slow(0.1)

    responses = in_threads(50, lambda: once(work=slow))

    assert slow.begun == 1
    assert things() == 1
    assert len({json.dumps(response.body) for response in responses}) == 1
    assert sorted(response.replayed for response in responses) == [False] + [True] * 49


def test_an_outage_of_redis_does_not_make_requests_wait(redis_is_gone):
    once()

    started = time.monotonic()
    for _ in range(50):
        assert once().replayed
    assert time.monotonic() - started < 30  # and not a second each


def test_redis_alone_answers_a_replay(django_assert_num_queries):
    once()

    with django_assert_num_queries(0):
        assert once().replayed


def test_the_record_costs_two_statements_and_a_transaction(django_assert_num_queries):
    answer = Answer(201, {})

    with django_assert_num_queries(4):  # begin, look, insert, commit
        once(work=lambda: answer)


def test_when_redis_has_forgotten_postgresql_has_not(redis):
    first = once()
    redis.flushdb()

    assert once().body == first.body
    assert things() == 1


def test_after_postgresql_answered_redis_knows_again(redis, django_assert_num_queries):
    once()
    redis.flushdb()
    once()

    with django_assert_num_queries(0):
        assert once().replayed


def test_another_body_with_the_same_key_is_refused(either_way):
    once()

    with pytest.raises(KeyReused):
        once(fingerprint="another")
    assert things() == 1


@pytest.mark.parametrize("change", ["principal", "method", "route", "key"])
def test_in_another_scope_the_key_means_another_thing(either_way, change):
    once()
    parts = {name: getattr(SCOPE, name) for name in ("principal", "method", "route", "key")}

    other = once(scope=Scope(**{**parts, change: "other"}))

    assert not other.replayed
    assert things() == 2


def test_scopes_can_not_be_glued_together_differently():
    assert Scope("a", "b", "c", "d").digest() != Scope("a", "bc", "", "d").digest()


# --- what comes to nothing is not stored ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Refusal("no"), OperationalError("gone"), ZeroDivisionError()])
def test_what_the_work_raises_leaves_nothing(either_way, redis, error):
    def refused():
        work()
        raise error

    with pytest.raises(type(error)):
        once(work=refused)

    assert things() == 0
    assert not IdempotencyRecord.objects.exists()
    assert redis.keys() == []
    assert not once().replayed


def test_a_crash_after_the_record_is_written_leaves_nothing(either_way, redis, monkeypatch):
    with monkeypatch.context() as seam:
        insert = records.insert
        seam.setattr(records, "insert", lambda *args, **kwargs: insert(*args, **kwargs) and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            once()

    assert things() == 0
    assert not IdempotencyRecord.objects.exists()
    assert not once().replayed
    assert things() == 1


def test_a_crash_after_the_commit_loses_nothing(either_way, monkeypatch):
    with monkeypatch.context() as seam:
        seam.setattr(front, "keep", lambda records: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            once()
    assert things() == 1

    assert once().replayed  # the flag still stands in Redis, but PostgreSQL has the answer
    assert things() == 1


def test_an_outer_transaction_that_fails_takes_everything_with_it(redis):
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        once()
        _ = 1 / 0

    assert things() == 0
    assert not IdempotencyRecord.objects.exists()
    assert all(b"zebra" not in redis.get(key) for key in redis.scan_iter())


# --- in flight --------------------------------------------------------------------------------------------------------


def test_a_request_waits_a_second_for_the_first_and_then_says_so(either_way, monkeypatch):
    monkeypatch.setattr(front, "FLAG_SECONDS", 600)
    begun, may_end = threading.Event(), threading.Event()

    def long_work():
        begun.set()
        answer = work()
        assert may_end.wait(60)
        return answer

    first = threading.Thread(target=lambda: (once(work=long_work), connection.close()))
    first.start()
    assert begun.wait(60)

    started = time.monotonic()
    with pytest.raises(InProgress) as refused:
        once()
    waited = time.monotonic() - started
    may_end.set()
    first.join()

    assert waited > 0.9
    assert refused.value.data == {"retry_after": 1}
    assert once().replayed
    assert things() == 1


def test_a_request_that_waited_gets_the_first_one_s_answer(either_way, patient):
    slow = Slow(0.4)
    first = threading.Thread(target=lambda: (once(work=slow), connection.close()))
    first.start()
    assert slow.started.wait(60)

    waited = once()
    first.join()

    assert waited.replayed
    assert things() == 1


def test_when_the_first_is_refused_one_that_waited_may_try(either_way, patient):
    begun = threading.Event()

    def refused():
        begun.set()
        time.sleep(0.3)
        raise Refusal("no")

    def first():
        with pytest.raises(Refusal):
            once(work=refused)
        connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(60)

    second = once()
    thread.join()

    assert not second.replayed
    assert things() == 1


def test_a_process_that_died_at_work_is_not_in_the_way_for_long(redis, monkeypatch):
    assert front.FLAG_SECONDS <= 5
    monkeypatch.setattr(front, "FLAG_SECONDS", 600)
    [look] = front.claim([SCOPE.digest()]).values()
    assert look.front is Front.MINE  # and then it died
    with pytest.raises(InProgress):
        once()
    [flag] = redis.keys()
    assert 0 < redis.ttl(flag) <= front.FLAG_SECONDS
    redis.expire(flag, 0)

    assert not once().replayed


def test_when_two_work_after_all_the_row_decides(monkeypatch):
    """Redis is flushed while the first is at work: the second believes that it is the first."""
    both = threading.Barrier(2)
    monkeypatch.setattr(front, "claim", lambda digests: dict.fromkeys(digests, Look(Front.MINE)))

    def at_the_same_time():
        answer = work()
        both.wait(60)
        return answer

    responses = in_threads(2, lambda: once(work=at_the_same_time))

    assert things() == 1
    assert sorted(response.replayed for response in responses) == [False, True]
    assert responses[0].body == responses[1].body == {"zebra": Group.objects.get().name, "apple": [1, "two"]}


# --- never open -------------------------------------------------------------------------------------------------------


def test_without_postgresql_nothing_is_done(either_way, monkeypatch):
    connection.close()
    with monkeypatch.context() as outage:
        outage.setitem(connection.settings_dict, "PORT", "1")
        outage.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        begun = []
        with pytest.raises(OperationalError):
            once(work=lambda: begun.append(1))
        connection.close()

    assert not begun
    assert things() == 0
    assert not once().replayed


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_key_is_free_again_after_thirty_days(redis):
    once()
    redis.flushdb()

    assert once(now=NOON + timedelta(days=30, seconds=-1)).replayed
    redis.flushdb()
    assert not once(now=NOON + timedelta(days=30)).replayed
    assert things() == 2
    assert IdempotencyRecord.objects.count() == 1


def test_redis_keeps_an_answer_for_a_day(redis):
    once()

    [name] = redis.keys()
    assert 24 * 3600 - 300 < redis.ttl(name) <= 24 * 3600


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_what_present_adds_is_in_every_answer_and_in_no_store(redis):
    def present(body):
        return {**body, "clientSecret": f"secret-of-{body['zebra']}"}

    first, second = once(present=present), once(present=present)

    assert json.dumps(first.body) == json.dumps(second.body)
    assert first.body["clientSecret"].startswith("secret-of-")
    assert all(b"secret-of" not in redis.get(key) for key in redis.scan_iter())
    row = IdempotencyRecord.objects.values().get()
    assert "secret-of" not in str(row)


def test_the_key_lies_in_no_store_either(redis):
    once()

    assert "a-key" not in str(IdempotencyRecord.objects.values().get())
    assert all(b"a-key" not in name + redis.get(name) for name in redis.scan_iter())


def test_bodies_with_ids_and_dates_are_the_same_first_and_last(either_way):
    answer = Answer(200, {"at": NOON, "id": Group.objects.create(name="x").pk})

    assert once(work=lambda: answer).body == once().body == {"at": "2026-01-01T12:00:00+00:00", "id": answer.body["id"]}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": None}, {}, False),
        ({"a": "\ud800"}, {"a": "\ud800"}, True),
    ],
)
def test_the_fingerprint_sees_content_only(one, other, same):
    assert (fingerprint(one) == fingerprint(other)) is same
    assert len(fingerprint(one)) == 64


def test_constants_say_what_the_design_says():
    assert services.WAIT_SECONDS == 1.0
    assert front.KEPT_SECONDS == 86400
    assert records.KEPT_FOR.days == 30
