from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.db import DataError, IntegrityError, connection, models, transaction

from marketplace.kernel import bulk
from marketplace.kernel.ids import new_id
from marketplace.kernel.pipeline import closing

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIELDS = ("id", "name", "count", "data", "seen_at")


class Parcel(models.Model):
    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=20, unique=True)
    count = models.BigIntegerField()
    data = models.JSONField(null=True)
    seen_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "kernel_tests"
        managed = False


@pytest.fixture(autouse=True)
def _table(db):
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE kernel_tests_parcel (id uuid PRIMARY KEY, name varchar(20) UNIQUE,"
            " count bigint NOT NULL, data jsonb, seen_at timestamptz)"
        )


def parcels(count: int) -> list[tuple[object, ...]]:
    return [(new_id(), f"parcel {number}", number, {"number": number}, NOON) for number in range(count)]


def test_any_number_of_rows_is_one_statement(django_assert_num_queries):
    with django_assert_num_queries(1):
        assert bulk.insert(Parcel, FIELDS, parcels(500)) == 500

    row = Parcel.objects.get(name="parcel 7")
    assert (row.count, row.data, row.seen_at) == (7, {"number": 7}, NOON)


def test_no_rows_are_no_statement(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert bulk.insert(Parcel, FIELDS, []) == 0
        assert bulk.update(Parcel, "id", ["count"], iter(())) == []


def test_json_may_hold_ids_and_datetimes_and_be_nothing():
    identifier = new_id()

    bulk.insert(
        Parcel, FIELDS, [(identifier, "a", 1, {"id": identifier, "at": NOON}, None), (new_id(), "b", 1, None, None)]
    )

    assert Parcel.objects.get(name="a").data == {"id": str(identifier), "at": NOON.isoformat()}
    assert Parcel.objects.filter(data__isnull=True).count() == 1


def test_what_is_not_json_is_refused():
    with pytest.raises(TypeError, match="set can't be written"):
        bulk.to_json({"a": {1, 2}})


def test_a_conflict_is_an_error_unless_the_caller_says_what_to_do():
    [first, second] = parcels(2)
    bulk.insert(Parcel, FIELDS, [first])

    with pytest.raises(IntegrityError), transaction.atomic():
        bulk.insert(Parcel, FIELDS, [first, second])
    assert Parcel.objects.count() == 1

    assert bulk.insert(Parcel, FIELDS, [first, second], on_conflict="DO NOTHING") == 1
    assert Parcel.objects.count() == 2


def test_rows_are_updated_by_key_in_one_statement(django_assert_num_queries):
    rows = parcels(300)
    bulk.insert(Parcel, FIELDS, rows)

    with django_assert_num_queries(1):
        touched = bulk.update(Parcel, "id", ["count", "data"], [(row[0], 1000 + row[2], None) for row in rows[:299]])

    assert set(touched) == {row[0] for row in rows[:299]}
    assert Parcel.objects.filter(count__gte=1000).count() == 299
    assert Parcel.objects.get(name="parcel 299").count == 299


def test_a_lost_compare_and_set_is_told_and_changes_nothing():
    rows = parcels(3)
    bulk.insert(Parcel, FIELDS, rows)

    won = bulk.update(Parcel, "id", ["count"], [(row[0], 50) for row in rows], only_if="t.count >= 1")

    assert set(won) == {rows[1][0], rows[2][0]}
    assert Parcel.objects.get(id=rows[0][0]).count == 0


def test_keys_that_do_not_exist_are_not_answered():
    assert bulk.update(Parcel, "id", ["count"], [(UUID(int=1), 5)]) == []


def test_rows_are_inserted_beside_an_update_in_one_statement(django_assert_num_queries):
    rows, more = parcels(3), [(new_id(), f"other {number}", number, None, NOON) for number in range(2)]
    bulk.insert(Parcel, FIELDS, rows)

    with django_assert_num_queries(1):
        beside = bulk.Insertion(Parcel, FIELDS, more)
        assert bulk.update(Parcel, "id", ["count"], [(rows[0][0], 7)], beside=beside) == [rows[0][0]]

    assert Parcel.objects.count() == 5
    assert Parcel.objects.get(id=rows[0][0]).count == 7


@pytest.mark.parametrize("write", [bulk.update, bulk.write])
def test_of_an_update_and_what_is_beside_it_either_may_be_nothing(write, django_assert_num_queries):
    rows = parcels(2)
    with django_assert_num_queries(1):
        write(Parcel, "id", ["count"], [], beside=bulk.Insertion(Parcel, FIELDS, rows))
    with django_assert_num_queries(1):
        write(Parcel, "id", ["count"], [(rows[0][0], 7)], beside=bulk.Insertion(Parcel, FIELDS, []))
    with django_assert_num_queries(0):
        write(Parcel, "id", ["count"], [], beside=bulk.Insertion(Parcel, FIELDS, []))

    assert set(Parcel.objects.values_list("count", flat=True)) == {7, 1}


def test_rows_that_are_there_for_sure_are_written_without_asking(django_assert_num_queries):
    rows = parcels(3)
    bulk.insert(Parcel, FIELDS, rows)

    with django_assert_num_queries(1):
        bulk.write(Parcel, "id", ["count", "data"], [(row[0], 9, None) for row in rows])

    assert Parcel.objects.filter(count=9, data__isnull=True).count() == 3


@pytest.mark.parametrize("beside", [None, bulk.Insertion(Parcel, FIELDS, [(UUID(int=9), "other", 1, None, None)])])
def test_a_row_that_has_gone_is_told_by_the_database_and_nothing_is_written(beside):
    rows = parcels(3)
    bulk.insert(Parcel, FIELDS, rows)
    bulk.write(Parcel, "id", ["count"], [(row[0], 9) for row in rows], beside=beside, or_else="parcels are lost")
    assert Parcel.objects.filter(count=9).count() == 3
    assert Parcel.objects.count() == 3 + (beside is not None)

    changes = [(rows[0][0], 5), (UUID(int=1), 5), (UUID(int=2), 5)]
    with pytest.raises(DataError, match="2 parcels are lost"), transaction.atomic():
        bulk.write(Parcel, "id", ["count"], changes, or_else="parcels are lost")

    assert not Parcel.objects.filter(count=5).exists()


@pytest.mark.django_db(transaction=True)
def test_a_row_that_has_gone_keeps_a_commit_on_its_way_from_committing():
    [row] = parcels(1)
    bulk.insert(Parcel, FIELDS, [row])

    def write_and_commit() -> None:
        with transaction.atomic(), closing():
            bulk.write(Parcel, "id", ["count"], [(row[0], 5), (UUID(int=1), 5)], or_else="parcels are lost")
            bulk.write(Parcel, "id", ["count"], [(row[0], 7)])

    with pytest.raises(DataError, match="1 parcels are lost"):
        write_and_commit()

    assert list(Parcel.objects.values_list("name", "count")) == [("parcel 0", 0)]
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE kernel_tests_parcel")
