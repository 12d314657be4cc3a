import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, ProgrammingError, connection, transaction

from marketplace.kernel import bulk
from marketplace.kernel.pipeline import closing, opening, pipelined

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


def test_a_transaction_may_be_sent_in_two_trips():
    """BEGIN goes with the first statements, COMMIT with the last; and it is a transaction like any other."""
    with transaction.atomic():
        with connection.cursor() as one, connection.cursor() as other:
            with opening():
                one.execute("SELECT count(*) FROM auth_group")
                other.execute("SELECT now() = statement_timestamp()")
            assert one.fetchone() == (0,)
            assert other.fetchone() == (False,)  # the second statement of one transaction
        insert("a")
        transaction.on_commit(lambda: seen.append(names()))
        seen = []
        with closing():
            insert("b")
            insert("c")

    assert seen == [["a", "b", "c"]]  # once it is committed, and with the connection back as it was
    assert connection.get_autocommit()
    assert names() == ["a", "b", "c"]


def test_what_fails_after_the_opening_leaves_nothing():
    def write():
        with transaction.atomic():
            with opening():
                insert("a")
            insert(str(1 / 0))

    with pytest.raises(ZeroDivisionError):
        write()

    assert names() == []


def test_what_fails_at_the_opening_leaves_a_good_connection():
    with pytest.raises(ProgrammingError), transaction.atomic(), opening(), connection.cursor() as cursor:
        cursor.execute("SELECT nonsense FROM nowhere")

    insert("a")
    assert names() == ["a"]


def test_what_fails_at_the_closing_is_not_committed():
    told = []

    def write():
        with transaction.atomic():
            transaction.on_commit(lambda: told.append("committed"))
            insert("a")
            with closing():
                insert("b")
                insert("a")

    with pytest.raises(IntegrityError):
        write()

    assert names() == []
    assert told == []


def test_what_only_the_commit_finds_out_is_raised_too():
    """A deferred constraint, say."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE once (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")

    def write():
        with transaction.atomic(), closing(), connection.cursor() as cursor:
            insert("a")
            cursor.execute("INSERT INTO once VALUES (1), (1)")

    with pytest.raises(IntegrityError):
        write()

    assert names() == []
    insert("b")
    assert names() == ["b"]


def test_inside_of_another_transaction_nothing_is_committed():

    def write():
        with transaction.atomic():
            insert("a")
            with transaction.atomic():
                with opening():
                    insert("b")
                with closing():
                    insert("c")
            assert names() == ["a", "b", "c"]
            insert(str(1 / 0))

    with pytest.raises(ZeroDivisionError):
        write()

    assert names() == []


def test_blocks_within_a_block_wait_with_it():
    with transaction.atomic():
        with pipelined():
            with pipelined():
                insert("a")
            insert("b")
        with opening():  # not the first thing at all
            insert("c")

    assert names() == ["a", "b", "c"]
