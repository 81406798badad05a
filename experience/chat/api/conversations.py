"""/api/chat/conversations: made, listed, joined, left; and what was said in them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from experience.chat import membership, reading
from experience.chat.api.fields import (
    ConversationsAsked,
    ConversationSerializer,
    ConversationsSerializer,
    MadeSerializer,
    MessagesAsked,
    MessagesSerializer,
    NewConversation,
    OneUser,
)
from experience.chat.api.limits import CHANGES, GONE, MADE
from experience.chat.identities import sequence_of
from experience.chat.models import Conversation
from experience.chat.refusals import Apart
from proxy.api import ERRORS, BadRequest, Forbidden, UserApiView, UserOrKeyApiView

log = logging.getLogger(__name__)

ADD, REMOVE = "chat.add_participant", "chat.delete_participant"


class Invalid(BadRequest):
    """What somebody sent cannot be meant."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Conversations(UserApiView):
    """The caller's."""

    @extend_schema(
        operation_id="make_conversation", request=NewConversation, responses=MADE | {201: MadeSerializer}
    )
    def post(self, request: Request) -> Response:
        """Make one, also where these users have one already; not with whom a block keeps the caller apart."""
        others = self.body(NewConversation())["participants"]
        CHANGES.take(self.user_id)
        if membership.is_apart(self.user_id, others):
            raise Apart
        try:
            made, participants = membership.make(self.user_id, others)
        except ValueError as error:
            raise Invalid(f"participants: {error}") from None
        return Response({"id": made, "participants": participants}, status=201)

    @extend_schema(
        operation_id="conversations",
        parameters=[ConversationsAsked],
        responses={200: ConversationsSerializer, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Those that the caller takes part in, as of the last message of each."""
        asked = self.query(ConversationsAsked())
        found, following = reading.conversations(self.user_id, before=asked["before"], limit=asked["limit"])
        return Response({"conversations": found, "next": following})


class OneConversation(UserApiView):
    """One of the caller's."""

    @extend_schema(operation_id="conversation", responses=GONE | {200: ConversationSerializer})
    def get(self, request: Request, conversation_id: str) -> Response:
        """One that the caller takes part in."""
        return Response(reading.conversation(self.user_id, conversation_id))


class Participants(UserOrKeyApiView):
    """Who takes part."""

    @extend_schema(
        operation_id="add_participant", request=OneUser, responses=MADE | GONE | {201: MadeSerializer}
    )
    def post(self, request: Request, conversation_id: str) -> Response:
        """Have a user take part: for who made the conversation, or has the right `chat.add_participant`."""
        user_id = self.body(OneUser())["user_id"]
        if self.user_id:
            CHANGES.take(self.user_id)
        self._check_may_add(conversation_id, user_id)
        participants = membership.join(conversation_id, user_id)
        log.info("chat: added", extra={"conversation": conversation_id, "by": self.caller_name})
        return Response({"id": conversation_id, "participants": participants}, status=201)

    def _check_may_add(self, conversation_id: str, user_id: str) -> None:
        made_by = Conversation.objects.filter(pk=conversation_id, created_by=self.user_id)
        if self.user_id and made_by.filter(participants__user_id=self.user_id).exists():
            if membership.is_apart(self.user_id, [user_id]):
                raise Apart
        elif not self.has_right(ADD):
            self._refuse(conversation_id, f"{self.caller_name} may not add participants")

    def _refuse(self, conversation_id: str, message: str) -> None:
        """Who takes no part does not learn that it is there."""
        if self.user_id:
            reading.check_takes_part(self.user_id, conversation_id)
        raise Forbidden(message=message)


class OneParticipant(Participants):
    """One who takes part."""

    http_method_names: Sequence[str] = ("delete",)

    @extend_schema(operation_id="remove_participant", responses=GONE | {204: None})
    def delete(self, request: Request, conversation_id: str, user_id: str) -> Response:
        """Leave the conversation; another user only by the right `chat.delete_participant`."""
        if self.user_id:
            CHANGES.take(self.user_id)
        if user_id != self.user_id and not self.has_right(REMOVE):
            self._refuse(conversation_id, f"{self.caller_name} may not remove others")
        membership.leave(conversation_id, user_id)
        log.info("chat: left", extra={"conversation": conversation_id, "by": self.caller_name})
        return Response(status=204)


class Messages(UserApiView):
    """What was said."""

    @extend_schema(
        operation_id="messages", parameters=[MessagesAsked], responses=GONE | {200: MessagesSerializer}
    )
    def get(self, request: Request, conversation_id: str) -> Response:
        """A page of a conversation's messages, in order; also of what was said before the caller joined."""
        asked = self.query(MessagesAsked())
        reading.check_takes_part(self.user_id, conversation_id)
        found, following = reading.messages(
            conversation_id,
            before=_sequence(asked, "before", conversation_id),
            after=_sequence(asked, "after", conversation_id),
            limit=asked["limit"],
        )
        return Response({"messages": msgspec.to_builtins(found), "next": following})


def _sequence(asked: dict[str, Any], name: str, conversation_id: str) -> int | None:
    if asked[name] is None:
        return None
    try:
        return sequence_of(asked[name], conversation_id=conversation_id)
    except ValueError as error:
        raise Invalid(f"{name}: {error}") from None
