"""The chat's paths at the gateway."""

from django.urls import path

from experience.chat.api.blocks import Blocks
from experience.chat.api.conversations import (
    Conversations,
    Messages,
    OneConversation,
    OneParticipant,
    Participants,
)
from experience.chat.page import page
from experience.settings import CHAT_PAGE

_ALL = "api/chat/conversations"
_ONE = f"{_ALL}/<str:conversation_id>"

urlpatterns = [
    path(_ALL, Conversations.as_view(), name="chat-conversations"),
    path(_ONE, OneConversation.as_view(), name="chat-conversation"),
    path(f"{_ONE}/participants", Participants.as_view(), name="chat-participants"),
    path(f"{_ONE}/participants/<path:user_id>", OneParticipant.as_view(), name="chat-participant"),
    path(f"{_ONE}/messages", Messages.as_view(), name="chat-messages"),
    path("api/chat/blocks", Blocks.as_view(), name="chat-blocks"),
    *([path("chat/", page, name="chat-page")] if CHAT_PAGE else []),
]
