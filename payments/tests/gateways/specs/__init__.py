"""Whether a request is one that the provider's published OpenAPI document allows."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30Validator

_UNKNOWN_PARAMETER = "additionalProperties"  # the SDKs are newer than the documents


class Document:
    """One OpenAPI document. `complaints` says what is wrong with a request; empty is good."""

    def __init__(self, name: str) -> None:
        self._whole = json.loads((Path(__file__).parent / name).read_text())
        self._paths = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), path, operations)
            for path, operations in self._whole["paths"].items()
        ]

    def complaints(self, method: str, path: str, body: dict[str, Any], *, media: str) -> list[str]:
        operation = self._operation(method, path)
        if operation is None:
            return [f"{method} {path} is not in the document"]
        content = self._body_of(operation).get("content", {})
        if media not in content:
            return [f"{method} {path} takes no body"] if body else []
        schema = {**_usable(content[media]["schema"]), "components": _usable(self._whole.get("components", {}))}
        return [
            f"{method} {path}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
            for error in OAS30Validator(schema).iter_errors(body)
            if error.validator != _UNKNOWN_PARAMETER
        ]

    def schema(self, method: str, path: str, *, media: str) -> dict[str, Any]:
        operation = self._operation(method, path) or {}
        found = self._body_of(operation).get("content", {}).get(media, {}).get("schema", {})
        return dict(found)

    def _body_of(self, operation: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = operation.get("requestBody", {})
        if "$ref" in found:
            found = self._whole["components"]["requestBodies"][found["$ref"].rpartition("/")[2]]
        return found

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        found = [(p, ops) for pattern, p, ops in self._paths if pattern.fullmatch(path) and method.lower() in ops]
        if not found:
            return None
        _, operations = min(found, key=lambda match: match[0].count("{"))  # the one that says most wins
        operation: dict[str, Any] = operations[method.lower()]
        return operation


@cache
def document(name: str) -> Document:
    return Document(name)


def _usable(schema: Any) -> Any:
    """The schema without patterns that are no regular expressions here."""
    if isinstance(schema, list):
        return [_usable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: _usable(v) for k, v in schema.items() if not (k == "pattern" and isinstance(v, str) and _broken(v))}


def _broken(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return True
    return False
