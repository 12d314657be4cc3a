"""Lists read `{results, next, previous}`: cursors, never page numbers, so that new rows move nothing.

`CursorPage` pages a queryset; `page` pages a selector that answers frozen dataclasses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.core.exceptions import ValidationError
from django.core.signing import BadSignature, Signer
from django.db import DataError
from django.db.models import QuerySet
from django.http import QueryDict
from rest_framework.exceptions import NotFound as InvalidPage
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.kernel.errors import Refusal

PAGE_SIZE: Final = 20
MAX_PAGE_SIZE: Final = 100

T = TypeVar("T")


class InvalidCursor(Refusal):
    """The cursor is not one of ours. Start again without it."""

    code = "invalid_cursor"


class CursorPage(CursorPagination):
    """REST framework's `pagination_class` for querysets with UUIDv7 keys: the newest first, `limit` rows a page."""

    page_size = PAGE_SIZE
    page_size_query_param = "limit"
    max_page_size = MAX_PAGE_SIZE
    ordering = "-id"

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: Any = None
    ) -> list[Any] | None:
        """Read one page; raises `InvalidCursor`, also for a forged position that is no key of the table's."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (InvalidPage, ValidationError, DataError) as error:
            raise InvalidCursor from error

    def get_paginated_response(self, data: Any) -> Response:
        """Wrap one page of serialized rows."""
        return Response({"results": data, "next": self.get_next_link(), "previous": self.get_previous_link()})


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows a selector shall read, in the list's own order: at most `limit`.

    `position` None: from the start. Otherwise the rows after the one with that key, or, where `backwards`, the rows
    just before it, nearest first.
    """

    limit: int
    position: str | None = None
    backwards: bool = False


def page(
    request: Request,
    *,
    read: Callable[[Window], Sequence[T]],
    key: Callable[[T], str],
    show: Callable[[Sequence[T]], Sequence[Any]],
) -> Response:
    """Answer one page: `read` rows, whose unique sort key is `key(row)`, as `show` writes them.

    The query may hold `limit` (1 to 100) and `cursor`. Raises `InvalidCursor`.
    """
    asked = _window(request.query_params)
    found = list(read(Window(asked.limit + 1, asked.position, asked.backwards)))
    more, rows = len(found) > asked.limit, found[: asked.limit]
    if asked.backwards:
        rows.reverse()
    follows = bool(rows) if asked.backwards else more
    precedes = more if asked.backwards else asked.position is not None and bool(rows)
    return Response(
        {
            "results": show(rows),
            "next": _link(request, "a", key(rows[-1])) if follows else None,
            "previous": _link(request, "b", key(rows[0])) if precedes else None,
        }
    )


def _window(query: Mapping[str, str] | QueryDict) -> Window:
    size = query.get("limit", "")
    limit = min(max(int(size), 1), MAX_PAGE_SIZE) if size.isascii() and size.isdigit() and len(size) < 9 else PAGE_SIZE
    cursor = query.get("cursor", "")
    if not cursor:
        return Window(limit)
    try:
        direction, position = _signer().unsign(cursor).split(":", 1)
    except (BadSignature, ValueError) as error:
        raise InvalidCursor from error
    return Window(limit, position, backwards=direction == "b")


def _link(request: Request, direction: str, position: str) -> str:
    query = request.query_params.copy()
    query["cursor"] = _signer().sign(f"{direction}:{position}")
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


def _signer() -> Signer:
    """Signed, so that a selector may trust that a position is a key which it once gave out."""
    return Signer(salt="marketplace.kernel.pagination", sep="~")
