"""GET /api/refusals: who was turned away, when and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.core.addresses import parse_address
from proxy.core.causes import REFUSED, refused_words_of
from proxy.models import Refusal
from proxy.rest.paging import StaffList, described
from proxy.rest.schema import PAGE_ERRORS
from proxy.tables.known import routes_known

FILTERS = {
    "user": ("user_id", "Of this user id."),
    "email": ("email", "Of this e-mail address."),
    "route": ("route", "On this route."),
    "cause": ("cause", "For this cause, such as `token_expired`."),
    "request": ("request_id", "Of this request id, which the client was told."),
}


class RefusalSerializer(serializers.ModelSerializer[Refusal]):
    """A handshake that was refused, or `times` like it within a minute."""

    node = serializers.CharField(source="node_id", help_text="The gateway process that refused it: an id.")
    words = serializers.SerializerMethodField(help_text="The cause as people read it.")

    class Meta:
        model = Refusal
        fields = (
            *("id", "node", "refused_at", "times", "cause", "words", "reason", "status", "close_code"),
            *("route", "path", "upstream", "user_id", "email", "client_address", "user_agent", "request_id"),
        )

    def get_words(self, refusal: Refusal) -> str:
        return refused_words_of(refusal.cause)


class Refusals(StaffList):
    """Who was turned away."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_refusal"}
    serializer_class = RefusalSerializer
    filters = FILTERS
    words: ClassVar[Mapping[str, Callable[[], Collection[str]]]] = {
        "cause": REFUSED.keys,
        "route": lambda: routes_known(Refusal),
    }
    more = frozenset({"address"})
    ordering = ("-refused_at", "id")

    @extend_schema(
        operation_id="refusals",
        parameters=[*described(FILTERS), OpenApiParameter("address", description="From this IP address.")],
        responses={200: RefusalSerializer(many=True), **PAGE_ERRORS},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The last comes first."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Refusal]:
        rows, told = self.filtered(Refusal.objects.all()), self.request.query_params.get("address")
        if told is None:
            return rows
        address = parse_address(told)
        if address is None:
            raise ParseError(f"address: {told[:64]!r} is no IP address")
        return rows.filter(client_address=str(address))
