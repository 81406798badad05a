"""GET /api/status: how the gateway is; GET /api/series: what its nodes did, as charts show it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from asgiref.sync import async_to_sync
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.core import figures
from proxy.core.series import SPANS
from proxy.node import node_here
from proxy.rest.fields import Body
from proxy.rest.schema import ERRORS
from proxy.rest.staff_view import StaffApiView
from proxy.status import MINUTES, status
from proxy.tables.marks import marks_since


class NoNode(APIException):
    """This process serves no links."""

    status_code = 503
    default_detail = "Not now: this process is no node yet."


class TotalsSerializer(serializers.Serializer[Any]):
    """What is live."""

    links = serializers.IntegerField()
    users = serializers.IntegerField()
    is_bounded = serializers.BooleanField(help_text="There are more: counting stopped.")


class RefusedSerializer(serializers.Serializer[Any]):
    """Who was turned away lately."""

    minutes = serializers.IntegerField()
    times = serializers.IntegerField()
    by_cause = serializers.DictField(child=serializers.IntegerField())


class FiguresSerializer(serializers.Serializer[Any]):
    """The last ten seconds of all nodes: how many a second, messages and bytes from and to clients."""

    at = serializers.IntegerField(help_text="When they began: seconds since 1970.")
    links_by_route = serializers.DictField(child=serializers.IntegerField())
    opens = serializers.FloatField()
    closes = serializers.FloatField()
    refusals = serializers.FloatField()
    messages_in = serializers.FloatField()
    messages_out = serializers.FloatField()
    bytes_in = serializers.FloatField()
    bytes_out = serializers.FloatField()
    dial_p95_seconds = serializers.FloatField(allow_null=True, help_text="null: nothing was dialled.")
    delivery_p99_seconds = serializers.FloatField(
        allow_null=True, help_text="Of events, from their publisher to the sockets; null: there were none."
    )
    loop_lag_seconds = serializers.FloatField(help_text="The worst of all nodes'.")
    resident_bytes = serializers.IntegerField(help_text="Memory of all nodes' processes.")


class StatusSerializer(serializers.Serializer[Any]):
    """What the first page of admin begins with."""

    level = serializers.ChoiceField(["well", "look", "bad"])
    says = serializers.ListField(child=serializers.CharField(), help_text="In words, the worst first.")
    totals = TotalsSerializer()
    refused = RefusedSerializer()
    figures = FiguresSerializer(allow_null=True, help_text="null: no node has told anything lately.")


class Statuses(StaffApiView):
    """How the gateway is."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_connection"}

    @extend_schema(operation_id="status", responses={200: StatusSerializer, **ERRORS})
    def get(self, request: Request) -> Response:
        """Is it healthy? A verdict in words, and figures."""
        self.query(Body())
        now = status()
        told = {
            "level": now.verdict.level.word,
            "says": now.verdict.sentences,
            "totals": now.totals,
            "refused": {"minutes": MINUTES, **now.refused},
            "figures": None if now.recent is None else figures.told(now.recent),
        }
        return Response(StatusSerializer(told).data)


class SeriesWantedSerializer(Body):
    """Of which time."""

    span = serializers.ChoiceField([*SPANS], default="15m")


@extend_schema_field({"type": "array", "items": {"type": "number", "nullable": True}})
class LineField(serializers.ListField):
    """A line of a chart: a number, or null, for each of `at`."""


class MarkSerializer(serializers.Serializer[Any]):
    """What happened meanwhile."""

    at = serializers.IntegerField()
    kind = serializers.ChoiceField(["node", "drain", "kick"])
    words = serializers.CharField()


class SeriesSerializer(serializers.Serializer[Any]):
    """A list for each line of a chart, as long as `at`; null: nobody tells of that time."""

    span = serializers.CharField()
    step_seconds = serializers.IntegerField()
    at = serializers.ListField(child=serializers.IntegerField(), help_text="Seconds since 1970.")
    links = serializers.DictField(child=LineField(), help_text="By route.")
    opens = LineField()
    closes = serializers.DictField(child=LineField(), help_text="By cause.")
    refusals = serializers.DictField(child=LineField(), help_text="By cause.")
    dial_p95_seconds = LineField()
    delivery_p99_seconds = LineField()
    loop_lag_seconds = LineField()
    resident_bytes = LineField()
    messages_in = LineField()
    messages_out = LineField()
    bytes_in = LineField()
    bytes_out = LineField()
    marks = MarkSerializer(many=True)


class Series(StaffApiView):
    """What nodes did."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_connection"}

    @extend_schema(
        operation_id="series",
        parameters=[SeriesWantedSerializer],
        responses={200: SeriesSerializer, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """The charts of admin's first page, of all nodes; and what happened, as far as the caller may see."""
        span = SPANS[self.query(SeriesWantedSerializer())["span"]]
        told = async_to_sync(_series)(span.name)
        since = timezone.now() - timedelta(seconds=span.seconds)
        marks = marks_since(since, may=lambda right: self.caller.rights.may(right.partition(".")[2]))
        return Response(SeriesSerializer({**told, "marks": marks}).data)


async def _series(span: str) -> dict[str, Any]:
    node = node_here()
    if node is None:
        raise NoNode
    return await node.figures.charts.series(span)
