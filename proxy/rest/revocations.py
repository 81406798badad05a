"""POST /api/revoke: taking tokens back; GET /api/revocations: which were."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.cluster.revocations import revoke
from proxy.core.principal import LAST_SECOND
from proxy.models import Revocation
from proxy.rest.fields import Body, Text
from proxy.rest.paging import StaffList, described
from proxy.rest.schema import BODY_ERRORS, PAGE_ERRORS
from proxy.rest.staff_view import StaffApiView

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


class RevokeTokens(StaffApiView):
    """Takes tokens back: their links end with 4011, and they are refused until they expire."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "revoke_tokens"}

    @extend_schema(
        operation_id="revoke", request=RevokeSerializer, responses={200: RevokedSerializer, **BODY_ERRORS}
    )
    def post(self, request: Request) -> Response:
        """Take tokens back. A token that is issued afterwards is good again."""
        asked = self.read(RevokeSerializer())
        try:
            row = revoke(**asked, by=self.caller.doer)
        except ValueError as error:
            raise ParseError(str(error)) from None
        return Response(row.named() | {"until": row.until})


FILTERS = {
    "user": ("user_id", "Of this user id."),
    "jti": ("jti", "The token of this id."),
}


class RevocationSerializer(serializers.ModelSerializer[Revocation]):
    """Tokens that are good no more: of a user or, where it is empty, of everybody; or one, by its id."""

    by = serializers.CharField(source="source", help_text="Staff, a program or a shell.")

    class Meta:
        model = Revocation
        fields = ("id", "user_id", "jti", "issued_before", "reason", "created_at", "until", "by")


class Revocations(StaffList):
    """Whose tokens were taken back."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_revocation"}
    serializer_class = RevocationSerializer
    filters = FILTERS
    ordering = ("-created_at", "-id")

    @extend_schema(
        operation_id="revocations",
        parameters=described(FILTERS),
        responses={200: RevocationSerializer(many=True), **PAGE_ERRORS},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The newest comes first. Those that are over are forgotten."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Revocation]:
        return self.filtered(Revocation.objects.all())
