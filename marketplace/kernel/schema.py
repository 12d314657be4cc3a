"""What every call of the API may answer beside its own, for the OpenAPI document: problem details."""

from http import HTTPStatus
from typing import Any, Final

from marketplace.kernel.problems import CONTENT_TYPE

ALWAYS: Final = (400, 401, 403, 404, 406, 429, 503)
WITH_A_BODY: Final = (409, 413, 415, 422)
METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})
_TEXT: Final = {"type": "string"}
PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What went wrong (RFC 9457). Some codes have further members.",
    "properties": {
        "type": {**_TEXT, "format": "uri"},
        "title": _TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {**_TEXT, "description": "for people"},
        "instance": {**_TEXT, "description": "the path that was asked for"},
        "code": {**_TEXT, "description": "for programs: it stays what it is"},
        "retryable": {"type": "boolean", "description": "whether the same request may be answered otherwise later"},
        "requestId": {**_TEXT, "description": "under which the log knows this request"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {**_TEXT, "description": "which part of the request, as a JSON pointer (RFC 6901)"},
                    "code": _TEXT,
                    "detail": _TEXT,
                },
                "required": ["pointer", "code", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "instance", "code", "retryable", "requestId", "errors"],
}


def with_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add the problems to every operation: drf-spectacular's POSTPROCESSING_HOOKS."""
    result["components"].setdefault("schemas", {})["Problem"] = PROBLEM
    for path in result["paths"].values():
        for method in METHODS & path.keys():
            statuses = (*ALWAYS, *WITH_A_BODY) if method != "get" else ALWAYS
            for status in statuses:
                path[method]["responses"].setdefault(str(status), _problem(HTTPStatus(status)))
    return result


def _problem(status: HTTPStatus) -> dict[str, Any]:
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answer: dict[str, Any] = {"description": status.phrase, "content": content}
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "in seconds"}}
    return answer
