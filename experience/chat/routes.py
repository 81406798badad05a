"""How sockets reach the chat: /v1/chat/ws."""

from __future__ import annotations

from experience import settings
from experience.chat import counts
from experience.chat.filters import mask_words
from experience.chat.policy import ChatRules
from experience.chat.topics import chat_topic
from proxy.api import (
    BreakerLimits,
    Forward,
    MessageLimits,
    OverRate,
    PolicyName,
    Probe,
    Route,
    Upstream,
    run_on_every_node,
)

PATH = "v1/chat/ws"
RULES = ChatRules(
    most_characters=settings.CHAT_TEXT_CHARACTERS,
    error_rate=settings.CHAT_ERROR_RATE,
    content_filter=mask_words(settings.CHAT_MASKED_WORDS) if settings.CHAT_MASKED_WORDS else None,
)
SERVICE = Upstream.of(
    "chat",
    *settings.CHAT_SERVICE_URLS,
    path=f"/{PATH}",
    setting="CHAT_SERVICE_URL",
    probe=Probe.of(
        settings.CHAT_PROBE,
        path=settings.CHAT_PROBE_PATH,
        seconds=settings.CHAT_PROBE_SECONDS,
        says='{"type":"ping"}',
        expects='{"type":"pong"}',
    ),
    policy=PolicyName.LEAST_CONNECTIONS,
    # There may be one member only: while it is kept off it, nobody is served.
    breaker=BreakerLimits(first_wait_seconds=0.5, longest_wait_seconds=2.0),
)
CHAT = Route(
    name="chat",
    paths=(PATH,),
    upstream=SERVICE,
    connection_limits=settings.CHAT_LIMITS,
    bounds=settings.CHAT_BOUNDS,
    forward=Forward(query=("token", "conversation_id")),
    control=True,
    policy=RULES.policy,
    topic_kinds=(chat_topic,),
    message_limits=MessageLimits(
        messages_per_connection=settings.CHAT_MESSAGE_RATE_PER_CONNECTION,
        messages_per_user=settings.CHAT_MESSAGE_RATE_PER_USER,
        over=OverRate.DROP,
    ),
)

run_on_every_node("chat-counts", counts.write_again_and_again)
