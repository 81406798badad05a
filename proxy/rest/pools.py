"""GET /api/pools: pools and their members; POST /api/members/drain and /api/members/bring-back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.models import PoolMember
from proxy.rest.fields import Body, Text
from proxy.rest.schema import BODY_ERRORS, ERRORS, ErrorSerializer
from proxy.rest.staff_view import ReasonedBody, StaffApiView
from proxy.tables.member_draining import MOVE_SECONDS, Drain, drain_member, find_member, others_of
from proxy.tables.pools_overview import pool_views


class MemberSerializer(serializers.Serializer[Any]):
    """A member over all nodes."""

    url = serializers.CharField()
    state = serializers.CharField(help_text="What the node that sees it worst says, or what it was told.")
    takes_new_links = serializers.BooleanField()
    draining = serializers.BooleanField()
    removed = serializers.BooleanField(help_text="It is declared no more, and has links yet.")
    weight = serializers.IntegerField()
    max_connections = serializers.IntegerField(allow_null=True, help_text="On each node; null: no cap.")
    links = serializers.IntegerField()
    dial_ms = serializers.FloatField(allow_null=True, help_text="The slowest node's average.")
    down_since = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField()


class PoolSerializer(serializers.Serializer[Any]):
    """A pool."""

    name = serializers.CharField()
    from_settings = serializers.BooleanField(help_text="Its members are those that settings declare.")
    editable = serializers.BooleanField(help_text="Staff may drain its members.")
    members = MemberSerializer(many=True)


class PoolsSerializer(serializers.Serializer[Any]):
    """All pools."""

    results = PoolSerializer(many=True)


class Pools(StaffApiView):
    """Pools and members."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_poolmember"}

    @extend_schema(operation_id="pools", responses={200: PoolsSerializer, **ERRORS})
    def get(self, request: Request) -> Response:
        """All there are: as many as settings and staff have declared."""
        self.query(Body())
        return Response(PoolsSerializer({"results": pool_views()}).data)


class MemberNamedSerializer(ReasonedBody):
    """Which member."""

    pool = Text(max_length=64)
    url = Text(max_length=255, help_text="As the list of pools has it.")


class DrainMemberSerializer(MemberNamedSerializer):
    """Which member, and how."""

    move = serializers.BooleanField(
        default=False, help_text=f"Also end the links that it has, over {MOVE_SECONDS} seconds."
    )
    dry_run = serializers.BooleanField(default=False, help_text="Only say what it would hit.")


class MemberToldSerializer(serializers.Serializer[Any]):
    """What it hits."""

    pool = serializers.CharField()
    url = serializers.CharField()
    links = serializers.IntegerField(help_text="That it has, on all nodes.")
    others = serializers.IntegerField(help_text="Other members of the pool that take new links.")
    told = serializers.BooleanField(
        help_text="Whether it was done: false for a dry run, or if there was nothing to do."
    )


class _MemberDeed(StaffApiView):
    """Does something to a member."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "drain_poolmember"}

    def _do(self, asked: Mapping[str, Any], how: Drain) -> Response:
        found = find_member(asked["pool"], asked["url"])
        if found is None:
            raise NotFound(_NO_MEMBER)
        pool, member = found
        is_told = not asked.get("dry_run", False)
        if is_told:
            try:
                is_told = bool(
                    drain_member(member, pool.name, how, reason=asked["reason"], by=self.caller.doer)
                )
            except PoolMember.DoesNotExist:
                raise NotFound(_NO_MEMBER) from None
        told = {"pool": pool.name, "url": member.url, "links": member.links}
        others = others_of(pool, member)
        return Response(MemberToldSerializer({**told, "others": others, "told": is_told}).data)


_NO_MEMBER = "there is no such member in a pool that staff may change"


class DrainMember(_MemberDeed):
    """Drains a member."""

    @extend_schema(
        operation_id="drain_member",
        request=DrainMemberSerializer,
        responses={200: MemberToldSerializer, 404: ErrorSerializer, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Give a member no new links, on every node; with `move` also end those that it has."""
        asked = self.read(DrainMemberSerializer())
        return self._do(asked, Drain.MOVE if asked["move"] else Drain.DRAIN)


class BringBackMember(_MemberDeed):
    """Brings a member back."""

    @extend_schema(
        operation_id="bring_back_member",
        request=MemberNamedSerializer,
        responses={200: MemberToldSerializer, 404: ErrorSerializer, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Give a member that was drained new links again."""
        return self._do(self.read(MemberNamedSerializer()), Drain.UNDRAIN)
