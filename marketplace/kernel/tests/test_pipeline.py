import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction

from marketplace.kernel import bulk
from marketplace.kernel.pipeline import pipelined

pytestmark = pytest.mark.django_db(transaction=True)


def insert(*names):
    return bulk.insert(Group, ("name",), [(name,) for name in names])


def names():
    return sorted(Group.objects.values_list("name", flat=True))


def test_what_is_sent_in_a_block_is_done_at_its_end_in_that_order():
    with transaction.atomic():
        insert("before")
        with pipelined():
            insert("a", "b")
            with connection.cursor() as cursor:
                cursor.execute("UPDATE auth_group SET name = name || '!'")
            insert("c")
        assert names() == ["a!", "b!", "before!", "c"]

    assert names() == ["a!", "b!", "before!", "c"]


def test_an_error_is_raised_as_django_s_and_takes_everything_with_it():
    """At the end of the block at the latest: what has come back by then is read with the next statement."""
    reached = []

    def write():
        with pipelined():
            insert("a")
            insert("a")
            insert("b")
        reached.append("what comes after")

    with pytest.raises(IntegrityError), transaction.atomic():
        write()

    assert reached == []
    assert names() == []
    insert("c")  # and the connection is as good as ever
    assert names() == ["c"]


def test_a_savepoint_around_a_block_that_fails_keeps_the_rest():
    with transaction.atomic():
        insert("before")
        with pytest.raises(IntegrityError), transaction.atomic(), pipelined():
            insert("before")
        insert("after")

    assert names() == ["after", "before"]


def test_what_the_block_itself_raises_passes_through():
    with pytest.raises(ZeroDivisionError), transaction.atomic(), pipelined():
        insert("a", str(insert("b") / 0))

    assert names() == []


def test_outside_of_a_transaction_it_is_refused():
    with pytest.raises(transaction.TransactionManagementError), pipelined():
        insert("a")

    assert names() == []
