"""The shape of what comes in and goes out."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from marketplace.kernel.naming import AsSent, camel


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer whose fields are snake_case in the code and camelCase on the wire, and that takes nothing unknown.

    `validated_data`, `validate_<field>` and `get_<field>` use the names of the code. An unknown, or a read-only, field
    is refused with the code `unknown_field`, together with whatever else is wrong.
    """

    @classmethod
    def read(cls, data: Any) -> dict[str, Any]:
        """Return `data`, validated; raises `ValidationError` with everything that is wrong.

        What `is_valid` and `validated_data` do, with one serializer for all requests: to copy its fields for each takes
        several times as long as to read with them. So nothing of the request may be kept on `self` while reading.
        """
        value: dict[str, Any] = _reader(cls).run_validation(data)
        return value

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the declared fields under their names on the wire."""
        fields = {}
        for name, field in super().get_fields().items():
            wire = camel(name)
            if wire != name:
                _point_back(field, name)
                if validate := getattr(self, f"validate_{name}", None):
                    setattr(self, f"validate_{wire}", validate)
            fields[wire] = field
        return fields

    def to_internal_value(self, data: Any) -> Any:
        """Read `data`; raises `ValidationError` with everything that is wrong at once."""
        errors: dict[str, Any] = {}
        if isinstance(data, Mapping):
            known = {name for name, field in self.fields.items() if not field.read_only}
            for key in data:
                if key not in known:
                    errors[AsSent(key)] = [ErrorDetail("There is no such field here.", code="unknown_field")]
        try:
            value = super().to_internal_value(data)
        except ValidationError as error:
            if not isinstance(error.detail, Mapping):
                raise
            errors = {**error.detail, **errors}
        if errors:
            raise ValidationError(errors)
        return value


@cache
def _reader(kind: type[StrictSerializer]) -> StrictSerializer:
    return kind()


def _point_back(field: serializers.Field[Any, Any, Any, Any], name: str) -> None:
    """Let a field that is renamed on the wire still find its value, or its method, under `name`."""
    if field.source is None:
        field.source = name
    if isinstance(field, serializers.SerializerMethodField) and field.method_name is None:
        field.method_name = f"get_{name}"
