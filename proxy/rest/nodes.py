"""GET /api/nodes: the gateway's processes; POST /api/nodes/drain: having one take leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.cluster.node_draining import drain_node
from proxy.models import Connection, Node
from proxy.rest.fields import Text
from proxy.rest.paging import StaffList
from proxy.rest.schema import BODY_ERRORS, PAGE_ERRORS, ErrorSerializer
from proxy.rest.staff_view import ReasonedBody, StaffApiView
from proxy.tables.heart import running_nodes
from proxy.tables.node_names import running_called
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


class DrainNodeSerializer(ReasonedBody):
    """Which node."""

    node = Text(max_length=300, help_text="Its id, or HOST:PID.")
    dry_run = serializers.BooleanField(default=False, help_text="Only say what it would hit.")


class NodeToldSerializer(serializers.Serializer[Any]):
    """What it hits."""

    node = serializers.CharField(help_text="Its id.")
    name = serializers.CharField()
    links = serializers.IntegerField(help_text="That it has: they are closed with 1001, and come back.")
    others = serializers.IntegerField(help_text="Other nodes that take new links.")
    told = serializers.BooleanField(help_text="false: a dry run, or it had been told before.")


class DrainNode(StaffApiView):
    """Drains a node."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "drain_node"}

    @extend_schema(
        operation_id="drain_node",
        request=DrainNodeSerializer,
        responses={200: NodeToldSerializer, 404: ErrorSerializer, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Have a node take no new links, send its clients away and end. It comes back as a new process."""
        asked = self.read(DrainNodeSerializer())
        node = _running(asked["node"])
        links = Connection.objects.filter(closed_at=None, node=node).count()
        others = running_nodes().filter(draining=False, told_to_drain_at=None).exclude(pk=node.pk).count()
        is_told = not asked["dry_run"] and drain_node(node, reason=asked["reason"], by=self.caller.doer)
        told = {"node": node.pk, "name": str(node), "links": links, "others": others, "told": is_told}
        return Response(NodeToldSerializer(told).data)


def _running(name: str) -> Node:
    """The node of that id, or that is called so. Raises NotFound; ParseError for a name of several."""
    found = running_called(name)
    if not found:
        raise NotFound("no such node runs")
    if len(found) > 1:
        raise ParseError("node: several are called so; give an id")
    return found[0]
