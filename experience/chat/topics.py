"""What instances of the chat service hear of each other, and of the HTTP API; no client hears it."""

from __future__ import annotations

from proxy.api import TopicKind

chat_topic = TopicKind("chat", is_internal=True)


def of_conversation(conversation_id: str) -> str:
    """What is said in a conversation, and what changes about it."""
    return chat_topic(f"c.{conversation_id}")


def of_user(user_id: str) -> str:
    """That a user takes part in another conversation now."""
    return chat_topic(f"u.{user_id}")
