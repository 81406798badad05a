"""/api/chat/blocks: whom the caller has blocked."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from experience.chat import membership
from experience.chat.api.conversations import Invalid
from experience.chat.api.fields import BlocksSerializer, OneUser
from experience.chat.api.limits import CHANGES, MADE
from experience.chat.models import Block
from proxy.api import ERRORS, UserApiView


class Blocks(UserApiView):
    """The caller's."""

    @extend_schema(operation_id="blocks", responses={200: BlocksSerializer, **ERRORS})
    def get(self, request: Request) -> Response:
        """Whom the caller has blocked; nobody learns by whom he is."""
        mine = Block.objects.filter(by_user_id=self.user_id).order_by("target_user_id")
        return Response({"blocks": list(mine.values_list("target_user_id", flat=True))})

    @extend_schema(operation_id="block", request=OneUser, responses=MADE | {201: OneUser})
    def post(self, request: Request) -> Response:
        """Have nothing said any more, either way, in conversations of just the two. Both are told."""
        asked = self.body(OneUser())
        CHANGES.take(self.user_id)
        try:
            membership.block(self.user_id, asked["user_id"])
        except ValueError as error:
            raise Invalid(f"user_id: {error}") from None
        return Response(asked, status=201)

    @extend_schema(
        operation_id="unblock", parameters=[OneUser], request=OneUser, responses={204: None, **ERRORS}
    )
    def delete(self, request: Request) -> Response:
        """Take a block back, if there is one: of the `user_id` in the query, or else in the body."""
        asked = self.query(OneUser()) if request.query_params else self.body(OneUser())
        CHANGES.take(self.user_id)
        membership.unblock(self.user_id, asked["user_id"])
        return Response(status=204)
