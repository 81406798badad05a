"""GET /api/connections: who is connected, and who was, page by page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import OperationalError
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ParseError, PermissionDenied
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.models import Connection
from proxy.rest.api_view import ApiView
from proxy.rest.schema import PAGE_ERRORS
from proxy.tables.executor import STATEMENT_SECONDS, took_too_long

FILTERS = {
    "user": ("user_id", "Of this user id."),
    "route": ("route", "On this route."),
    "topic": ("topic", "Whose route's own topic this is, such as `experience:old-mill`."),
    "node": ("node_id", "On this node: an id."),
}
STATES = ("live", "closed")
# Told to one who asks for it, and not as a 503, which he would repeat.
_TOO_MUCH = (
    f"this took the database more than {STATEMENT_SECONDS:g} seconds: ask with one filter, or with another"
)


class ConnectionSerializer(serializers.ModelSerializer[Connection]):
    """One client's socket. `closed_at` is null while it is live; its counters are some seconds old then."""

    node = serializers.CharField(source="node_id", help_text="The gateway process that holds it: an id.")

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
            ),
            *("messages_in", "messages_out", "bytes_in", "bytes_out", "messages_dropped"),
        )


class Pages(CursorPagination):
    """By a place in the list rather than a number, so that links that come and go shift no page."""

    page_size = 100
    max_page_size = 1000
    page_size_query_param = "limit"
    # How many may have closed in one moment; DRF's 1000 would tell the same page again and again behind that.
    offset_cutoff = 10**9

    def get_page_size(self, request: Request) -> int:
        """DRF takes what is no number for none."""
        asked = request.query_params.get(self.page_size_query_param, f"{self.page_size}")
        if not (
            asked.isascii() and asked.isdigit() and len(asked) < 5 and 0 < int(asked) <= self.max_page_size
        ):
            raise ParseError(f"limit is a number from 1 to {self.max_page_size}, not {asked[:100]!r}")
        return int(asked)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """With its bounds."""
        described = super().get_schema_operation_parameters(view)
        bounds = {"minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        for each in described:
            if each["name"] == self.page_size_query_param:
                each["schema"] |= bounds
        return described

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Without DRF's examples, which are of another API."""
        described = super().get_paginated_response_schema(schema)
        for name in ("next", "previous"):
            del described["properties"][name]["example"]
        return described

    def decode_cursor(self, request: Request) -> Any:
        """DRF reads what a caller has made up as well, and the database would be asked for it."""
        cursor = super().decode_cursor(request)
        try:
            if cursor and cursor.position is not None:
                # In UTC, as the database tells: what another zone's makes may be no time of any calendar.
                at = parse_datetime(str(cursor.position))
                if at is None or at.utcoffset() != timedelta(0):
                    raise ValueError(cursor.position)
        except ValueError:
            raise NotFound(self.invalid_cursor_message) from None
        return cursor

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        """The last to open, or to close, is first: the orders of indexes, closed ones' with each filter."""
        first = "-closed_at" if request.query_params.get("state") == "closed" else "-opened_at"
        return (first, "id")


class Connections(ApiView, ListAPIView):  # type: ignore[type-arg]
    """Live links, or those that have ended."""

    serializer_class = ConnectionSerializer
    pagination_class = Pages
    filter_backends = ()

    @extend_schema(
        operation_id="connections",
        parameters=[
            OpenApiParameter("state", enum=STATES, default="live", description="Live, or closed ones."),
            *(OpenApiParameter(name, description=told) for name, (_, told) in FILTERS.items()),
        ],
        responses={200: ConnectionSerializer(many=True), **PAGE_ERRORS},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The last to open, or to close, comes first. `next` leads to the next page; null: there is none."""
        if not self.caller.rights.list_connections:
            raise PermissionDenied(f"{self.caller.name} may not list connections")
        try:
            return super().get(request, *args, **kwargs)
        except OperationalError as error:
            if not took_too_long(error):
                raise
            raise ParseError(_TOO_MUCH) from None

    def get_queryset(self) -> QuerySet[Connection]:
        asked = self.request.query_params
        strange = sorted(asked.keys() - {*FILTERS, "state", "limit", "cursor"})
        if strange:  # or one that is misspelt would find everything
            raise ParseError(f"there is no such filter: {', '.join(strange)[:100]}")
        state = asked.get("state", "live")
        if state not in STATES:
            raise ParseError(f"state is {' or '.join(STATES)}, not {state!r}")
        wanted = {field: asked[name] for name, (field, _) in FILTERS.items() if name in asked}
        return Connection.objects.filter(closed_at__isnull=state == "live", **wanted)
