"""Publishing events to clients.

Topics: `user:42`, `experience:wylding-woods`, `connection:<id>`, `everyone`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from proxy import api


def publish(topic: str, event: Mapping[str, Any]) -> Awaitable[None] | None:
    """Publish `event` to all clients that hear `topic`, on every node that shares the Redis.

    In a running event loop this returns an awaitable that publishes. Elsewhere it publishes before it
    returns, or after commit when inside a transaction, and returns None.

    Raises:
        ValueError: the topic or the event is not valid.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        api.publish_on_commit(topic, event)
        return None
    return api.publish(topic, event)


__all__ = ["publish"]
