from base64 import b64encode

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from marketplace.kernel.pagination import CursorPage, InvalidCursor, Window, page


def words(count: int) -> list[str]:
    return [f"w{number:03d}" for number in range(count)]


def reader(rows):
    """A selector over `rows`, sorted, as one over a table would be."""

    def read(window: Window):
        if window.position is None:
            return rows[: window.limit]
        if window.backwards:
            return [row for row in reversed(rows) if row < window.position][: window.limit]
        return [row for row in rows if row > window.position][: window.limit]

    return read


def get(address, rows):
    request = Request(APIRequestFactory().get(address))
    return page(request, read=reader(rows), key=str, show=list).data


def test_a_list_is_walked_to_its_end_and_back():
    rows = words(25)
    seen, address, pages = [], "/words?limit=10", 0
    while address:
        answer = get(address, rows)
        seen += answer["results"]
        last, address, pages = answer, answer["next"], pages + 1
    assert (seen, pages) == (rows, 3)
    assert last["results"] == rows[20:]

    middle = get(last["previous"], rows)
    first = get(middle["previous"], rows)

    assert middle["results"] == rows[10:20]
    assert (first["results"], first["previous"]) == (rows[:10], None)
    assert get(first["next"], rows)["results"] == rows[10:20]


def test_one_page_has_no_neighbours():
    assert get("/words", words(20)) == {"results": words(20), "next": None, "previous": None}
    assert get("/words", []) == {"results": [], "next": None, "previous": None}


def test_rows_that_come_before_move_nothing():
    rows = words(30)[10:]
    answer = get("/words?limit=5", rows)

    assert get(answer["next"], words(30))["results"] == rows[5:10]


@pytest.mark.parametrize(
    ("limit", "count"), [("5", 5), ("0", 1), ("1000", 100), ("", 20), ("-3", 20), ("many", 20), ("9" * 5000, 20)]
)
def test_the_limit_is_bounded(limit, count):
    assert len(get(f"/words?limit={limit}", words(150))["results"]) == count


def test_other_parameters_stay_in_the_links():
    assert "category=tea%26co" in get("/words?limit=1&category=tea%26co", words(2))["next"]


@pytest.mark.parametrize("cursor", ["x", "%FF", "a:w001", "a:w001~x", "é", "%00", "a" * 5000])
def test_a_forged_cursor_is_refused(cursor):
    with pytest.raises(InvalidCursor):
        get(f"/words?cursor={cursor}", words(3))


@pytest.mark.django_db
def test_a_queryset_is_paged_newest_first():
    Group.objects.bulk_create(Group(name=word) for word in words(3))
    pages = CursorPage()
    request = Request(APIRequestFactory().get("/groups?limit=2"))

    rows = pages.paginate_queryset(Group.objects.all(), request)

    assert [group.name for group in rows] == ["w002", "w001"]
    body = pages.get_paginated_response([group.name for group in rows]).data
    assert list(body) == ["results", "next", "previous"]
    rest = CursorPage().paginate_queryset(Group.objects.all(), Request(APIRequestFactory().get(body["next"])))
    assert [group.name for group in rest] == ["w000"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "cursor", ["%ff", b64encode(b"p=junk").decode(), b64encode(b"p=99999999999999999999").decode()]
)
def test_a_forged_cursor_of_a_queryset_is_refused(cursor):
    with pytest.raises(InvalidCursor):
        CursorPage().paginate_queryset(
            get_user_model().objects.all(), Request(APIRequestFactory().get(f"/users?cursor={cursor}"))
        )
