"""Columns come back from PostgreSQL as they went."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DataError, models

from marketplace.kernel import arrays, bulk

pytestmark = pytest.mark.django_db


class Colour(models.TextChoices):
    RED = "red"


NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
VALUES: dict[str, list[Any]] = {
    "uuid": [uuid4(), UUID(int=0), UUID(int=2**128 - 1)],
    "varchar": ["", "Grüße", "naïve ☕ " * 50, Colour.RED],
    "text": ["same", "same", "same"],
    "smallint": [-(2**15), 0, 2**15 - 1],
    "integer": [-(2**31), 0, 2**31 - 1],
    "bigint": [-(2**63), 0, 2**63 - 1],
    "boolean": [True, False, True],
    "timestamp with time zone": [
        NOON,
        NOON,
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        NOON.astimezone(timezone(timedelta(hours=5, minutes=45))),
    ],
}


def there_and_back(kind: str, values: list[Any]) -> list[Any]:
    with bulk.binding_cursor() as cursor:
        cursor.execute(f"SELECT %b::{kind}[]", [arrays.KINDS[kind](values)])
        answer: list[Any] = cursor.fetchone()[0]
    return answer


@pytest.mark.parametrize("kind", VALUES)
def test_a_column_comes_back_as_it_went(kind: str) -> None:
    values = VALUES[kind]
    for given in (values, values[:1], [], [None], [None, *values], [*values, None], [values[0], None, values[0]]):
        assert there_and_back(kind, given) == given


def test_documents_come_back_as_what_they_say() -> None:
    texts = ['{"a": [1, "ü"]}', "null", '"x"', None]
    assert there_and_back("jsonb", texts) == texts  # Django's cursors answer jsonb as text
    assert there_and_back("jsonb", [b'{"raw": true}']) == ['{"raw": true}']


def test_a_column_may_be_any_sequence_once() -> None:
    assert there_and_back("integer", iter([1, 2])) == [1, 2]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("uuid", "not one"), ("integer", 2**31), ("smallint", "1"), ("text", 5), ("timestamp with time zone", "noon")],
)
def test_what_is_no_such_value_is_refused_before_it_is_sent(kind: str, value: Any) -> None:
    with pytest.raises((AttributeError, TypeError, arrays.error)):
        there_and_back(kind, [value])


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError, match="naive"):
        there_and_back("timestamp with time zone", [datetime(2026, 1, 1)])  # noqa: DTZ001 - on purpose


def test_what_text_cannot_hold_is_the_databases_error() -> None:
    with pytest.raises(DataError):
        there_and_back("text", ["NUL \x00"])
