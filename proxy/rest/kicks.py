"""POST /api/kick: ending links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.cluster.kicks import kick
from proxy.core.closes import MAX_REASON_BYTES
from proxy.rest.fields import Body, Text
from proxy.rest.schema import BODY_ERRORS
from proxy.rest.staff_view import StaffApiView

MOST_IDS = 1000
_MAX_ID_CHARS = 255


class KickSerializer(Body):
    """Whom to kick: users, single links, or everyone."""

    user_ids = serializers.ListField(
        child=Text(max_length=_MAX_ID_CHARS),
        max_length=MOST_IDS,
        default=list,
        help_text="All links of each.",
    )
    connection_ids = serializers.ListField(
        child=Text(max_length=_MAX_ID_CHARS), max_length=MOST_IDS, default=list
    )
    everyone = serializers.BooleanField(default=False, help_text="Every link there is; then no ids.")
    reason = Text(
        max_length=MAX_REASON_BYTES,
        default="",
        allow_blank=True,
        help_text=f"What clients are told in the close frame, at most {MAX_REASON_BYTES} bytes.",
    )


class KickedSerializer(serializers.Serializer[Any]):
    """What became of it."""

    ended = serializers.IntegerField(
        allow_null=True, help_text="Links that have ended; null: the database is away, and nobody can say."
    )
    silent = serializers.IntegerField(
        help_text="Gateway processes that said nothing in three seconds. Their links end once they hear."
    )


class Kicks(StaffApiView):
    """Ends links, with close code 4001."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "kick_connection"}

    @extend_schema(
        operation_id="kick", request=KickSerializer, responses={200: KickedSerializer, **BODY_ERRORS}
    )
    def post(self, request: Request) -> Response:
        """End links with close code 4001. It keeps nobody out: whoever was kicked may come back."""
        asked = self.read(KickSerializer())
        try:
            kicked = kick(**asked, by=self.caller.doer)
        except ValueError as error:
            raise ParseError(str(error)) from None
        return Response({"ended": kicked.ended, "silent": len(kicked.silent)})
