"""What leaves the chat for other services: which events, and where they go.

    with transaction.atomic():
        …  # what they tell of
        outgoing.write([outgoing.message_created(…), …])

The one who writes a conversation's events holds its lock until the commit, so that they leave in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from experience import settings
from experience.chat.messages import ConversationBlocked, ConversationUnblocked
from proxy import api
from proxy.api import Outgoing


def message_created(
    conversation_id: str,
    *,
    message_id: str,
    sender_id: str,
    text: str,
    created_at: int,
    participants: Sequence[str],
) -> Outgoing:
    """That a message was kept. `created_at` is in Unix seconds; `participants` are all, the sender too."""
    message = {"id": message_id, "sender_id": sender_id, "text": text, "created_at": created_at}
    body = {
        "type": "message.created",
        "conversation_id": conversation_id,
        "message": message,
        "participants": list(participants),
    }
    return Outgoing(_subject("message.created", conversation_id), body, conversation_id)


def of_a_block(told: ConversationBlocked | ConversationUnblocked) -> Outgoing:
    """That one of a conversation's two users has blocked the other, or that none does any more."""
    body = msgspec.to_builtins(told)
    return Outgoing(_subject(body["type"], told.conversation_id), body, told.conversation_id)


def write(events: Iterable[Outgoing]) -> None:
    """Have `events` leave once the transaction that is open has committed, by one INSERT. Nothing happens
    where CHAT_EVENTS is off. Raises django.db.Error."""
    if settings.CHAT_EVENTS != "off":
        api.send_many_on_commit(events)


def run_on_every_node() -> None:
    """Have the gateways' nodes send what leaves, one of them at a time."""
    if settings.CHAT_EVENTS != "off":
        api.run_on_every_node("chat-events", _send)
        hint = "Start it, or correct CHAT_EVENTS and the URL of that broker (AMQP_URL, NATS_URL)."
        api.tried_by_doctor("chat events", _look, hint=hint)


async def _look() -> str:
    return await destination().look()


async def _send(place: api.Workplace) -> None:
    await send(place.run_in_database)


async def send(run_in_database: api.RunInDatabase) -> None:
    """Send what leaves until cancelled, beside all others that do, for a process that is no node."""
    wait_seconds = settings.CHAT_EVENTS_WAIT_SECONDS
    await api.send_outgoing(destination(), run_in_database, wait_seconds=wait_seconds)


def destination() -> api.ToRabbitMQ | api.ToJetStream:
    """The broker that CHAT_EVENTS says."""
    if settings.CHAT_EVENTS == "rabbitmq":
        return api.ToRabbitMQ(
            "rabbitmq",
            url=settings.AMQP_URL,
            exchange=settings.CHAT_EVENTS_EXCHANGE,
            ca_file=settings.AMQP_CA_FILE,
        )
    return api.ToJetStream(
        "nats",
        servers=settings.NATS_URL,
        stream=settings.CHAT_EVENTS_STREAM,
        subjects=[f"{settings.CHAT_EVENTS_PREFIX}.>"],
    )


def _subject(kind: str, conversation_id: str) -> str:
    return f"{settings.CHAT_EVENTS_PREFIX}.{kind}.{api.subject_token(conversation_id)}"
