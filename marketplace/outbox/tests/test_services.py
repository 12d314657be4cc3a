import contextlib
import threading

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError

from marketplace.kernel.ids import new_id
from marketplace.outbox import bell
from marketplace.outbox.catalog import UnknownEventType
from marketplace.outbox.models import OutboxEvent, Unpublished, shard_of
from marketplace.outbox.services import Event, append
from marketplace.outbox.tests.conftest import NOON, told


def tell_and_fail(saga):
    """Append in a transaction, or a part of one, that is rolled back."""
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        append([told(saga)], now=NOON)
        _ = 1 / 0


@pytest.mark.django_db
def test_each_saga_counts_its_events_from_one(tell):
    first, second = new_id(), new_id()

    tell(told(first), told(second), told(first, "ORDER_RESERVED"))
    tell(told(second, "ORDER_RESERVED"), told(first, "ORDER_PAID", transaction_id="t"))

    rows = OutboxEvent.objects.order_by("position").values_list("saga_id", "sequence", "type")
    assert list(rows) == [
        (first, 1, "ORDER_CREATED"),
        (second, 1, "ORDER_CREATED"),
        (first, 2, "ORDER_RESERVED"),
        (second, 2, "ORDER_RESERVED"),
        (first, 3, "ORDER_PAID"),
    ]
    paid = OutboxEvent.objects.get(type="ORDER_PAID")
    assert (paid.topic, paid.data, paid.occurred_at) == ("order-events", {"transaction_id": "t"}, NOON)
    assert OutboxEvent.objects.values("event_id").distinct().count() == 5


@pytest.mark.django_db
def test_each_event_waits_in_the_shard_of_its_saga(tell):
    sagas = [new_id() for _ in range(50)]

    tell(*map(told, sagas))

    waiting = set(Unpublished.objects.values_list("shard", "position"))
    assert waiting == {(shard_of(event.saga_id), event.position) for event in OutboxEvent.objects.all()}
    assert len({shard for shard, _ in waiting}) > 8


@pytest.mark.django_db
def test_two_thousand_events_are_one_statement(django_assert_num_queries):
    sagas = [new_id() for _ in range(200)]
    events = [told(saga, type) for saga in sagas for type in ["ORDER_CREATED", "ORDER_RESERVED"] * 5]

    with transaction.atomic(), django_assert_num_queries(1):
        append(events, now=NOON)

    assert OutboxEvent.objects.count() == Unpublished.objects.count() == 2000
    assert OutboxEvent.objects.filter(sequence=10).count() == 200


@pytest.mark.django_db
def test_nothing_to_tell_is_no_statement(django_assert_num_queries):
    with django_assert_num_queries(0):
        append([], now=NOON)


@pytest.mark.django_db
def test_what_the_catalog_does_not_hold_is_not_told(saga):
    wrong = Event(topic="payment-events", type="ORDER_PAID", saga_id=saga, subject_id=saga, data={})

    with pytest.raises(UnknownEventType):
        append([told(saga), wrong], now=NOON)

    assert not OutboxEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_events_are_told_in_a_transaction_or_not_at_all(saga):
    with pytest.raises(TransactionManagementError):
        append([told(saga)], now=NOON)

    tell_and_fail(saga)

    assert not OutboxEvent.objects.exists()
    assert not Unpublished.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_event_leaves_no_gap(saga, tell):
    tell(told(saga))
    tell_and_fail(saga)
    tell(told(saga))

    assert list(OutboxEvent.objects.order_by("position").values_list("sequence", flat=True)) == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_under_the_saga_s_lock_many_writers_leave_no_gap(saga):
    lock = threading.Lock()  # stands for the saga's row lock: held until the commit

    def write() -> None:
        for _ in range(10):
            with lock, transaction.atomic():
                append([told(saga), told(saga, "ORDER_RESERVED")], now=NOON)
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    by_position = OutboxEvent.objects.order_by("position").values_list("sequence", flat=True)
    assert list(by_position) == list(range(1, 161))


@pytest.mark.django_db(transaction=True)
def test_without_that_lock_the_second_writer_is_refused(saga, tell):
    both_looked = threading.Barrier(2)
    refused: list[IntegrityError] = []

    def write() -> None:
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    cursor.execute("SELECT 1")
                both_looked.wait(60)
                append([told(saga)], now=NOON)
        except IntegrityError as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    assert OutboxEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_bell_rings_once_for_a_transaction_and_not_for_one_that_failed(redis, saga):
    with redis.pubsub(ignore_subscribe_messages=True) as ear:
        ear.subscribe(bell.channel(redis))
        ear.get_message(timeout=60)

        with transaction.atomic():
            append([told(saga)], now=NOON)
            with transaction.atomic():
                append([told(saga)], now=NOON)
            append([told(saga)], now=NOON)
            assert ear.get_message(timeout=0.1) is None
        tell_and_fail(saga)

        assert ear.get_message(timeout=60) is not None
        assert ear.get_message(timeout=0.1) is None


@pytest.mark.django_db(transaction=True)
def test_the_bell_rings_when_the_part_that_asked_first_was_undone(redis, saga):
    with redis.pubsub(ignore_subscribe_messages=True) as ear:
        ear.subscribe(bell.channel(redis))
        ear.get_message(timeout=60)

        with transaction.atomic():
            tell_and_fail(saga)
            append([told(saga)], now=NOON)

        assert ear.get_message(timeout=60) is not None


@pytest.mark.django_db(transaction=True)
def test_events_are_told_while_redis_is_gone(settings, saga, tell):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    tell(told(saga))

    assert Unpublished.objects.count() == 1
