"""GET /api/blocks: who is kept out; POST /api/block and /api/lift: keeping out, and letting in again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.core.blocking import networks_around
from proxy.models import Block
from proxy.rest.fields import Text
from proxy.rest.paging import StaffList, described
from proxy.rest.schema import BODY_ERRORS, PAGE_ERRORS, ErrorSerializer
from proxy.rest.staff_view import WIDE, ReasonedBody, StaffApiView
from proxy.tables.blocking import Hit, as_block, lift, place

FILTERS = {"user": ("user_id", "Of this user id.")}
_NETWORK = (
    "That keep out this address, or all of this network, however it is written; also one user from there."
)
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
    more = frozenset({"state", "network"})
    ordering = ("-created_at", "-id")

    @extend_schema(
        operation_id="staff_blocks",
        parameters=[
            OpenApiParameter("state", enum=STATES, default="holding", description="Those that hold now."),
            *described(FILTERS),
            OpenApiParameter("network", description=_NETWORK),
        ],
        responses={200: BlockSerializer(many=True), **PAGE_ERRORS},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The newest comes first."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Block]:
        rows, state = self.filtered(Block.objects.select_related("created_by")), self.one_of("state", STATES)
        if (network := self.request.query_params.get("network")) is not None:
            rows = rows.filter(network__in=_around(network))
        holds = Q(until=None) | Q(until__gt=timezone.now())
        return rows if state == "all" else rows.filter(holds if state == "holding" else ~holds)


def _around(told: str) -> list[str]:
    """Those of which one keeps out all of that. Raises ParseError."""
    try:
        return networks_around(told)
    except ValueError:
        raise ParseError(f"network: {told[:64]!r} is no address and no network") from None


WORD = "everyone"
_MAX_USER_CHARS, _MAX_NETWORK_CHARS = 255, 43


class BlockWantedSerializer(ReasonedBody):
    """Whom to keep out: a user, an address or a network, or that user from there."""

    user_id = Text(max_length=_MAX_USER_CHARS, default="", allow_blank=True)
    network = Text(
        max_length=_MAX_NETWORK_CHARS,
        default="",
        allow_blank=True,
        help_text="An address or a network, such as 192.0.2.7 or 2001:db8::/32.",
    )
    until = serializers.DateTimeField(allow_null=True, default_timezone=UTC, help_text="null: for good.")
    word = Text(
        required=False,
        default="",
        allow_blank=True,
        help_text=f"`{WORD}`, to keep out a large part of the world.",
    )
    dry_run = serializers.BooleanField(default=False, help_text="Only say whom it would hit.")


class BlockedSerializer(serializers.Serializer[Any]):
    """Whom it hits."""

    block = BlockSerializer(allow_null=True, help_text="null: nothing was done.")
    links = serializers.IntegerField(help_text="Live links that it matches: they end with 4003.")
    users = serializers.IntegerField(help_text="Their users.")
    is_bounded = serializers.BooleanField(help_text="There are more: counting stopped.")
    needs_word = serializers.BooleanField(help_text="It is so wide that `word` has to be said.")


class PlaceBlock(StaffApiView):
    """Keeps somebody out."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "add_block"}

    @extend_schema(
        operation_id="place_block",
        request=BlockWantedSerializer,
        responses={200: BlockedSerializer, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Keep somebody out. Live links that match end with 4003 on every node, and new ones are refused."""
        asked = self.read(BlockWantedSerializer())
        is_dry, word = asked.pop("dry_run"), asked.pop("word")
        try:
            block = as_block(**asked)
        except ValueError as error:
            raise ParseError(str(error)) from None
        if not block.user_id:  # each live link is looked at
            WIDE.take(self.caller.name)
        hit = Hit.of(block)
        if not is_dry:
            if hit.needs_word and word.strip().lower() != WORD:
                raise ParseError(f"word: this keeps out a large part of the world: say '{WORD}'")
            place(block, hit=hit, by=self.caller.doer)
        told = {name: getattr(hit, name) for name in ("links", "users", "is_bounded", "needs_word")}
        return Response(BlockedSerializer({**told, "block": None if is_dry else block}).data)


class LiftWantedSerializer(ReasonedBody):
    """Which block."""

    id = serializers.IntegerField(min_value=1, max_value=(1 << 63) - 1)


class LiftBlock(StaffApiView):
    """Lets somebody in again."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "delete_block"}

    @extend_schema(
        operation_id="lift_block",
        request=LiftWantedSerializer,
        responses={200: BlockSerializer, 404: ErrorSerializer, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Lift a block, by its id. Answers what it was."""
        asked = self.read(LiftWantedSerializer())
        block = lift(asked["id"], reason=asked["reason"], by=self.caller.doer)
        if block is None:
            raise NotFound("there is no such block")
        block.pk = asked["id"]
        return Response(BlockSerializer(block).data)
