"""GET /api/people: who is meant; GET /api/people/USER: one user's story."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.core.people import MAX_USER_ID_CHARS, Entry, Place
from proxy.models import Connection, Refusal
from proxy.rest.blocks import BlockSerializer
from proxy.rest.connections import ConnectionSerializer
from proxy.rest.fields import Body, Text
from proxy.rest.refusals import RefusalSerializer
from proxy.rest.schema import ERRORS, PAGE_ERRORS
from proxy.rest.staff_view import StaffApiView
from proxy.tables.blocking import blocks_of
from proxy.tables.finding_people import find
from proxy.tables.people import Sight, Story, story_of

_MAX_TERM_CHARS = 255


class TermSerializer(Body):
    """Who is looked for."""

    q = Text(
        max_length=_MAX_TERM_CHARS,
        help_text="A user id, e-mail or IP address, the id of a connection or a request, or how one begins.",
    )


class FoundSerializer(serializers.Serializer[Any]):
    """Somebody, and how many of the rows that were looked at are theirs."""

    user_id = serializers.CharField()
    email = serializers.CharField()
    connections = serializers.IntegerField()
    refusals = serializers.IntegerField()


class ResultSerializer(serializers.Serializer[Any]):
    """Whom the term means; where nobody is known, the records that it names."""

    people = FoundSerializer(many=True)
    connections = ConnectionSerializer(many=True)
    refusals = RefusalSerializer(many=True)
    is_cut = serializers.BooleanField(help_text="There were more than were looked at.")
    place = serializers.CharField(help_text="The address that was looked for, or its /64; else empty.")


class People(StaffApiView):
    """Finds people."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_connection"}

    @extend_schema(
        operation_id="find_people", parameters=[TermSerializer], responses={200: ResultSerializer, **ERRORS}
    )
    def get(self, request: Request) -> Response:
        """Found as in admin: by whole ids and addresses first, then by how ids begin."""
        found = find(self.query(TermSerializer())["q"], sees_refusals=self.caller.rights.may("view_refusal"))
        told = {
            "people": found.people,
            "connections": [row for row in found.rows if isinstance(row, Connection)],
            "refusals": [row for row in found.rows if isinstance(row, Refusal)],
            "is_cut": found.is_cut,
            "place": found.place,
        }
        return Response(ResultSerializer(told).data)


class PlaceSerializer(Body):
    """Which page of the story."""

    before = Text(max_length=255, required=False, help_text="`older` of the page before.")


class LineSerializer(serializers.Serializer[Entry]):
    """What happened. `words` and `details` are ours, `said` what a client, a service or staff wrote."""

    at = serializers.DateTimeField(source="place.at")
    kind = serializers.SerializerMethodField(help_text="refusal, opened, link_event, closed or note.")
    words = serializers.CharField()
    details = serializers.CharField()
    said = serializers.CharField()
    id = serializers.CharField(source="row_id", help_text="Of the refusal, connection or note; or empty.")

    request_id = serializers.CharField(help_text="Which the client was told; of refusals, opens and closes.")

    def get_kind(self, entry: Entry) -> str:
        return entry.place.source.name.lower()


class StorySerializer(serializers.Serializer[Any]):
    """What is known of one user. Parts that the caller may not see are left out of it."""

    user_id = serializers.CharField()
    live = ConnectionSerializer(many=True, help_text="With the newest page: the live links, 25 at most.")
    has_more_live = serializers.BooleanField()
    blocks = BlockSerializer(many=True, help_text="With the newest page: those that hold now.")
    older = serializers.CharField(allow_null=True, help_text="For `before`; null: there is no more.")
    timeline = LineSerializer(many=True, help_text="The newest first.")


class PersonStory(StaffApiView):
    """One user's story."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_connection"}

    @extend_schema(
        operation_id="person",
        parameters=[
            OpenApiParameter("user_id", location="path", description="A user id, percent-encoded."),
            PlaceSerializer,
        ],
        responses={200: StorySerializer, **PAGE_ERRORS},
    )
    def get(self, request: Request, user_id: str) -> Response:
        """Refusals, opens, closes, what happened to links, and what staff did and wrote, as one timeline."""
        if len(user_id) > MAX_USER_ID_CHARS:
            raise NotFound("no user id is like that")
        before = self.query(PlaceSerializer()).get("before")
        try:
            below = None if before is None else Place.parse(before)
        except ValueError:
            raise ParseError("before: it is no place in this story") from None
        story = story_of(user_id, self._sight(), below=below)
        return Response(StorySerializer(self._told(user_id, story, is_newest=below is None)).data)

    def _told(self, user_id: str, story: Story, *, is_newest: bool) -> dict[str, Any]:
        address = (story.newest.client_address or "") if story.newest else ""
        sees_blocks = is_newest and self.caller.rights.may("view_block")
        return {
            "user_id": user_id,
            "live": story.live,
            "has_more_live": story.has_more_live,
            "blocks": blocks_of(user_id, address)[0] if sees_blocks else [],
            "older": None if story.page.older is None else str(story.page.older),
            "timeline": story.page.entries,
        }

    def _sight(self) -> Sight:
        may = self.caller.rights.may
        return Sight(
            refusals=may("view_refusal"),
            blocks=may("view_block"),
            revocations=may("view_revocation"),
            notes=may("view_staffnote"),
        )
