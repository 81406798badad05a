"""POST /api/message and /api/broadcast: saying something to those who are connected."""

from __future__ import annotations

from collections.abc import Mapping
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
from proxy.rest.connections import FILTERS
from proxy.rest.fields import Body, Text
from proxy.rest.paging import check_word, routes_known
from proxy.rest.schema import BODY_ERRORS
from proxy.rest.staff_view import WIDE, ReasonedBody, StaffApiView
from proxy.tables.counting import MOST_COUNTED
from proxy.tables.node_names import by_columns

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


class LinksSerializer(Body):
    """Live connections, by what they all have."""

    user = Text(max_length=_MAX_ID_CHARS, required=False)
    route = Text(max_length=_MAX_ID_CHARS, required=False)
    topic = Text(max_length=_MAX_ID_CHARS, required=False)
    node = Text(max_length=300, required=False, help_text="Its id, or HOST:PID.")


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
    silent = serializers.IntegerField(help_text="Gateway processes that have not answered in time.")
    told = serializers.BooleanField(help_text="Whether it was sent: false for a dry run.")


class _Says(StaffApiView):
    """Says something, or only whom it would reach."""

    deed_rate = WIDE

    def _say(self, asked: Mapping[str, Any], whom: Mapping[str, Any], live: int) -> Response:
        try:
            text = staff_message(asked["text"])["text"]
        except ValueError as error:
            raise ParseError(f"text: {error}") from None
        if asked["dry_run"] or not live:
            return Response(ToldSerializer({"links": live, "silent": 0, "told": False}).data)
        try:
            told = tell(text, reason=asked["reason"], by=self.caller.doer, **whom)
        except LayerAway:
            raise SomeMayBeTold from None
        except ValueError as error:
            raise ParseError(str(error)) from None
        return Response(ToldSerializer({"links": told.links, "silent": told.silent, "told": True}).data)


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
                live = Connection.objects.filter(closed_at=None, user_id__in=asked["user_ids"]).count()
            case "connection_ids":
                ids = _ids({"pk__in": asked["connection_ids"]})
                whom, live = {"connection_ids": ids}, len(ids)
            case _:
                wanted = asked["filter"]
                _check_route(wanted.get("route"))
                ids = _ids({FILTERS[name][0]: value for name, value in wanted.items()})
                found_by = "&".join(f"{name}={value}" for name, value in wanted.items())
                whom, live = {"connection_ids": ids, "found_by": found_by}, len(ids)
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
            _check_route(asked["route"])
            ids = _ids({"route": asked["route"]})
            whom: _Live = {"connection_ids": ids, "found_by": f"route={asked['route']}"}
            return self._say(asked, whom, len(ids))
        live = Connection.objects.filter(closed_at=None).order_by()[: MOST_COUNTED + 1].count()
        return self._say(asked, {"everyone": True}, live)


def _check_route(name: str | None) -> None:
    """Raises ParseError for one that there is not: nobody is on it, and nobody would be told."""
    if name is not None:
        check_word(name, routes_known(), Connection, "route", name="route")


def _ids(wanted: Mapping[str, Any]) -> list[str]:
    """The live connections that have all that. Raises ParseError: they are too many to be named."""
    live = Connection.objects.filter(closed_at=None, **by_columns(wanted)).order_by("pk")
    ids = list(live.values_list("pk", flat=True)[: MOST_COUNTED + 1])
    if len(ids) > MOST_COUNTED:
        raise ParseError(f"those are more than {MOST_COUNTED:,}: broadcast it to all")
    return ids
