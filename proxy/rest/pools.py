"""GET /api/pools: pools and their members, as all nodes see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.rest.fields import Body
from proxy.rest.schema import ERRORS
from proxy.rest.staff_view import StaffApiView
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
