"""POST /api/message and /api/broadcast: saying something to those who are connected."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.cluster.questions import LayerAway
from proxy.cluster.staff_messages import tell
from proxy.core.staff_messages import MAX_CHARS, staff_message
from proxy.models import Connection
from proxy.rest.fields import Text
from proxy.rest.live_links import LinksSerializer, chosen
from proxy.rest.schema import BODY_ERRORS
from proxy.rest.staff_view import WIDE, ReasonedBody, StaffApiView
from proxy.tables.counting import Counted, count_live

MOST_IDS = 1_000
_MAX_ID_CHARS = 255
_Live = dict[str, Any]


class SomeMayBeTold(APIException):
    """Redis is away, or does not answer."""

    status_code = 503
    default_detail = "Redis is away, or has not answered in time: some may have been told."


class SaidSerializer(ReasonedBody):
    """What people read."""

    text = Text(help_text=f"What people read, where their client shows it: {MAX_CHARS} characters at most.")
    dry_run = serializers.BooleanField(default=False, help_text="Only say whom it would reach.")


class MessageWantedSerializer(SaidSerializer):
    """To whom: users, single connections, or those that a filter finds; one of the three."""

    user_ids = serializers.ListField(child=Text(max_length=_MAX_ID_CHARS), max_length=MOST_IDS, default=list)
    connection_ids = serializers.ListField(
        child=Text(max_length=_MAX_ID_CHARS), max_length=MOST_IDS, default=list
    )
    filter = LinksSerializer(required=False)


class BroadcastSerializer(SaidSerializer):
    """To whom: everyone."""

    route = Text(
        max_length=_MAX_ID_CHARS, default="", allow_blank=True, help_text="Only those on this route."
    )


class ToldSerializer(serializers.Serializer[Any]):
    """Whom it reaches."""

    links = serializers.IntegerField(help_text="Connections that took it; of a dry run: that are live.")
    is_bounded = serializers.BooleanField(help_text="Of a dry run: there are more, counting stopped.")
    silent = serializers.IntegerField(help_text="Gateway processes that have not answered in time.")
    told = serializers.BooleanField(help_text="Whether it was sent: false for a dry run.")


class _Says(StaffApiView):
    """Says something, or only whom it would reach."""

    deed_rate = WIDE

    def _say(self, asked: Mapping[str, Any], whom: Mapping[str, Any], live: Counted) -> Response:
        try:
            text = staff_message(asked["text"])["text"]
        except ValueError as error:
            raise ParseError(f"text: {error}") from None
        if asked["dry_run"] or not live.links:
            return _answer(**live._asdict(), silent=0, told=False)
        try:
            told = tell(text, reason=asked["reason"], by=self.caller.doer, **whom)
        except LayerAway:
            raise SomeMayBeTold from None
        except ValueError as error:
            raise ParseError(str(error)) from None
        return _answer(links=told.links, is_bounded=False, silent=told.silent, told=True)

    def _say_to_chosen(self, asked: Mapping[str, Any], wanted: Mapping[str, str]) -> Response:
        found = chosen(wanted)
        return self._say(asked, found.whom(), Counted(len(found.connection_ids), is_bounded=False))


def _live(ids: Collection[str]) -> list[str]:
    """Those of them that are live."""
    rows = Connection.objects.filter(closed_at=None, pk__in=ids).order_by("pk")
    return list(rows.values_list("pk", flat=True))


def _answer(**told: int) -> Response:
    return Response(ToldSerializer(told).data)


class SendMessage(_Says):
    """Says something to some."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "message_connection"}

    @extend_schema(
        operation_id="send_message",
        request=MessageWantedSerializer,
        responses={200: ToldSerializer, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Say something to users, to single connections, or to all that a filter finds, once."""
        asked = self.read(MessageWantedSerializer())
        given = [name for name in ("user_ids", "connection_ids", "filter") if asked.get(name)]
        if len(given) != 1:
            raise ParseError("name users, connections or a filter: one of the three")
        whom: _Live
        match given[0]:
            case "user_ids":
                whom = {"user_ids": asked["user_ids"]}
                live = count_live(user_id__in=asked["user_ids"])
            case "connection_ids":
                ids = _live(asked["connection_ids"])
                whom, live = {"connection_ids": ids}, Counted(len(ids), is_bounded=False)
            case _:
                return self._say_to_chosen(asked, asked["filter"])
        return self._say(asked, whom, live)


class Broadcast(_Says):
    """Says something to everyone."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "broadcast_connection"}

    @extend_schema(
        operation_id="broadcast",
        request=BroadcastSerializer,
        responses={200: ToldSerializer, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Say something to everyone who is connected, or to all on one route, once."""
        asked = self.read(BroadcastSerializer())
        if asked["route"]:
            return self._say_to_chosen(asked, {"route": asked["route"]})
        return self._say(asked, {"everyone": True}, count_live())
