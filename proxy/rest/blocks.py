"""GET /api/blocks: who is kept out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.models import Block
from proxy.rest.paging import StaffList, described
from proxy.rest.schema import PAGE_ERRORS

FILTERS = {
    "user": ("user_id", "Of this user id."),
    "network": ("network", "Of this address or network, written as the list has it."),
}
STATES = ("holding", "over", "all")


class BlockSerializer(serializers.ModelSerializer[Block]):
    """Somebody who is kept out: a user, an address or a network, or that user from there."""

    until = serializers.DateTimeField(allow_null=True, help_text="null: for good.")
    by = serializers.CharField(source="source_name", help_text="Who placed it; empty: nobody knows.")

    class Meta:
        model = Block
        fields = ("id", "user_id", "network", "until", "reason", "created_at", "by")


class Blocks(StaffList):
    """Who is kept out."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_block"}
    serializer_class = BlockSerializer
    filters = FILTERS
    more = frozenset({"state"})
    ordering = ("-created_at", "-id")

    @extend_schema(
        operation_id="blocks",
        parameters=[
            OpenApiParameter("state", enum=STATES, default="holding", description="Those that hold now."),
            *described(FILTERS),
        ],
        responses={200: BlockSerializer(many=True), **PAGE_ERRORS},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The newest comes first."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Block]:
        rows, state = self.filtered(Block.objects.select_related("created_by")), self.one_of("state", STATES)
        holds = Q(until=None) | Q(until__gt=timezone.now())
        return rows if state == "all" else rows.filter(holds if state == "holding" else ~holds)
