"""GET /api/presence/TOPIC: who is on a topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.cluster.presence import MOST_NAMED, NAMED, presence
from proxy.rest.fields import Body
from proxy.rest.schema import ERRORS
from proxy.rest.staff_view import StaffApiView


class AskedSerializer(Body):
    """How many links are to be named."""

    limit = serializers.IntegerField(
        min_value=0, max_value=MOST_NAMED, default=NAMED, help_text="How many are named in `who`."
    )


class PresentSerializer(serializers.Serializer[Any]):
    """A socket that is on the topic."""

    connection = serializers.CharField(help_text="Its id, as in `GET /api/connections`.")
    user = serializers.CharField(help_text="The user id that its client has shown.")


class PresenceSerializer(serializers.Serializer[Any]):
    """Who is there now. `links` may be more than `who` names."""

    nodes = serializers.IntegerField(help_text="Gateway processes with such links.")
    links = serializers.IntegerField(help_text="Sockets that are on the topic.")
    who = PresentSerializer(many=True)
    silent = serializers.IntegerField(
        required=False, help_text="Gateway processes that listen and have not answered in a second."
    )


class Presences(StaffApiView):
    """Tells who is on a topic."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_connection"}
    read_rate = None

    @extend_schema(
        operation_id="presence",
        parameters=[
            OpenApiParameter("topic", location="path", description="Such as `user:ada`, percent-encoded."),
            AskedSerializer,
        ],
        responses={200: PresenceSerializer, **ERRORS},
    )
    def get(self, request: Request, topic: str) -> Response:
        """Who is on a topic, as its nodes say in the moment."""
        try:
            found = presence(topic, named=self.query(AskedSerializer())["limit"])
        except ValueError as error:
            raise ParseError(str(error)) from None
        who = [{"connection": each.connection_id, "user": each.user_id} for each in found.who]
        told = {"nodes": found.nodes, "links": found.links, "who": who}
        return Response(told | {"silent": found.silent} if found.silent else told)
