"""What holds on either route of the game, however it is served there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from experience import settings
from experience.topics import experience_topic, of_experience
from proxy.api import MessageLimits, OverRate

# Of a `Route`. Links to either count together: `connection_limits` of one name do.
GAME: Mapping[str, Any] = MappingProxyType(
    {
        "connection_limits": settings.EXPERIENCE_LIMITS,
        "bounds": settings.EXPERIENCE_BOUNDS,
        "topics": of_experience,
        "topic_kinds": (experience_topic,),
        "control": True,
        "unauthenticated_status": 403,
        "required_query": ("experience",),
        "message_limits": MessageLimits(
            messages_per_connection=settings.EXPERIENCE_MESSAGE_RATE, over=OverRate.WAIT
        ),
    }
)
