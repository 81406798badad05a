"""GET /api/connections: who is connected, and who was, page by page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.core.causes import words_of
from proxy.models import Connection
from proxy.rest.paging import StaffList, described
from proxy.rest.schema import PAGE_ERRORS
from proxy.tables.known import routes_known

FILTERS = {
    "user": ("user_id", "Of this user id."),
    "route": ("route", "On this route."),
    "topic": ("topic", "Whose route's own topic this is, such as `experience:old-mill`."),
    "node": ("node_id", "On this node: its id, or HOST:PID."),
}
STATES = ("live", "closed")


class ConnectionSerializer(serializers.ModelSerializer[Connection]):
    """One client's socket. `closed_at` is null while it is live; its counters are some seconds old then."""

    node = serializers.CharField(source="node_id", help_text="The gateway process that holds it: an id.")
    words = serializers.SerializerMethodField(
        help_text="The cause as people read it; empty while it is live."
    )

    class Meta:
        model = Connection
        fields = (
            *("id", "node", "route", "path", "topic", "user_id", "email", "client_address", "user_agent"),
            *(
                "opened_at",
                "last_activity_at",
                "closed_at",
                "close_code",
                "close_reason",
                "closed_by",
                "cause",
                "words",
            ),
            *("messages_in", "messages_out", "bytes_in", "bytes_out", "messages_dropped"),
            "request_id",
        )

    def get_words(self, row: Connection) -> str:
        return words_of(row.cause)


class Connections(StaffList):
    """Live links, or those that have ended."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_connection"}
    read_rate = None  # who pages through all of them is not held up
    serializer_class = ConnectionSerializer
    filters = FILTERS
    words: ClassVar[Mapping[str, Callable[[], Collection[str]]]] = {"route": routes_known}
    more = frozenset({"state"})

    @extend_schema(
        operation_id="connections",
        parameters=[
            OpenApiParameter("state", enum=STATES, default="live", description="Live, or closed ones."),
            *described(FILTERS),
        ],
        responses={200: ConnectionSerializer(many=True), **PAGE_ERRORS},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The last to open, or to close, comes first. `next` leads to the next page; null: there is none."""
        return super().get(request, *args, **kwargs)

    def get_ordering(self) -> tuple[str, ...]:
        """The last to open, or to close, is first: the orders of indexes, closed ones' with each filter."""
        return ("-closed_at" if self.one_of("state", STATES) == "closed" else "-opened_at", "id")

    def get_queryset(self) -> QuerySet[Connection]:
        rows = self.filtered(Connection.objects.all())
        return rows.filter(closed_at__isnull=self.one_of("state", STATES) == "live")
