"""POST /api/kick: ending links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.cluster.kicks import kick
from proxy.core.closes import MAX_REASON_BYTES
from proxy.rest.fields import Body, Text
from proxy.rest.live_links import LinksSerializer, chosen
from proxy.rest.schema import BODY_ERRORS
from proxy.rest.staff_view import WIDE, StaffApiView
from proxy.tables.counting import Counted, count_live

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
    filter = LinksSerializer(required=False, help_text="All live links that have all of that; then no ids.")
    dry_run = serializers.BooleanField(default=False, help_text="Only say how many it would end.")
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
    links = serializers.IntegerField(required=False, help_text="Of a dry run alone: those that are live.")
    is_bounded = serializers.BooleanField(required=False, help_text="Likewise: there are more.")


class Kicks(StaffApiView):
    """Ends links, with close code 4001."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "kick_connection"}

    @extend_schema(
        operation_id="kick", request=KickSerializer, responses={200: KickedSerializer, **BODY_ERRORS}
    )
    def post(self, request: Request) -> Response:
        """End links with close code 4001. It keeps nobody out: whoever was kicked may come back."""
        asked = self.read(KickSerializer())
        dry_run = asked.pop("dry_run")
        if dry_run or asked["everyone"] or asked.get("filter"):  # each live link is looked at
            WIDE.take(self.caller.name)
        whom = _whom(asked)
        if dry_run:
            return Response({"ended": 0, "silent": 0, **_live(whom)._asdict()})
        if "found_by" in whom and not whom["connection_ids"]:
            return Response({"ended": 0, "silent": 0})
        try:
            kicked = kick(**whom, reason=asked["reason"], by=self.caller.doer)
        except ValueError as error:
            raise ParseError(str(error)) from None
        return Response({"ended": kicked.ended, "silent": len(kicked.silent)})


def _whom(asked: Mapping[str, Any]) -> dict[str, Any]:
    """For `kick`. Raises ParseError for nobody, and for a filter beside others."""
    named = {name: asked[name] for name in ("user_ids", "connection_ids", "everyone") if asked[name]}
    if wanted := asked.get("filter"):
        if named:
            raise ParseError("a filter says it all: name no ids beside it, and not everyone")
        if not asked["reason"]:
            raise ParseError("reason: say why, where a filter finds whom")
        return chosen(wanted).whom()
    if not named or ("everyone" in named and len(named) > 1):
        raise ParseError("kick somebody (user_ids, connection_ids, a filter) or everyone: one of them")
    return named


def _live(whom: Mapping[str, Any]) -> Counted:
    """How many live links they have."""
    if "found_by" in whom:
        return Counted(len(whom["connection_ids"]), is_bounded=False)
    if "everyone" in whom:
        return count_live()
    named = Q(user_id__in=whom.get("user_ids", ())) | Q(pk__in=whom.get("connection_ids", ()))
    return count_live(named)
