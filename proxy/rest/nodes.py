"""GET /api/nodes: the gateway's processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.models import Node
from proxy.rest.paging import StaffList
from proxy.rest.schema import PAGE_ERRORS
from proxy.tables.node_views import state_of, with_links

STATES = ("running", "stopped", "all")


class NodeSerializer(serializers.ModelSerializer[Node]):
    """A gateway process."""

    name = serializers.CharField(source="__str__", help_text="HOST:PID, as admin and logs name it.")
    state = serializers.SerializerMethodField(
        help_text="running, draining, told to drain, silent (it has not beaten for long) or stopped."
    )
    links = serializers.IntegerField(help_text="Its live links.")

    class Meta:
        model = Node
        fields = ("id", "name", "state", "links", "started_at", "heartbeat_at", "stopped_at")

    def get_state(self, node: Node) -> str:
        return state_of(node, now=timezone.now())


class Nodes(StaffList):
    """The gateway's processes."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_node"}
    serializer_class = NodeSerializer
    more = frozenset({"state"})
    ordering = ("-started_at", "id")

    @extend_schema(
        operation_id="nodes",
        parameters=[
            OpenApiParameter("state", enum=STATES, default="running", description="That have not stopped.")
        ],
        responses={200: NodeSerializer(many=True), **PAGE_ERRORS},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The last that was started comes first. Each restart leaves one that has stopped."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Any]:
        rows, state = self.filtered(Node.objects.all()), self.one_of("state", STATES)
        return with_links(rows if state == "all" else rows.filter(stopped_at__isnull=state == "running"))
