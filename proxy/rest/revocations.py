"""POST /api/revoke: taking tokens back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ParseError, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.cluster.revocations import revoke
from proxy.core.principal import LAST_SECOND
from proxy.rest.api_view import ApiView, sentences
from proxy.rest.fields import Body, Text
from proxy.rest.schema import BODY_ERRORS

_MAX_CHARS = 255


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "string", "format": "date-time"}]})
class Moment(serializers.DateTimeField):
    """A time as tokens say it, in seconds since 1970, or in ISO 8601 with its offset."""

    def to_internal_value(self, value: Any) -> datetime:
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LAST_SECOND:
            return datetime.fromtimestamp(value, UTC)
        if not isinstance(value, str):
            self.fail("invalid", format="seconds since 1970, or ISO 8601")
        return super().to_internal_value(value)


class RevokeSerializer(Body):
    """Which tokens: all of a user, one by its id, or all that were issued before a time."""

    user = Text(
        max_length=_MAX_CHARS,
        required=False,
        help_text="All of this user, issued before `issued_before`, or before now.",
    )
    jti = Text(max_length=_MAX_CHARS, required=False, help_text="One, by its id; then nothing else.")
    issued_before = Moment(
        required=False, help_text="Without a user: everybody's. Seconds since 1970, or ISO 8601."
    )
    reason = Text(max_length=_MAX_CHARS, default="", allow_blank=True, help_text="For staff and the log.")


class RevokedSerializer(serializers.Serializer[Any]):
    """What was taken back."""

    user = serializers.CharField(required=False)
    jti = serializers.CharField(required=False)
    issued_before = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(help_text="Until when it is remembered.")


class RevokeTokens(ApiView):
    """Takes tokens back: their links end with 4011, and they are refused until they expire."""

    @extend_schema(
        operation_id="revoke", request=RevokeSerializer, responses={200: RevokedSerializer, **BODY_ERRORS}
    )
    def post(self, request: Request) -> Response:
        """Take tokens back. A token that is issued afterwards is good again."""
        if not self.caller.rights.revoke:
            raise PermissionDenied(f"{self.caller.name} may not revoke")
        try:
            row = revoke(**RevokeSerializer().run_validation(self.sent), by=self.caller.name)
        except ValidationError as error:
            raise ParseError(sentences(error.detail)) from None
        except ValueError as error:
            raise ParseError(str(error)) from None
        return Response(row.named() | {"until": row.until})
