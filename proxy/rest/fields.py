"""What callers send, read strictly: who has misspelt a name is told."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class Text(serializers.CharField):
    """A text, taken as it is: a number is none, and blanks at its ends are its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Body(serializers.Serializer[Any]):
    """An object that has these fields and no others."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and not data.keys() <= self.fields.keys():
            strange = ", ".join(sorted(data.keys() - self.fields.keys()))
            raise serializers.ValidationError(f"there is no such field: {strange[:100]}")
        return super().to_internal_value(data)
